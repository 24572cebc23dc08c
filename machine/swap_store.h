#ifndef MACHINE_SWAP_STORE_H_
#define MACHINE_SWAP_STORE_H_

// Where bytes go when their frames are needed: page slots in a file of its own
// (backed), or accounts only (unbacked). Thread-safe.

#include <memory>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "twostep/machine/memory.h"
#include "twostep/machine/space.h"
#include "twostep/machine/sync.h"

namespace twostep {

class SwapStore {
 public:
  // `bytes` is a multiple of the page size, at most 8 TiB.
  static absl::StatusOr<std::unique_ptr<SwapStore>> Create(
      uint64_t bytes, PhysicalMemory& memory);
  ~SwapStore();
  SwapStore(const SwapStore&) = delete;
  SwapStore& operator=(const SwapStore&) = delete;

  // Writes each frame's bytes to a slot of its own and fills `slots` (same
  // size) with their numbers; the frames stay the caller's. On kFull nothing
  // has changed.
  Shortage::Kind Store(std::span<const FrameNumber> frames,
                       std::span<uint32_t> slots);
  // Reads each slot in `slots` into the frame of `frames` at the same place and
  // frees the slot.
  void Load(std::span<const uint32_t> slots,
            std::span<const FrameNumber> frames);
  // Frees the slots without reading them.
  void Drop(std::span<const uint32_t> slots);

  uint64_t pages() const { return pages_; }
  uint64_t used_pages() const;

 private:
  SwapStore(uint64_t pages, PhysicalMemory& memory);

  PhysicalMemory& memory_;
  const uint64_t pages_;
  std::byte* bytes_ = nullptr;
  mutable SpinLock lock_;
  uint64_t untouched_ ABSL_GUARDED_BY(lock_) = 0;
  std::vector<uint32_t> returned_ ABSL_GUARDED_BY(lock_);
};

}  // namespace twostep

#endif  // MACHINE_SWAP_STORE_H_
