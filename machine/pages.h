#ifndef MACHINE_PAGES_H_
#define MACHINE_PAGES_H_

// The pages of a bo: their frame numbers, 4 bytes each, and where the frames
// came from, which is who takes them back. Thread-compatible.
//
//   kNone --Populate--> kMemory --SwapOut--> kSwapped --SwapIn--> kMemory
//                          ^ a DMA binder adopts and returns frames
//                          v
//                       kBinder

#include <memory>
#include <span>

#include "absl/status/statusor.h"
#include "twostep/machine/memory.h"
#include "twostep/machine/space.h"
#include "twostep/machine/swap_store.h"
#include "twostep/machine/types.h"

namespace twostep {

class Pages {
 public:
  enum class Home : uint8_t {
    kNone,     // no frames, no contents
    kMemory,   // ordinary frames
    kBinder,   // frames of a DMA binder's own memory
    kSwapped,  // entries are slots of the swap store
  };

  explicit Pages(PageCount count) : count_(count) {}
  Pages(Pages&& other) noexcept
      : entries_(std::move(other.entries_)),
        count_(other.count_),
        home_(std::exchange(other.home_, Home::kNone)) {}
  Pages& operator=(Pages&&) = delete;
  ~Pages();

  PageCount count() const { return count_; }
  Home home() const { return home_; }
  // Frames are there to be read and written.
  bool present() const {
    return home_ == Home::kMemory || home_ == Home::kBinder;
  }
  std::span<FrameNumber> frames() { return {entries_.get(), count_}; }
  std::span<const FrameNumber> frames() const {
    return {entries_.get(), count_};
  }

  // Takes zeroed frames of at most `highest`; does nothing when already
  // present. On shortage nothing is taken. REQUIRES: not swapped.
  Shortage::Kind Populate(PhysicalMemory& memory, FrameNumber highest,
                          PhysicalMemory::Zero zero);
  // Gives frames or slots back, contents and all. REQUIRES: not kBinder.
  void Release(PhysicalMemory& memory, SwapStore& swap);
  // Both keep the bytes. On shortage nothing has changed, nor when the swap
  // store cannot be read (kDataLoss).
  // REQUIRES: kMemory, kSwapped respectively.
  Shortage::Kind SwapOut(PhysicalMemory& memory, SwapStore& swap);
  absl::StatusOr<Shortage::Kind> SwapIn(PhysicalMemory& memory, SwapStore& swap,
                                        FrameNumber highest);

  // For binders: replaces the frames by `frames`, of which there are count(),
  // and returns the old ones (null when there were none).
  std::unique_ptr<FrameNumber[]> Adopt(std::unique_ptr<FrameNumber[]> frames,
                                       Home home);

 private:
  std::unique_ptr<FrameNumber[]> entries_;
  const PageCount count_;
  Home home_ = Home::kNone;
};

}  // namespace twostep

#endif  // MACHINE_PAGES_H_
