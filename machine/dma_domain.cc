#include "twostep/machine/dma_domain.h"

#include <algorithm>
#include <utility>

#include "twostep/machine/check.h"
#include "twostep/machine/page_table_leaf.h"

namespace twostep {

DmaDomain::DmaDomain(std::string name, const IommuConfig& config)
    : name_(std::move(name)),
      mode_(config.mode),
      iova_base_page_(config.iova_base >> kPageShift),
      iova_pages_(translated() ? config.iova_bytes >> kPageShift : 0),
      // A domain that does not translate never asks its space.
      space_(iova_base_page_, std::max<uint64_t>(iova_pages_, 1)),
      leaves_((iova_pages_ + kLeafEntries - 1) / kLeafEntries),
      direct_leaves_((uint64_t{1} << 32) / DirectLeaf::kFrames) {}

DmaDomain::~DmaDomain() {
  for (auto& leaf : leaves_) delete leaf.load(std::memory_order_relaxed);
  for (auto& leaf : direct_leaves_) delete leaf.load(std::memory_order_relaxed);
}

Atomic<FrameNumber>& DmaDomain::EntryFor(uint64_t iova_page) {
  const uint64_t index = iova_page - iova_base_page_;
  return LeafAt(leaves_[index / kLeafEntries]).frames[index % kLeafEntries];
}

SpaceRequest DmaDomain::RequestFor(PageCount pages, const IovaLimits& limits) {
  const DmaAddress highest = limits.highest;
  return SpaceRequest{.size = pages,
                      .alignment = limits.alignment_pages,
                      .end = highest == ~DmaAddress{0}
                                 ? ~uint64_t{0}
                                 : (highest >> kPageShift) + 1};
}

// Entries hold frame + 1, so that a leaf starts out with nothing mapped.
Shortage::Kind DmaDomain::Map(std::span<const FrameNumber> frames,
                              const IovaLimits& limits, SpaceBlock* iova) {
  TWOSTEP_CHECK(translated());
  {
    SpinLockHolder hold(lock_);
    if (gate_.HeldByOther()) return Shortage::Kind::kFull;
    const Shortage::Kind kind = space_.Allocate(
        RequestFor(static_cast<PageCount>(frames.size()), limits), iova);
    if (kind != Shortage::Kind::kNone) return kind;
  }
  for (uint64_t i = 0; i < frames.size(); ++i) {
    Atomic<FrameNumber>& entry = EntryFor(iova->start + i);
    TWOSTEP_DCHECK(entry.load(std::memory_order_relaxed) == 0);
    entry.store(frames[i] + 1, std::memory_order_release);
  }
  return Shortage::Kind::kNone;
}

void DmaDomain::Unmap(const SpaceBlock& iova, PageCount pages) {
  for (uint64_t i = 0; i < pages; ++i) {
    Atomic<FrameNumber>& entry = EntryFor(iova.start + i);
    TWOSTEP_DCHECK(entry.load(std::memory_order_relaxed) != 0);
    entry.store(0, std::memory_order_release);
  }
  SpinLockHolder hold(lock_);
  space_.Free(iova.node);
}

// Neighbouring frames share a word: one atomic operation for all of them.
void DmaDomain::SetDirect(std::span<const FrameNumber> frames, bool mapped) {
  for (size_t i = 0; i < frames.size();) {
    const FrameNumber first = frames[i];
    uint64_t bits = 0;
    for (; i < frames.size() && frames[i] / 64 == first / 64; ++i) {
      const uint64_t bit = uint64_t{1} << (frames[i] % 64);
      TWOSTEP_CHECK((bits & bit) == 0);  // twice in one call
      bits |= bit;
    }
    DirectLeaf& leaf = LeafAt(direct_leaves_[first / DirectLeaf::kFrames]);
    Atomic<uint64_t>& word = leaf.bits[first / 64 % kLeafEntries];
    const uint64_t before =
        mapped ? word.fetch_or(bits, std::memory_order_release)
               : word.fetch_and(~bits, std::memory_order_release);
    // Mapped twice, or unmapped while not mapped: the bookkeeping is broken.
    TWOSTEP_CHECK((before & bits) == (mapped ? 0 : bits));
  }
}

void DmaDomain::MapDirect(std::span<const FrameNumber> frames) {
  SetDirect(frames, true);
  direct_pages_.fetch_add(frames.size(), std::memory_order_relaxed);
}

void DmaDomain::UnmapDirect(std::span<const FrameNumber> frames) {
  SetDirect(frames, false);
  direct_pages_.fetch_sub(frames.size(), std::memory_order_relaxed);
}

FrameNumber DmaDomain::Translate(DmaAddress address) const {
  const uint64_t page = address >> kPageShift;
  if (page >= iova_base_page_ && page - iova_base_page_ < iova_pages_) {
    const uint64_t index = page - iova_base_page_;
    const Leaf* leaf =
        leaves_[index / kLeafEntries].load(std::memory_order_acquire);
    if (leaf == nullptr) return kNoFrame;
    // Nothing mapped is 0, and 0 - 1 is kNoFrame.
    return leaf->frames[index % kLeafEntries].load(std::memory_order_acquire) -
           1;
  }
  if (page >= kNoFrame) return kNoFrame;
  const DirectLeaf* leaf = direct_leaves_[page / DirectLeaf::kFrames].load(
      std::memory_order_acquire);
  if (leaf == nullptr) return kNoFrame;
  const uint64_t word =
      leaf->bits[page / 64 % kLeafEntries].load(std::memory_order_acquire);
  return (word >> (page % 64) & 1) != 0 ? static_cast<FrameNumber>(page)
                                        : kNoFrame;
}

Shortage DmaDomain::Describe(PageCount pages, const IovaLimits& limits) const {
  SpinLockHolder hold(lock_);
  return space_.Describe(RequestFor(pages, limits));
}

uint64_t DmaDomain::used_iova_pages() const {
  SpinLockHolder hold(lock_);
  return space_.used();
}

}  // namespace twostep
