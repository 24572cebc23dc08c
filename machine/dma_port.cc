#include "twostep/machine/dma_port.h"

#include <algorithm>
#include <bit>

#include "absl/strings/str_format.h"
#include "twostep/machine/dma_debug.h"

namespace twostep {

DmaPort::~DmaPort() {
  if (domain_.debug() != nullptr) domain_.debug()->PortGoes(*this);
}

bool DmaPort::Reaches(std::span<const FrameNumber> frames) const {
  const FrameNumber highest = highest_frame();
  return std::all_of(frames.begin(), frames.end(),
                     [&](FrameNumber frame) { return frame <= highest; }) &&
         CanUse(frames);
}

IovaLimits DmaPort::IovasFor(PageCount pages) const {
  IovaLimits iovas{highest_};
  if (pages >= limits_.alignment_pages()) {
    iovas.alignment_pages = limits_.alignment_pages();
  }
  // From anywhere else on a boundary may cost one segment more.
  if (limits_.boundary != 0 && limits_.max_segments < pages) {
    iovas.alignment_pages = std::max(iovas.alignment_pages,
                                     std::min(limits_.boundary >> kPageShift,
                                              std::bit_ceil(uint64_t{pages})));
  }
  return iovas;
}

void DmaPort::CheckAccess(DmaAddress address, Access access, bool reached) {
  domain_.debug()->Accessed(*this, address, access, reached);
}

void DmaPort::RecordFault(DmaAddress address, Access access) {
  faults_.fetch_add(1, std::memory_order_relaxed);
  std::string text = absl::StrFormat(
      "DMA fault in domain %s: %s of address %#x, %s", domain_.name(),
      access == Access::kRead ? "read" : "write", address,
      address > highest_ ? "beyond the device's mask" : "which is not mapped");
  SpinLockHolder hold(lock_);
  last_fault_ = std::move(text);
}

std::string DmaPort::last_fault() const {
  SpinLockHolder hold(lock_);
  return last_fault_;
}

}  // namespace twostep
