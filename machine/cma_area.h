#ifndef MACHINE_CMA_AREA_H_
#define MACHINE_CMA_AREA_H_

// The contiguous memory area: runs of neighbouring frames, aligned to their
// order up to 1 MiB as the kernel does. It fills, and it fragments. What it has
// lent to the host makes way, but for pages that are busy. Thread-safe.

#include <memory>

#include "absl/status/statusor.h"
#include "twostep/machine/cma_neighbours.h"
#include "twostep/machine/memory.h"
#include "twostep/machine/range_allocator.h"
#include "twostep/machine/space.h"
#include "twostep/machine/sync.h"

namespace twostep {

class CmaArea {
 public:
  // Carves `bytes` (a multiple of the page size) out of `memory`, and lends
  // some of it. kInvalidArgument where the loan is larger than the area, or
  // than the memory beside it, which is where it has to go.
  static absl::StatusOr<std::unique_ptr<CmaArea>> Create(uint64_t bytes,
                                                         const CmaLoan& loan,
                                                         PhysicalMemory& memory,
                                                         Clock& clock,
                                                         const CostModel& cost);

  // `block->start` becomes the first frame. kNoFrames: there is a run, but no
  // ordinary frames for the pages in it that must make way. On shortage nothing
  // is taken.
  Shortage::Kind Allocate(PageCount pages, SpaceBlock* block);
  void Free(const SpaceBlock& block);

  // Busy pages are not free.
  Shortage Describe(PageCount pages) const;
  uint64_t frames() const { return frames_; }
  // By bos.
  uint64_t used_frames() const;
  FrameNumber end_frame() const {
    return first_ + static_cast<FrameNumber>(frames_);
  }
  bool Contains(FrameNumber frame) const {
    return frame >= first_ && frame < end_frame();
  }
  // Null: nothing is lent.
  const CmaNeighbours* neighbours() const { return neighbours_.get(); }
  // For choosing victims by position: call with space_lock() held.
  SpinLock& space_lock() ABSL_LOCK_RETURNED(lock_) { return lock_; }
  RangeAllocator& space() ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_) {
    return space_;
  }
  static SpaceRequest RequestFor(PageCount pages);

 private:
  CmaArea(FrameNumber first, uint64_t frames, Faults* faults);
  void Lend(const CmaLoan& loan, PhysicalMemory& memory, Clock& clock,
            const CostModel& cost);

  const FrameNumber first_;
  const uint64_t frames_;
  Faults* const faults_;
  std::unique_ptr<CmaNeighbours> neighbours_;
  uint64_t busy_frames_ = 0;
  mutable SpinLock lock_;
  // Busy pages have a block each that nobody gives up, so that no search comes
  // by them.
  RangeAllocator space_ ABSL_GUARDED_BY(lock_);
};

}  // namespace twostep

#endif  // MACHINE_CMA_AREA_H_
