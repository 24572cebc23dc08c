#include "twostep/machine/dma_port.h"

#include "absl/strings/str_format.h"

namespace twostep {

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
