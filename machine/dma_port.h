#ifndef MACHINE_DMA_PORT_H_
#define MACHINE_DMA_PORT_H_

// A device's plug on the bus: which domain translates its addresses, how many
// address bits it has, what it asks of runs of addresses, and whether it sees
// the CPU's caches. Every access of a
// device to memory that is bound for it goes through Resolve, so that one to
// memory it is not bound to is a recorded fault, never a silent wrong access.
// Thread-safe.

#include <cstddef>
#include <span>
#include <string>
#include <utility>

#include "twostep/machine/dma_domain.h"
#include "twostep/machine/dma_segments.h"
#include "twostep/machine/memory.h"
#include "twostep/machine/sync.h"
#include "twostep/machine/types.h"

namespace twostep {

class DmaPort {
 public:
  // `mask_bits` in [24, 64]. A device that is not coherent needs
  // memory.SeparateDeviceView(). The name is for reports.
  DmaPort(DmaDomain& domain, PhysicalMemory& memory, int mask_bits,
          bool coherent, const SegmentLimits& limits = {},
          std::string name = "")
      : domain_(domain),
        memory_(memory),
        highest_(mask_bits >= 64 ? ~DmaAddress{0}
                                 : (DmaAddress{1} << mask_bits) - 1),
        coherent_(coherent),
        limits_(limits),
        name_(std::move(name)) {}
  // What is mapped through it should be unmapped by now.
  ~DmaPort();
  DmaPort(const DmaPort&) = delete;
  DmaPort& operator=(const DmaPort&) = delete;

  DmaDomain& domain() const { return domain_; }
  const std::string& name() const { return name_; }
  PhysicalMemory& memory() const { return memory_; }
  // The highest address the device can put on the bus.
  DmaAddress highest() const { return highest_; }
  // The highest frame whose physical address the device can put there.
  FrameNumber highest_frame() const {
    const uint64_t page = highest_ >> kPageShift;
    return page >= kNoFrame ? kNoFrame - 1 : static_cast<FrameNumber>(page);
  }
  bool coherent() const { return coherent_; }
  const SegmentLimits& limits() const { return limits_; }
  // Whether the device can use the frames at their direct addresses, in that
  // order, by its limits.
  bool CanUse(std::span<const FrameNumber> frames) const {
    return KeepsTo(
        static_cast<PageCount>(frames.size()), limits_,
        [&](PageCount page) { return domain_.DirectAddress(frames[page]); });
  }
  // The same, and its mask reaches all of them.
  bool Reaches(std::span<const FrameNumber> frames) const;
  // Where the IOVAs of that many pages may lie, so that the limits are kept.
  IovaLimits IovasFor(PageCount pages) const;

  // The page at `address` as this device sees it; null when the access faults
  // (beyond the mask, or not mapped), which is recorded.
  std::byte* Resolve(DmaAddress address, Access access) {
    const FrameNumber frame =
        address <= highest_ ? domain_.Translate(address) : kNoFrame;
    if (domain_.debug() != nullptr) {
      CheckAccess(address, access, frame != kNoFrame);
    }
    if (frame == kNoFrame) {
      RecordFault(address, access);
      return nullptr;
    }
    return coherent_ ? memory_.CpuBytes(frame) : memory_.DeviceBytes(frame);
  }

  uint64_t faults() const { return faults_.load(std::memory_order_relaxed); }
  // The last fault in words; empty when there was none.
  std::string last_fault() const;

 private:
  void RecordFault(DmaAddress address, Access access);
  void CheckAccess(DmaAddress address, Access access, bool reached);

  DmaDomain& domain_;
  PhysicalMemory& memory_;
  const DmaAddress highest_;
  const bool coherent_;
  const SegmentLimits limits_;
  const std::string name_;
  Atomic<uint64_t> faults_{0};
  mutable SpinLock lock_;
  std::string last_fault_ ABSL_GUARDED_BY(lock_);
};

}  // namespace twostep

#endif  // MACHINE_DMA_PORT_H_
