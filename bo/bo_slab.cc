#include "twostep/bo/bo_slab.h"

#include <new>
#include <utility>

#include "twostep/machine/check.h"

namespace twostep {

BoSlab::~BoSlab() { TWOSTEP_CHECK(size_ == 0); }

BufferObject& BoSlab::Make(Host& host, ClientRef client, PageCount pages) {
  SpinLockHolder hold(lock_);
  if (free_.empty()) {
    const auto first = static_cast<uint32_t>(blocks_.size() * kBlockBos);
    blocks_.push_back(std::make_unique<Block>());
    for (uint32_t i = kBlockBos; i > 0; --i) free_.push_back(first + i - 1);
  }
  const uint32_t slot = free_.back();
  free_.pop_back();
  Block& block = *blocks_[slot / kBlockBos];
  block.live |= uint64_t{1} << (slot % kBlockBos);
  ++size_;
  return *new (block.at(slot % kBlockBos))
      BufferObject(host, std::move(client), next_id_++, slot, pages);
}

void BoSlab::Destroy(BufferObject& bo) {
  const uint32_t slot = bo.slot_;
  {
    // First of all out of sight: of ForEachReferenced.
    SpinLockHolder hold(lock_);
    blocks_[slot / kBlockBos]->live &= ~(uint64_t{1} << (slot % kBlockBos));
    --size_;
  }
  bo.~BufferObject();
  SpinLockHolder hold(lock_);
  free_.push_back(slot);
}

size_t BoSlab::size() const {
  SpinLockHolder hold(lock_);
  return size_;
}

void BoSlab::ForEachReferenced(absl::FunctionRef<void(const BoRef&)> visit) {
  for (size_t slot = 0;; ++slot) {
    BoRef bo;
    {
      SpinLockHolder hold(lock_);
      if (slot / kBlockBos >= blocks_.size()) return;
      Block& block = *blocks_[slot / kBlockBos];
      if ((block.live >> (slot % kBlockBos) & 1) == 0) continue;
      // What has no reference any more is about to go.
      BufferObject& found = *block.at(slot % kBlockBos);
      if (!found.TryAddReference()) continue;
      bo = BoRef(&found, /*add_ref=*/false);
    }
    visit(bo);
  }
}

void BoSlab::ForEach(absl::FunctionRef<void(BufferObject&)> visit) {
  size_t blocks;
  {
    SpinLockHolder hold(lock_);
    blocks = blocks_.size();
  }
  for (size_t b = 0; b < blocks; ++b) {
    Block* block;
    {
      SpinLockHolder hold(lock_);
      block = blocks_[b].get();
    }
    for (size_t slot = 0; slot < kBlockBos; ++slot) {
      if (block->live >> slot & 1) visit(*block->at(slot));
    }
  }
}

}  // namespace twostep
