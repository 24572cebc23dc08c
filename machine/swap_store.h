#ifndef MACHINE_SWAP_STORE_H_
#define MACHINE_SWAP_STORE_H_

// Where bytes go when their frames are needed: page slots in memory of its own,
// or compressed in a file (SwapMedium); accounts only where the machine is
// unbacked. Which medium shows in nothing but speed, and in what can go wrong.
// Thread-safe.

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "twostep/machine/machine_config.h"
#include "twostep/machine/memory.h"
#include "twostep/machine/space.h"
#include "twostep/machine/sync.h"

namespace twostep {

class SwapStore {
 public:
  // `bytes` is a multiple of the page size, at most 8 TiB. kResourceExhausted
  // when the host refuses the memory, kUnavailable when the file.
  static absl::StatusOr<std::unique_ptr<SwapStore>> Create(
      SwapMedium medium, uint64_t bytes, PhysicalMemory& memory);
  virtual ~SwapStore() = default;
  SwapStore(const SwapStore&) = delete;
  SwapStore& operator=(const SwapStore&) = delete;

  // Writes each frame's bytes to a slot of its own and fills `slots` (same
  // size) with their numbers; the frames stay the caller's. On kFull nothing
  // has changed: there are not enough slots, or the medium took no more, which
  // Describe() then says.
  Shortage::Kind Store(std::span<const FrameNumber> frames,
                       std::span<uint32_t> slots);
  // Reads each slot in `slots` into the frame of `frames` at the same place and
  // frees the slots. kDataLoss when the medium cannot be read: the slots stay,
  // the frames have any bytes.
  absl::Status Load(std::span<const uint32_t> slots,
                    std::span<const FrameNumber> frames);
  // Frees the slots without reading them.
  void Drop(std::span<const uint32_t> slots);

  uint64_t pages() const { return pages_; }
  uint64_t used_pages() const;
  // How full it is, and the last error of its medium, in words.
  std::string Describe() const;

 protected:
  // Of accounts only.
  SwapStore(uint64_t pages, PhysicalMemory& memory)
      : memory_(memory), pages_(pages) {}
  PhysicalMemory& memory() const { return memory_; }

 private:
  // After an error nothing is kept of any of them.
  virtual absl::Status Write(std::span<const FrameNumber>,
                             std::span<const uint32_t>) {
    return absl::OkStatus();
  }
  // Keeps them.
  virtual absl::Status Read(std::span<const uint32_t>,
                            std::span<const FrameNumber>) {
    return absl::OkStatus();
  }
  virtual void Forget(std::span<const uint32_t>) {}

  void NoteError(const absl::Status& error);
  void ReturnSlots(std::span<const uint32_t> slots);

  PhysicalMemory& memory_;
  const uint64_t pages_;
  mutable SpinLock lock_;
  uint64_t untouched_ ABSL_GUARDED_BY(lock_) = 0;
  std::vector<uint32_t> returned_ ABSL_GUARDED_BY(lock_);
  std::string last_error_ ABSL_GUARDED_BY(lock_);
};

}  // namespace twostep

#endif  // MACHINE_SWAP_STORE_H_
