#ifndef MACHINE_DEVICE_MEMORY_H_
#define MACHINE_DEVICE_MEMORY_H_

// What a GPU has on board: its video memory, of which the CPU can map a window
// at the start, and the page table of its aperture, which points at DMA
// addresses. Hardware: knows offsets and addresses, not who uses them.

#include <cstddef>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "twostep/machine/memory.h"
#include "twostep/machine/sync.h"
#include "twostep/machine/types.h"

namespace twostep {

class Vram {
 public:
  // Both sizes are multiples of the page size, bytes below 16 TiB;
  // visible_bytes <= bytes, or GpuConfig::kAllOfIt.
  static absl::StatusOr<std::unique_ptr<Vram>> Create(uint64_t bytes,
                                                      uint64_t visible_bytes,
                                                      Backing backing);
  ~Vram();
  Vram(const Vram&) = delete;
  Vram& operator=(const Vram&) = delete;

  uint64_t bytes() const { return bytes_; }
  uint64_t visible_bytes() const { return visible_bytes_; }
  // The device's view of all of it; null when unbacked.
  std::byte* data() const { return data_; }
  // It lost its power: other bytes everywhere.
  void Scribble();
  // For CPU mappings: offsets below visible_bytes().
  int fd() const { return fd_; }

 private:
  Vram(uint64_t bytes, uint64_t visible_bytes)
      : bytes_(bytes), visible_bytes_(visible_bytes) {}

  const uint64_t bytes_;
  const uint64_t visible_bytes_;
  int fd_ = -1;
  std::byte* data_ = nullptr;
};

// Thread-safe; translation takes no lock.
class ApertureTable {
 public:
  explicit ApertureTable(uint64_t pages);
  ~ApertureTable();
  ApertureTable(const ApertureTable&) = delete;
  ApertureTable& operator=(const ApertureTable&) = delete;

  uint64_t pages() const { return pages_; }
  // Lets aperture page `page` show `address`; kNoDmaAddress: nothing.
  void Set(uint64_t page, DmaAddress address);
  // kNoDmaAddress where nothing is shown.
  DmaAddress Get(uint64_t page) const;

 private:
  static constexpr uint64_t kLeafEntries = 512;
  struct Leaf {
    // Address + 1, so that a fresh leaf shows nothing.
    Atomic<DmaAddress> entries[kLeafEntries];
  };

  const uint64_t pages_;
  std::vector<Atomic<Leaf*>> leaves_;
};

}  // namespace twostep

#endif  // MACHINE_DEVICE_MEMORY_H_
