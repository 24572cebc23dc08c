#ifndef MACHINE_PAGES_H_
#define MACHINE_PAGES_H_

// The pages of a bo: their frame numbers, 4 bytes each, and where the frames
// came from, which is who takes them back. Thread-compatible.
//
//   kNone --Populate--> kMemory --SwapOut--> kSwapped --SwapIn--> kMemory
//                          ^ a DMA binder adopts and returns frames
//                          v
//                       kBinder

#include <span>
#include <utility>

#include "absl/status/statusor.h"
#include "twostep/machine/check.h"
#include "twostep/machine/memory.h"
#include "twostep/machine/space.h"
#include "twostep/machine/swap_store.h"
#include "twostep/machine/types.h"

namespace twostep {

// Frame numbers, or slots, of so many pages; a single one needs no memory of
// its own. Thread-compatible.
class FrameArray {
 public:
  // Room for them, uninitialized.
  static FrameArray For(PageCount count) {
    FrameArray array(count);
    if (count > 1) array.numbers_.many = new FrameNumber[count];
    return array;
  }
  // No room.
  explicit FrameArray(PageCount count) : count_(count) {}
  FrameArray(FrameArray&& other) noexcept
      : numbers_(std::exchange(other.numbers_, {nullptr})),
        count_(other.count_) {}
  // REQUIRES: of as many. The count, which anybody may read, is not written.
  FrameArray& operator=(FrameArray&& other) noexcept {
    TWOSTEP_DCHECK(count_ == other.count_);
    std::swap(numbers_, other.numbers_);
    return *this;
  }
  ~FrameArray() {
    if (count_ > 1) delete[] numbers_.many;
  }

  PageCount count() const { return count_; }
  // REQUIRES for both: there is room.
  std::span<FrameNumber> numbers() {
    return {count_ > 1 ? numbers_.many : &numbers_.one, count_};
  }
  std::span<const FrameNumber> numbers() const {
    return {count_ > 1 ? numbers_.many : &numbers_.one, count_};
  }

 private:
  union Numbers {
    FrameNumber* many;
    FrameNumber one;
  };
  Numbers numbers_{nullptr};
  const PageCount count_;
};

class Pages {
 public:
  enum class Home : uint8_t {
    kNone,     // no frames, no contents
    kMemory,   // ordinary frames
    kBinder,   // frames of a DMA binder's own memory
    kSwapped,  // entries are slots of the swap store
  };

  explicit Pages(PageCount count) : entries_(count) {}
  Pages(Pages&& other) noexcept
      : entries_(std::move(other.entries_)),
        home_(std::exchange(other.home_, Home::kNone)) {}
  Pages& operator=(Pages&&) = delete;
  ~Pages();

  PageCount count() const { return entries_.count(); }
  Home home() const { return home_; }
  // Frames are there to be read and written.
  bool present() const {
    return home_ == Home::kMemory || home_ == Home::kBinder;
  }
  std::span<FrameNumber> frames() { return entries_.numbers(); }
  std::span<const FrameNumber> frames() const { return entries_.numbers(); }

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
  // and returns the old ones, if there were any.
  FrameArray Adopt(FrameArray frames, Home home);

 private:
  [[no_unique_address]] FrameArray entries_;  // home_ lies in its padding
  Home home_ = Home::kNone;
};
static_assert(sizeof(Pages) == 16);

}  // namespace twostep

#endif  // MACHINE_PAGES_H_
