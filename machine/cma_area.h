#ifndef MACHINE_CMA_AREA_H_
#define MACHINE_CMA_AREA_H_

// The contiguous memory area: runs of neighbouring frames, aligned to their
// order up to 1 MiB as the kernel does. It fills, and it fragments.
// Thread-safe.

#include <memory>

#include "absl/status/statusor.h"
#include "twostep/machine/memory.h"
#include "twostep/machine/range_allocator.h"
#include "twostep/machine/space.h"
#include "twostep/machine/sync.h"

namespace twostep {

class CmaArea {
 public:
  // Carves `bytes` (a multiple of the page size) out of `memory`.
  static absl::StatusOr<std::unique_ptr<CmaArea>> Create(
      uint64_t bytes, PhysicalMemory& memory);

  // `block->start` becomes the first frame. On shortage nothing is taken.
  Shortage::Kind Allocate(PageCount pages, SpaceBlock* block);
  void Free(const SpaceBlock& block);

  Shortage Describe(PageCount pages) const;
  uint64_t frames() const { return frames_; }
  uint64_t used_frames() const;
  FrameNumber end_frame() const {
    return first_ + static_cast<FrameNumber>(frames_);
  }
  bool Contains(FrameNumber frame) const {
    return frame >= first_ && frame < end_frame();
  }
  // For choosing victims by position: call with space_lock() held.
  SpinLock& space_lock() ABSL_LOCK_RETURNED(lock_) { return lock_; }
  RangeAllocator& space() ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_) {
    return space_;
  }
  static SpaceRequest RequestFor(PageCount pages);

 private:
  CmaArea(FrameNumber first, uint64_t frames, Faults* faults);

  const FrameNumber first_;
  const uint64_t frames_;
  Faults* const faults_;
  mutable SpinLock lock_;
  RangeAllocator space_ ABSL_GUARDED_BY(lock_);
};

}  // namespace twostep

#endif  // MACHINE_CMA_AREA_H_
