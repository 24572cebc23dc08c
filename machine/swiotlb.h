#ifndef MACHINE_SWIOTLB_H_
#define MACHINE_SWIOTLB_H_

// The pool of bounce buffers, as Linux's kernel/dma/swiotlb.c has it: slots of
// 2 KiB (IO_TLB_SHIFT), in sets of 128 (IO_TLB_SEGSIZE). A mapping is
// contiguous and lies within one set, so it is at most 256 KiB long; what is
// longer is refused as too long, never as full. The pool begins at a multiple
// of the size of a set, so sets are where addresses are multiples of 256 KiB.
//
// The sets are divided into areas (struct io_tlb_area), each with a lock of its
// own, so a mapping is in one area, too. A thread starts with its own and goes
// on to the others. Linux starts with that of the CPU; here it is the thread,
// counted from the one that made the pool, so that a run with one thread
// repeats whatever CPU it is on.
//
// Left out: pools that grow (CONFIG_SWIOTLB_DYNAMIC), rounding the size up to
// whole sets. Knows slots, not what bounces. Thread-safe.

#include <deque>
#include <memory>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "twostep/machine/dma_segments.h"
#include "twostep/machine/frame_map.h"
#include "twostep/machine/machine_config.h"
#include "twostep/machine/memory.h"
#include "twostep/machine/range_allocator.h"
#include "twostep/machine/space.h"
#include "twostep/machine/sync.h"

namespace twostep {

class Swiotlb {
 public:
  static constexpr uint64_t kSlotShift = 11;
  static constexpr uint64_t kSlotBytes = uint64_t{1} << kSlotShift;
  static constexpr uint64_t kSetSlots = 128;
  static constexpr uint64_t kSetBytes = kSetSlots << kSlotShift;
  static_assert(kSetBytes == SegmentLimits::kMaxAlignment);
  static constexpr uint64_t kSlotsAPage = kPageSize / kSlotBytes;

  // Carves the pool out of `memory`; its size is a multiple of the page size.
  // With a frame map (null: none) each set is exchanged for neighbours, as
  // xen_swiotlb_fixup does; kResourceExhausted when the hypervisor has too few.
  static absl::StatusOr<std::unique_ptr<Swiotlb>> Create(
      const SwiotlbConfig& config, PhysicalMemory& memory, FrameMap* frame_map);
  ~Swiotlb();
  Swiotlb(const Swiotlb&) = delete;
  Swiotlb& operator=(const Swiotlb&) = delete;

  struct Request {
    uint64_t bytes = 0;  // > 0
    // Powers of two up to kSetBytes: where it begins, what it does not cross.
    uint64_t alignment = kPageSize;
    uint64_t boundary = kSetBytes;
    // See SegmentLimits: it begins at the bits that `address` has of the mask,
    // not at a multiple of the alignment where the mask has more bits.
    uint64_t min_align_mask = 0;
    uint64_t address = 0;  // in memory
  };
  // The slots of one mapping. On shortage nothing is taken:
  //   kTooLong     more than kSetBytes without the mask, or than the boundary
  //   kNeverFits   the whole pool is smaller
  //   kFull        fewer slots are free
  //   kFragmented  enough are, but no run of them in any set
  Shortage::Kind Allocate(const Request& request, SpaceBlock* slots);
  void Free(const SpaceBlock& slots);

  // What a device with `limits` can ask of bounce buffers: no segment of them
  // is longer than a set, nor in two.
  static SegmentLimits LimitsOf(const SegmentLimits& limits) {
    return limits.And({.max_bytes = kSetBytes, .boundary = kSetBytes});
  }
  // The longest mapping (swiotlb_max_mapping_size): wherever it begins within
  // the mask, it ends in the same set.
  static constexpr uint64_t LongestFor(uint64_t min_align_mask) {
    return kSetBytes -
           (min_align_mask + (kSlotBytes - 1)) / kSlotBytes * kSlotBytes;
  }
  // Where a mapping begins. The bus sees the pool's pages where the CPU has
  // them.
  static uint64_t AddressOf(const SpaceBlock& slots, const Request& request) {
    return slots.start * kSlotBytes +
           (request.address & request.min_align_mask & (kSlotBytes - 1));
  }

  // For choosing victims by position: shows `use` the slots of each area, with
  // its lock held, beginning with the thread's own; and what a request asks of
  // them. REQUIRES: no `min_align_mask` of more bits than the alignment.
  void ForEachArea(absl::FunctionRef<void(RangeAllocator&)> use);
  static SpaceRequest SpaceFor(const Request& request);
  size_t areas() const { return areas_.size(); }

  // For mappings of `pages` pages in all, in pages: kFull, kNeverFits or kNone.
  // The largest hole is the longest mapping that could be had.
  Shortage Describe(PageCount pages) const;
  uint64_t frames() const { return frames_; }
  // In pages: slots in use, rounded up; the others.
  uint64_t used_frames() const;
  uint64_t free_frames() const { return frames_ - used_frames(); }
  FrameNumber first_frame() const { return first_; }
  // All frames of the pool are below this one.
  FrameNumber end_frame() const {
    return first_ + static_cast<FrameNumber>(frames_);
  }
  // The highest address of the pool on the bus, as a frame. REQUIRES: not
  // empty.
  FrameNumber highest_on_bus() const {
    return frame_map_ == nullptr ? end_frame() - 1
                                 : frame_map_->highest_exchanged();
  }
  bool Contains(FrameNumber frame) const {
    return frame >= first_ && frame < end_frame();
  }

 private:
  struct Area {
    Area(uint64_t start, uint64_t size) : slots(start, size) {}

    mutable SpinLock lock;
    RangeAllocator slots ABSL_GUARDED_BY(lock);
  };

  Swiotlb(FrameNumber first, uint64_t frames, uint32_t areas,
          FrameMap* frame_map, Faults* faults);
  size_t OwnArea() const;
  Area& AreaOf(const SpaceBlock& slots);

  const FrameNumber first_;
  const uint64_t frames_;
  FrameMap* const frame_map_;
  Faults* const faults_;
  // First frames of what was exchanged.
  std::vector<FrameNumber> exchanged_;
  const uint32_t made_by_;     // the number of a thread
  const uint64_t area_slots_;  // the last may have more
  std::deque<Area> areas_;
};

}  // namespace twostep

#endif  // MACHINE_SWIOTLB_H_
