#ifndef MACHINE_PAGE_POOL_H_
#define MACHINE_PAGE_POOL_H_

// Coherent memory: a finite stock of frames, handed out in blocks of 2^order
// neighbours up to 2 MiB, and in front of it the pools of blocks that were
// given back. Changing how the CPU caches a page is costly, so a block keeps
// its caching mode and waits for the next request of the same owner, mode and
// order; it is never split for a smaller one. (As Linux's ttm_pool.)
//
//   stock --mode set--> in use --Free--> cached --Allocate: a hit--> in use
//     ^                                    |
//     '-- mode reset: GiveBack, Forget, or the stock is empty --'
//
// What is cached counts as free: it goes back to the stock before anybody is
// told that the memory is full. A Xen PV guest has a block of several frames
// exchanged for neighbours on the bus as it leaves the stock, and gives that
// back as it returns; where the hypervisor has none, smaller blocks are taken
// (xen_swiotlb_alloc_coherent would fail). Requests fall back to smaller blocks
// down to single frames, so the memory fills and cannot fragment. Knows frames,
// not bos. Thread-safe.

#include <array>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "twostep/machine/buddy_allocator.h"
#include "twostep/machine/clock.h"
#include "twostep/machine/frame_map.h"
#include "twostep/machine/memory.h"
#include "twostep/machine/space.h"
#include "twostep/machine/sync.h"

namespace twostep {

// How the CPU sees pages that a device uses. Fresh frames are kCached; any
// other mode has to be set and reset, which takes time.
enum class Caching : uint8_t { kCached, kWriteCombined, kUncached };
inline constexpr int kCachingModes = 3;

class PagePool {
 public:
  static constexpr int kMaxOrder = 9;  // 2 MiB
  // Whose pools: the address of a device's port.
  using Owner = const void*;

  struct Stats {
    Atomic<uint64_t> hits{0};              // blocks taken from a pool
    Atomic<uint64_t> misses{0};            // blocks taken from the stock
    Atomic<uint64_t> given_back_pages{0};  // from the pools to the stock
  };

  // Carves `bytes` (a multiple of the page size) out of `memory`. All must
  // outlive the pool.
  static absl::StatusOr<std::unique_ptr<PagePool>> Create(
      uint64_t bytes, PhysicalMemory& memory, Clock& clock,
      const CostModel& cost, FrameMap* frame_map = nullptr);
  ~PagePool();
  PagePool(const PagePool&) = delete;
  PagePool& operator=(const PagePool&) = delete;

  // Fills all of `out`, block after block, the largest orders first, then the
  // rest; or takes nothing (kFull, or kNeverFits when all of the memory is
  // smaller). The bytes are whatever they were: the caller overwrites or zeroes
  // all of them. Charges for modes that are set and reset.
  Shortage::Kind Allocate(Owner owner, Caching caching,
                          std::span<FrameNumber> out);
  // `frames` as Allocate filled them: into the pools that they came for.
  void Free(std::span<const FrameNumber> frames);

  // Returns cached blocks to the stock, of each pool in turn, until they are at
  // least `pages`, or none is left. How many pages that were.
  uint64_t GiveBack(uint64_t pages);
  // The same for all that is cached for an owner who goes, and for what it has
  // in use, once that is freed.
  void Forget(Owner owner);

  Shortage Describe(PageCount pages) const;
  uint64_t frames() const { return frames_; }
  // In use, what is cached not counted.
  uint64_t used_frames() const;
  uint64_t cached_frames() const;
  // Blocks that wait in one pool.
  size_t cached_blocks(Owner owner, Caching caching, int order) const;
  const Stats& stats() const { return stats_; }
  // All frames are below this one.
  FrameNumber end_frame() const {
    return first_ + static_cast<FrameNumber>(frames_);
  }
  // The highest frame on the bus that a block may have.
  FrameNumber highest_on_bus() const {
    return frame_map_ == nullptr ? end_frame() - 1
                                 : frame_map_->highest_exchanged();
  }
  bool Contains(FrameNumber frame) const {
    return frame >= first_ && frame < end_frame();
  }

 private:
  // Of the first frame of a block that is in use or cached.
  struct Head {
    uint32_t node = 0;  // the stock's name for it
    uint16_t owner = 0;
    Caching caching = Caching::kCached;
    uint8_t order = 0;
  };
  static_assert(sizeof(Head) == 8);
  // Frame indices, the one freed last at the back: its cache lines are warm.
  using Blocks = std::vector<uint32_t>;
  struct OwnerPools {
    Owner owner = nullptr;  // null: forgotten, the place can be used again
    uint64_t blocks_in_use = 0;
    std::array<std::array<Blocks, kMaxOrder + 1>, kCachingModes> blocks;
  };
  // Caching modes that were set or reset, to be charged for.
  struct ModeChanges {
    uint64_t blocks = 0;
    uint64_t pages = 0;
  };

  PagePool(FrameNumber first, uint64_t frames, Clock& clock,
           const CostModel& cost, FrameMap* frame_map, Faults* faults);
  uint16_t PlaceOf(Owner owner) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  // One block of at most `order`; its index, with its head filled in.
  uint32_t TakeBlock(uint16_t owner, Caching caching, int order,
                     ModeChanges* changes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  bool TakeFromStock(uint32_t* index, int order)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void ReturnToStock(uint32_t index, ModeChanges* changes)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  uint64_t EmptyPools(uint64_t pages, ModeChanges* changes)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  static void Count(const Head& head, ModeChanges* changes);
  void Charge(const ModeChanges& changes);

  const FrameNumber first_;
  const uint64_t frames_;
  Clock& clock_;
  const CostModel& cost_;
  FrameMap* const frame_map_;  // null: none
  Faults* const faults_;
  Stats stats_;
  mutable SpinLock lock_;
  BuddyAllocator stock_ ABSL_GUARDED_BY(lock_);
  std::vector<Head> heads_ ABSL_GUARDED_BY(lock_);
  std::vector<OwnerPools> owners_ ABSL_GUARDED_BY(lock_);
  uint64_t cached_ ABSL_GUARDED_BY(lock_) = 0;
  // The pool whose turn it is to give a block back.
  size_t turn_ ABSL_GUARDED_BY(lock_) = 0;
};

}  // namespace twostep

#endif  // MACHINE_PAGE_POOL_H_
