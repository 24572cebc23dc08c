#include "twostep/machine/pages.h"

#include <utility>

#include "twostep/machine/check.h"

namespace twostep {

Pages::~Pages() {
  // Frames have an owner who counts them: dropping the numbers would leak.
  TWOSTEP_CHECK(home_ == Home::kNone);
}

Shortage::Kind Pages::Populate(PhysicalMemory& memory, FrameNumber highest,
                               PhysicalMemory::Zero zero) {
  if (present()) return Shortage::Kind::kNone;
  TWOSTEP_CHECK(home_ == Home::kNone);
  FrameArray entries = FrameArray::For(count());
  const Shortage::Kind kind = memory.Allocate(entries.numbers(), highest, zero);
  if (kind != Shortage::Kind::kNone) return kind;
  entries_ = std::move(entries);
  home_ = Home::kMemory;
  return kind;
}

void Pages::Release(PhysicalMemory& memory, SwapStore& swap) {
  switch (home_) {
    case Home::kNone:
      return;
    case Home::kMemory:
      memory.Free(frames());
      break;
    case Home::kBinder:
      TWOSTEP_CHECK(home_ != Home::kBinder);  // its binder must unbind first
      break;
    case Home::kSwapped:
      swap.Drop(frames());
      break;
  }
  entries_ = FrameArray(count());
  home_ = Home::kNone;
}

Shortage::Kind Pages::SwapOut(PhysicalMemory& memory, SwapStore& swap) {
  TWOSTEP_CHECK(home_ == Home::kMemory);
  FrameArray slots = FrameArray::For(count());
  const Shortage::Kind kind = swap.Store(frames(), slots.numbers());
  if (kind != Shortage::Kind::kNone) return kind;
  memory.Free(frames());
  entries_ = std::move(slots);
  home_ = Home::kSwapped;
  return kind;
}

absl::StatusOr<Shortage::Kind> Pages::SwapIn(PhysicalMemory& memory,
                                             SwapStore& swap,
                                             FrameNumber highest) {
  TWOSTEP_CHECK(home_ == Home::kSwapped);
  FrameArray entries = FrameArray::For(count());
  const Shortage::Kind kind =
      memory.Allocate(entries.numbers(), highest, PhysicalMemory::Zero::kNo);
  if (kind != Shortage::Kind::kNone) return kind;
  absl::Status read = swap.Load(frames(), entries.numbers());
  if (!read.ok()) {
    memory.Free(entries.numbers());
    return read;
  }
  entries_ = std::move(entries);
  home_ = Home::kMemory;
  return kind;
}

FrameArray Pages::Adopt(FrameArray frames, Home home) {
  TWOSTEP_CHECK(home_ != Home::kSwapped);
  home_ = home;
  return std::exchange(entries_, std::move(frames));
}

}  // namespace twostep
