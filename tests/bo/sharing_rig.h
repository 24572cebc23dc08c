#ifndef TESTS_BO_SHARING_RIG_H_
#define TESTS_BO_SHARING_RIG_H_

// Devices that share bos with the one of the rig, and what each of them sees.

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/bo/platforms.h"
#include "twostep/bo/shared_buffer.h"

namespace twostep {

using Attachment = std::unique_ptr<SharedAttachment>;

class SharingRig : public Rig {
 public:
  static RigOptions With(RigOptions options) {
    options.machine.iommu.domains = 2;
    return options;
  }
  explicit SharingRig(RigOptions options)
      : Rig(With(options)), like_(options.gpu) {
    like_.vram_bytes = 0;
    like_.aperture_bytes = 0;
  }
  explicit SharingRig(MachineKind kind) : SharingRig(OptionsOf(kind)) {}

  // A device like the rig's, but for these.
  std::unique_ptr<Device> MakeDevice(const char* name, uint32_t domain = 0,
                                     int mask_bits = 0, bool differs = false) {
    GpuConfig config = like_;
    config.name = name;
    config.domain = domain;
    if (mask_bits != 0) config.dma_mask_bits = mask_bits;
    if (differs) config.coherent = !config.coherent;
    return *Device::Create(host(), config);
  }

  SharedBuffer Export(const BoRef& bo) {
    return *SharedBuffer::Export(bo, device());
  }
  // One that can follow moves, and counts them.
  Attachment Attach(const SharedBuffer& shared, Device& device,
                    const ShareConstraints& constraints = {}) {
    return *shared.Attach(
        device, {.constraints = constraints, .moved = [this](auto& gone) {
                   EXPECT_FALSE(gone.mapped());
                   gone.bo().AssertHeld();
                   moves_.fetch_add(1);
                 }});
  }
  // One that cannot.
  Attachment AttachPinning(const SharedBuffer& shared, Device& device,
                           const ShareConstraints& constraints = {}) {
    return *shared.Attach(device, {.constraints = constraints});
  }
  int moves() const { return moves_.load(); }

  static absl::Status Map(SharedAttachment& attachment,
                          ValidateContext* context = nullptr) {
    ValidateContext own;
    if (context == nullptr) context = &own;
    return WithReserved(attachment.bo(), context,
                        [&] { return attachment.Map(context); });
  }
  static void Unmap(SharedAttachment& attachment) {
    attachment.bo().Reserve();
    attachment.Unmap();
    attachment.bo().Unreserve();
  }
  static std::vector<DmaAddress> AddressesOf(SharedAttachment& attachment) {
    std::vector<DmaAddress> addresses;
    for (PageCount page = 0; page < attachment.bo().page_count(); ++page) {
      addresses.push_back(attachment.Address(page));
    }
    return addresses;
  }

  // Bytes that are not the pattern's, as the importer sees them at its
  // addresses.
  static uint64_t WrongBytes(Device& device, SharedAttachment& attachment,
                             uint64_t seed) {
    return WrongBytesAt(device, AddressesOf(attachment), seed);
  }
  static uint64_t WrongBytesAt(Device& device,
                               const std::vector<DmaAddress>& addresses,
                               uint64_t seed) {
    uint64_t wrong = 0;
    for (size_t page = 0; page < addresses.size(); ++page) {
      const std::byte* at =
          device.port().Resolve(addresses[page], Access::kRead);
      wrong += at == nullptr ? kPageSize
                             : WrongAt(at, kPageSize, seed, PagesToBytes(page));
    }
    return wrong;
  }
  static void Fill(Device& device, SharedAttachment& attachment,
                   uint64_t seed) {
    for (PageCount page = 0; page < attachment.bo().page_count(); ++page) {
      std::byte* at =
          device.port().Resolve(attachment.Address(page), Access::kWrite);
      ASSERT_NE(at, nullptr);
      FillAt(at, kPageSize, seed, PagesToBytes(page));
    }
  }
  // How many of the addresses fault.
  static size_t Faults(Device& device,
                       const std::vector<DmaAddress>& addresses) {
    size_t faults = 0;
    for (const DmaAddress address : addresses) {
      faults += device.port().domain().Translate(address) == kNoFrame;
    }
    return faults;
  }
  void ReapAll() {
    while (host().ReapGhosts(WaitLimit{})) {
    }
  }
  bool NothingUsed() {
    Machine& m = machine();
    uint64_t used = m.memory().used_frames(Zone::kDma32) +
                    m.memory().used_frames(Zone::kNormal) +
                    m.swap().used_pages() + m.bounce_pool().used_frames() +
                    m.coherent_pool().used_frames() + m.cma().used_frames();
    for (uint32_t number = 0; number < m.domains(); ++number) {
      used += m.domain(number).direct_pages();
      if (m.domain(number).translated()) {
        used += m.domain(number).used_iova_pages();
      }
    }
    return used == 0;
  }

 private:
  GpuConfig like_;
  Atomic<int> moves_{0};
};

}  // namespace twostep

#endif  // TESTS_BO_SHARING_RIG_H_
