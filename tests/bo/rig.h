#ifndef TESTS_BO_RIG_H_
#define TESTS_BO_RIG_H_

// A machine, a host and a device for tests, and both sides' view of a bo: the
// CPU's through a user mapping, the device's through its MMU.

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "twostep/bo/audit.h"
#include "twostep/bo/cpu_mapping.h"
#include "twostep/bo/device.h"
#include "twostep/bo/error.h"
#include "twostep/bo/host.h"
#include "twostep/machine/machine.h"

namespace twostep {

inline constexpr Placement kVram{.memory = MemoryType::kVram};
inline constexpr Placement kSystem{};
constexpr Placement Tt(DmaType dma) {
  return Placement{.dma = dma, .memory = MemoryType::kTt};
}

// On fibers it would be one more thing to schedule, at every access.
#ifdef TWOSTEP_FIBERS
inline constexpr CheckDma kCheckDma = CheckDma::kOff;
#else
inline constexpr CheckDma kCheckDma = CheckDma::kOn;
#endif

struct RigOptions {
  MachineConfig machine;
  GpuConfig gpu;
  MachineOptions options{.backing = Backing::kBacked,
                         .clock = Clock::Kind::kVirtual,
                         .check_dma = kCheckDma};
  // Who goes next is to be plain to who reads a test.
  HostOptions host{.eviction_policy = "lru"};
  DeviceHooks* hooks = nullptr;

  // Small, so that everything can run out: 16 MiB of frames, 1 MiB pools and
  // VRAM, 1 MiB of IOVAs or 1 MiB of bounce pages.
  static RigOptions Small(IommuMode iommu = IommuMode::kTranslated) {
    RigOptions rig;
    rig.machine.dma32_bytes = 12 * kMiB;
    rig.machine.normal_bytes = 4 * kMiB;
    rig.machine.coherent_bytes = kMiB;
    rig.machine.cma_bytes = kMiB;
    rig.machine.swap_bytes = 16 * kMiB;
    rig.machine.swiotlb.bytes = kMiB;
    rig.machine.iommu.mode = iommu;
    rig.machine.iommu.iova_bytes = kMiB;
    rig.gpu.vram_bytes = kMiB;
    rig.gpu.vram_visible_bytes = kMiB;
    rig.gpu.aperture_bytes = 8 * kMiB;
    return rig;
  }
};

class Rig {
 public:
  explicit Rig(RigOptions options = RigOptions::Small());

  Machine& machine() { return *machine_; }
  Host& host() { return *host_; }
  Device& device() { return *device_; }
  ~Rig();  // fails the test for wrong uses of DMA that it did not expect
  std::vector<Misuse>& misuses() { return misuses_; }
  // Of a test that plays a device or a CPU that does that.
  void Expect(DmaMisuse::Kind kind) { expected_.push_back(kind); }
  void DestroyDevice() { device_.reset(); }

  BoRef Make(uint64_t bytes) { return *host_->CreateBo(bytes); }
  // As many bos of a page each as `count`, bound as `placement` says, the i-th
  // with the bytes of seed i.
  std::vector<BoRef> MakePages(uint64_t count, const Placement& placement);

  // Reserves, validates, unreserves.
  absl::Status Validate(const BoRef& bo, std::vector<Placement> placements,
                        ValidateContext* context = nullptr);
  absl::Status Validate(const BoRef& bo, const Placement& placement) {
    return Validate(bo, std::vector<Placement>{placement});
  }

  // Makes `bo` the one used last.
  void Touch(const BoRef& bo) {
    bo->Reserve();
    bo->Unreserve();
  }
  void Pin(const BoRef& bo) {
    bo->Reserve();
    bo->Pin();
    bo->Unreserve();
  }
  void Unpin(const BoRef& bo) {
    bo->Reserve();
    bo->Unpin();
    bo->Unreserve();
  }
  bool In(const BoRef& bo, MemoryType memory) {
    return &bo->manager() == device_->manager(memory);
  }

  // Device work that ends a virtual second from now, unless told otherwise: its
  // fence is pending until somebody waits for it.
  Fence PendingWork(uint64_t ns = 1'000'000'000);
  // Such work on `bo`.
  Fence KeepBusy(const BoRef& bo, FenceUse use = FenceUse::kWrite);
  // What whoever writes the bo next has to wait for.
  absl::InlinedVector<Fence, 4> Dependencies(const BoRef& bo) {
    absl::InlinedVector<Fence, 4> dependencies;
    bo->fences().AppendDependencies(FenceUse::kWrite, &dependencies);
    return dependencies;
  }

  // Byte `i` of the pattern of `seed`.
  static std::byte PatternByte(uint64_t seed, uint64_t i) {
    return static_cast<std::byte>((seed * 0x9e3779b97f4a7c15u + i * 31) >> 3);
  }
  // `bytes` of the pattern, from byte `first` on, into `at`; and how many at
  // `at` are not.
  static void FillAt(std::byte* at, uint64_t bytes, uint64_t seed,
                     uint64_t first = 0);
  static uint64_t WrongAt(const std::byte* at, uint64_t bytes, uint64_t seed,
                          uint64_t first = 0);
  // The same for the contents of a bo as the CPU sees them.
  void CpuFill(const BoRef& bo, uint64_t seed);
  uint64_t CpuWrongBytes(const BoRef& bo, uint64_t seed);

  // A page as the device reaches it now, through aperture, DMA address and
  // domain, or in VRAM; null when it cannot. The caller waits for fences.
  std::byte* DevicePage(const BoRef& bo, PageCount page, Access access);
  void DeviceFill(const BoRef& bo, uint64_t seed);
  uint64_t DeviceWrongBytes(const BoRef& bo, uint64_t seed);

  // Every rule that the audit finds broken, as one text; empty when none is.
  std::string Broken();

 private:
  // In the order in which they must outlive each other.
  Mutex misuse_mutex_;
  std::vector<Misuse> misuses_;
  std::vector<DmaMisuse::Kind> expected_;
  std::unique_ptr<Machine> machine_;
  std::unique_ptr<Host> host_;
  std::unique_ptr<Device> device_;
};

}  // namespace twostep

#endif  // TESTS_BO_RIG_H_
