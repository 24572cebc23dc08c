#include "twostep/machine/frame_pool.h"

#include <algorithm>

#include "twostep/machine/check.h"

namespace twostep {

absl::StatusOr<std::unique_ptr<FramePool>> FramePool::Create(
    uint64_t bytes, PhysicalMemory& memory) {
  const uint64_t frames = bytes >> kPageShift;
  absl::StatusOr<FrameNumber> first = memory.Carve(frames);
  if (!first.ok()) return first.status();
  return std::unique_ptr<FramePool>(new FramePool(*first, frames));
}

FramePool::FramePool(FrameNumber first, uint64_t frames)
    : first_(first), frames_(frames), free_(frames) {
  for (uint64_t i = 0; i < frames; ++i) {
    free_[i] = first + static_cast<FrameNumber>(frames - 1 - i);
  }
}

Shortage::Kind FramePool::Allocate(std::span<FrameNumber> out) {
  if (out.size() > frames_) return Shortage::Kind::kNeverFits;
  SpinLockHolder hold(lock_);
  if (out.size() > free_.size()) return Shortage::Kind::kFull;
  std::copy_n(free_.rbegin(), out.size(), out.begin());
  free_.resize(free_.size() - out.size());
  return Shortage::Kind::kNone;
}

void FramePool::Free(std::span<const FrameNumber> frames) {
  SpinLockHolder hold(lock_);
  TWOSTEP_CHECK(free_.size() + frames.size() <= frames_);
  for (const FrameNumber frame : frames) {
    TWOSTEP_DCHECK(frame >= first_ && frame < end_frame());
    free_.push_back(frame);
  }
}

Shortage FramePool::Describe(PageCount pages) const {
  SpinLockHolder hold(lock_);
  const Shortage::Kind kind = pages > frames_ ? Shortage::Kind::kNeverFits
                              : pages > free_.size() ? Shortage::Kind::kFull
                                                     : Shortage::Kind::kNone;
  return Shortage{kind, free_.size(), free_.size()};
}

uint64_t FramePool::used_frames() const {
  SpinLockHolder hold(lock_);
  return frames_ - free_.size();
}

}  // namespace twostep
