#include "twostep/bo/virtual_device.h"

#include <utility>

namespace twostep {

absl::StatusOr<std::unique_ptr<VirtualDevice>> VirtualDevice::Find(Host& host) {
  if (host.machine().frame_map() == nullptr) return nullptr;
  GpuConfig config;
  config.name = "hypervisor";
  // What is exchanged lies below 4 GiB.
  config.dma_mask_bits = 32;
  config.vram_bytes = 0;
  config.aperture_bytes = 0;
  auto device = Device::Create(host, config);
  if (!device.ok()) return device.status();
  return std::unique_ptr<VirtualDevice>(new VirtualDevice(*std::move(device)));
}

bool VirtualDevice::NeedsCoherent(const BufferObject& bo,
                                  const Device& device) const {
  bo.AssertHeld();
  TWOSTEP_CHECK(bo.binder() == nullptr);
  const DmaPort& port = device.port();
  if (bo.pages().present()) return !port.Reaches(bo.pages().frames());
  // Fresh frames are within the mask, and no two of them are neighbours.
  return !KeepsTo(bo.page_count(), port.limits(),
                  [](PageCount page) { return PagesToBytes(2 * page + 1); });
}

absl::Status VirtualDevice::MakeCoherent(BufferObject& bo,
                                         ValidateContext* context) {
  const Placement coherent{.dma = DmaType::kCoherent};
  return device_->Validate(bo, {&coherent, 1}, context);
}

}  // namespace twostep
