#ifndef BO_VIRTUAL_DEVICE_H_
#define BO_VIRTUAL_DEVICE_H_

// The hypervisor's virtual device, in a Xen PV guest: it says which pages a
// device can use only as coherent memory, and lends its identity to bos that
// are coherent before any real device has them. On bare metal there is none.
// (Thomas Hellstrom, "Future TTM DMA direction", dri-devel, January 2012.)
//
//   auto hypervisor = VirtualDevice::Find(host);   // null on bare metal
//   const DmaType type = hypervisor != nullptr &&
//       hypervisor->NeedsCoherent(*bo, gpu) ? DmaType::kCoherent :
//       DmaType::kNone;
//
// Thread-safe, with each bo guarded by its reservation.

#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "twostep/bo/device.h"
#include "twostep/bo/host.h"

namespace twostep {

class VirtualDevice {
 public:
  // Null on a machine that is no hypervisor's guest. It must go before the
  // host. An error is Device::Create's.
  static absl::StatusOr<std::unique_ptr<VirtualDevice>> Find(Host& host);

  // Whether `device` can use the contents of `bo` only in coherent memory: by
  // the frames that it has, and, where it has none, by what frames could be
  // had. REQUIRES: `bo` is reserved by this thread, and DMA-bound by nobody.
  bool NeedsCoherent(const BufferObject& bo, const Device& device) const;

  // Brings an anonymous bo into coherent memory, in the name of this device
  // and seen by no GPU. A real device that validates it gets a copy in coherent
  // memory of its own (R9). Errors are Device::Validate's.
  // REQUIRES: `bo` is reserved by this thread.
  absl::Status MakeCoherent(BufferObject& bo, ValidateContext* context);

  Device& device() const { return *device_; }

 private:
  explicit VirtualDevice(std::unique_ptr<Device> device)
      : device_(std::move(device)) {}

  const std::unique_ptr<Device> device_;
};

}  // namespace twostep

#endif  // BO_VIRTUAL_DEVICE_H_
