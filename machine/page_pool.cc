#include "twostep/machine/page_pool.h"

#include <algorithm>
#include <bit>

#include "twostep/machine/check.h"

namespace twostep {

absl::StatusOr<std::unique_ptr<PagePool>> PagePool::Create(
    uint64_t bytes, PhysicalMemory& memory, Clock& clock, const CostModel& cost,
    FrameMap* frame_map) {
  const uint64_t frames = bytes >> kPageShift;
  absl::StatusOr<FrameNumber> first = memory.Carve(frames);
  if (!first.ok()) return first.status();
  return std::unique_ptr<PagePool>(
      new PagePool(*first, frames, clock, cost, frame_map, memory.faults()));
}

PagePool::PagePool(FrameNumber first, uint64_t frames, Clock& clock,
                   const CostModel& cost, FrameMap* frame_map, Faults* faults)
    : first_(first),
      frames_(frames),
      clock_(clock),
      cost_(cost),
      frame_map_(frame_map),
      faults_(faults),
      // A pool of no frames refuses before it asks its stock.
      stock_(first, std::max<uint64_t>(frames, 1)),
      heads_(frames) {}

PagePool::~PagePool() {
  if (frame_map_ == nullptr) return;
  SpinLockHolder hold(lock_);
  // Nobody has any: what is exchanged waits in a pool.
  for (OwnerPools& pools : owners_) {
    for (auto& by_order : pools.blocks) {
      for (int order = 1; order <= kMaxOrder; ++order) {
        for (const uint32_t index : by_order[order]) {
          frame_map_->Return(first_ + index);
        }
      }
    }
  }
}

uint16_t PagePool::PlaceOf(Owner owner) {
  size_t place = owners_.size();
  for (size_t i = 0; i < owners_.size(); ++i) {
    if (owners_[i].owner == owner) return static_cast<uint16_t>(i);
    if (owners_[i].owner == nullptr && owners_[i].blocks_in_use == 0) place = i;
  }
  if (place == owners_.size()) owners_.emplace_back();
  TWOSTEP_CHECK(place <= UINT16_MAX);
  owners_[place].owner = owner;
  return static_cast<uint16_t>(place);
}

bool PagePool::TakeFromStock(uint32_t* index, int order) {
  const uint64_t size = uint64_t{1} << order;
  SpaceBlock block;
  if (stock_.Allocate(SpaceRequest{.size = size, .alignment = size}, &block) !=
      Shortage::Kind::kNone) {
    return false;
  }
  if (frame_map_ != nullptr && order > 0 &&
      !frame_map_->Exchange(static_cast<FrameNumber>(block.start), order)) {
    stock_.Free(block.node);
    return false;
  }
  *index = static_cast<uint32_t>(block.start - first_);
  heads_[*index].node = block.node;
  return true;
}

void PagePool::Count(const Head& head, ModeChanges* changes) {
  if (head.caching == Caching::kCached) return;
  ++changes->blocks;
  changes->pages += uint64_t{1} << head.order;
}

void PagePool::Charge(const ModeChanges& changes) {
  if (changes.blocks == 0) return;
  clock_.Charge(changes.blocks * cost_.set_caching_ns +
                changes.pages * cost_.set_caching_page_ns);
}

void PagePool::ReturnToStock(uint32_t index, ModeChanges* changes) {
  Count(heads_[index], changes);
  if (frame_map_ != nullptr && heads_[index].order > 0) {
    frame_map_->Return(first_ + index);
  }
  stock_.Free(heads_[index].node);
}

uint64_t PagePool::EmptyPools(uint64_t pages, ModeChanges* changes) {
  constexpr size_t kPoolsOfAnOwner = kCachingModes * (kMaxOrder + 1);
  uint64_t returned = 0;
  while (returned < pages && cached_ != 0) {
    turn_ = (turn_ + 1) % (owners_.size() * kPoolsOfAnOwner);
    const size_t pool = turn_ % kPoolsOfAnOwner;
    Blocks& blocks = owners_[turn_ / kPoolsOfAnOwner]
                         .blocks[pool % kCachingModes][pool / kCachingModes];
    if (blocks.empty()) continue;
    const uint64_t size = uint64_t{1} << heads_[blocks.back()].order;
    ReturnToStock(blocks.back(), changes);
    blocks.pop_back();
    cached_ -= size;
    returned += size;
  }
  stats_.given_back_pages.fetch_add(returned, std::memory_order_relaxed);
  return returned;
}

uint32_t PagePool::TakeBlock(uint16_t owner, Caching caching, int order,
                             ModeChanges* changes) {
  OwnerPools& pools = owners_[owner];
  ++pools.blocks_in_use;
  for (int next = order;; --next) {
    if (next < 0) {
      // Single frames are left, but in other pools.
      TWOSTEP_CHECK(EmptyPools(uint64_t{1} << order, changes) != 0);
      next = order;
    }
    Blocks& cached = pools.blocks[static_cast<int>(caching)][next];
    if (!cached.empty()) {
      const uint32_t index = cached.back();
      cached.pop_back();
      cached_ -= uint64_t{1} << next;
      stats_.hits.fetch_add(1, std::memory_order_relaxed);
      return index;
    }
    uint32_t index;
    if (!TakeFromStock(&index, next)) continue;
    Head& head = heads_[index];
    head.owner = owner;
    head.caching = caching;
    head.order = static_cast<uint8_t>(next);
    Count(head, changes);
    stats_.misses.fetch_add(1, std::memory_order_relaxed);
    return index;
  }
}

Shortage::Kind PagePool::Allocate(Owner owner, Caching caching,
                                  std::span<FrameNumber> out) {
  TWOSTEP_CHECK(owner != nullptr);
  if (out.size() > frames_) return Shortage::Kind::kNeverFits;
  if (FaultAt(faults_, FaultKind::kCoherent)) return Shortage::Kind::kFull;
  ModeChanges changes;
  {
    SpinLockHolder hold(lock_);
    if (out.size() > stock_.free() + cached_) return Shortage::Kind::kFull;
    const uint16_t place = PlaceOf(owner);
    for (size_t done = 0; done < out.size();) {
      const int order =
          std::min<int>(kMaxOrder, std::bit_width(out.size() - done) - 1);
      const uint32_t index = TakeBlock(place, caching, order, &changes);
      const uint32_t size = uint32_t{1} << heads_[index].order;
      for (uint32_t i = 0; i < size; ++i) out[done++] = first_ + index + i;
    }
  }
  Charge(changes);
  return Shortage::Kind::kNone;
}

void PagePool::Free(std::span<const FrameNumber> frames) {
  ModeChanges changes;
  {
    SpinLockHolder hold(lock_);
    for (size_t done = 0; done < frames.size();) {
      TWOSTEP_CHECK(Contains(frames[done]));
      const uint32_t index = frames[done] - first_;
      const Head& head = heads_[index];
      const uint64_t size = uint64_t{1} << head.order;
      TWOSTEP_CHECK(size <= frames.size() - done);
      OwnerPools& pools = owners_[head.owner];
      --pools.blocks_in_use;
      if (pools.owner == nullptr) {
        ReturnToStock(index, &changes);
      } else {
        pools.blocks[static_cast<int>(head.caching)][head.order].push_back(
            index);
        cached_ += size;
      }
      done += size;
    }
  }
  Charge(changes);
}

uint64_t PagePool::GiveBack(uint64_t pages) {
  ModeChanges changes;
  uint64_t returned;
  {
    SpinLockHolder hold(lock_);
    returned = EmptyPools(pages, &changes);
  }
  Charge(changes);
  return returned;
}

void PagePool::Forget(Owner owner) {
  ModeChanges changes;
  {
    SpinLockHolder hold(lock_);
    for (OwnerPools& pools : owners_) {
      if (pools.owner != owner) continue;
      pools.owner = nullptr;
      for (auto& by_order : pools.blocks) {
        for (Blocks& blocks : by_order) {
          for (const uint32_t index : blocks) {
            const uint64_t size = uint64_t{1} << heads_[index].order;
            cached_ -= size;
            stats_.given_back_pages.fetch_add(size, std::memory_order_relaxed);
            ReturnToStock(index, &changes);
          }
          blocks.clear();
        }
      }
    }
  }
  Charge(changes);
}

Shortage PagePool::Describe(PageCount pages) const {
  SpinLockHolder hold(lock_);
  const uint64_t free = frames_ == 0 ? 0 : stock_.free() + cached_;
  const Shortage::Kind kind = pages > frames_ ? Shortage::Kind::kNeverFits
                              : pages > free  ? Shortage::Kind::kFull
                                              : Shortage::Kind::kNone;
  return Shortage{kind, free, free};
}

uint64_t PagePool::used_frames() const {
  SpinLockHolder hold(lock_);
  return stock_.used() - cached_;
}

uint64_t PagePool::cached_frames() const {
  SpinLockHolder hold(lock_);
  return cached_;
}

size_t PagePool::cached_blocks(Owner owner, Caching caching, int order) const {
  SpinLockHolder hold(lock_);
  for (const OwnerPools& pools : owners_) {
    if (pools.owner == owner) {
      return pools.blocks[static_cast<int>(caching)][order].size();
    }
  }
  return 0;
}

}  // namespace twostep
