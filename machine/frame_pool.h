#ifndef MACHINE_FRAME_POOL_H_
#define MACHINE_FRAME_POOL_H_

// A finite stock of page frames handed out one by one: the bounce pages of the
// SWIOTLB (two 2 KiB slots each; streaming maps of single pages, as
// dma_map_page makes them). It fills but cannot fragment. Thread-safe.

#include <memory>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "twostep/machine/memory.h"
#include "twostep/machine/space.h"
#include "twostep/machine/sync.h"

namespace twostep {

class FramePool {
 public:
  // Carves `bytes` (a multiple of the page size) out of `memory`.
  static absl::StatusOr<std::unique_ptr<FramePool>> Create(
      uint64_t bytes, PhysicalMemory& memory);

  // Fills all of `out`, or takes nothing (kFull, or kNeverFits when the whole
  // pool is smaller). The bytes are whatever they were.
  Shortage::Kind Allocate(std::span<FrameNumber> out);
  void Free(std::span<const FrameNumber> frames);

  Shortage Describe(PageCount pages) const;
  uint64_t frames() const { return frames_; }
  uint64_t used_frames() const;
  // All frames of the pool are below this one.
  FrameNumber end_frame() const {
    return first_ + static_cast<FrameNumber>(frames_);
  }
  bool Contains(FrameNumber frame) const {
    return frame >= first_ && frame < end_frame();
  }

 private:
  FramePool(FrameNumber first, uint64_t frames);

  const FrameNumber first_;
  const uint64_t frames_;
  mutable SpinLock lock_;
  std::vector<FrameNumber> free_ ABSL_GUARDED_BY(lock_);
};

}  // namespace twostep

#endif  // MACHINE_FRAME_POOL_H_
