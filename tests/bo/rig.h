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

struct RigOptions {
  MachineConfig machine;
  GpuConfig gpu;
  MachineOptions options{Backing::kBacked, Clock::Kind::kVirtual};
  HostOptions host;
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
  explicit Rig(RigOptions options = RigOptions::Small()) {
    options.host.misuse_handler = [this](const Misuse& misuse) {
      MutexLock lock(misuse_mutex_);
      misuses_.push_back(misuse);
    };
    machine_ = *Machine::Create(options.machine, options.options);
    host_ = *Host::Create(*machine_, options.host);
    device_ = *Device::Create(*host_, options.gpu, options.hooks);
  }

  Machine& machine() { return *machine_; }
  Host& host() { return *host_; }
  Device& device() { return *device_; }
  std::vector<Misuse>& misuses() { return misuses_; }
  void DestroyDevice() { device_.reset(); }

  BoRef Make(uint64_t bytes) { return *host_->CreateBo(bytes); }

  // Reserves, validates, unreserves.
  absl::Status Validate(const BoRef& bo, std::vector<Placement> placements,
                        ValidateContext* context = nullptr) {
    ValidateContext own;
    bo->Reserve();
    absl::Status status =
        device_->Validate(*bo, placements, context == nullptr ? &own : context);
    bo->Unreserve();
    return status;
  }
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
  Fence PendingWork(uint64_t ns = 1'000'000'000) {
    Timeline& timeline = machine_->NewTimeline("work");
    const Fence fence = timeline.Emit(machine_->clock().now_ns() + ns);
    timeline.Complete(fence.point);
    return fence;
  }
  // Such work on `bo`.
  Fence KeepBusy(const BoRef& bo, FenceUse use = FenceUse::kWrite) {
    const Fence fence = PendingWork();
    bo->Reserve();
    bo->fences().Add(fence, use);
    bo->Unreserve();
    return fence;
  }
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
  void CpuFill(const BoRef& bo, uint64_t seed) {
    auto mapping = *CpuMapping::Create(bo);
    ASSERT_TRUE(WaitForCpu(*bo, Access::kWrite).ok());
    for (uint64_t i = 0; i < bo->size_bytes(); ++i) {
      mapping->data()[i] = PatternByte(seed, i);
    }
  }
  // Bytes that are not the pattern's, as the CPU sees them.
  uint64_t CpuWrongBytes(const BoRef& bo, uint64_t seed) {
    auto mapping = *CpuMapping::Create(bo);
    EXPECT_TRUE(WaitForCpu(*bo, Access::kRead).ok());
    uint64_t wrong = 0;
    for (uint64_t i = 0; i < bo->size_bytes(); ++i) {
      wrong += mapping->data()[i] != PatternByte(seed, i);
    }
    return wrong;
  }

  // A page as the device reaches it now, through aperture, DMA address and
  // domain, or in VRAM; null when it cannot. The caller waits for fences.
  std::byte* DevicePage(const BoRef& bo, PageCount page, Access access) {
    MemoryManager* vram = device_->manager(MemoryType::kVram);
    MemoryManager* tt = device_->manager(MemoryType::kTt);
    if (&bo->manager() == vram) {
      uint64_t skipped = 0;
      uint64_t at = 0;
      vram->ForEachSegment(bo->block(), bo->page_count(),
                           [&](uint64_t start, uint64_t count) {
                             if (page >= skipped && page < skipped + count) {
                               at = start + page - skipped;
                             }
                             skipped += count;
                           });
      return vram->vram()->data() + PagesToBytes(at);
    }
    if (&bo->manager() != tt) return nullptr;
    return device_->port().Resolve(
        tt->aperture()->Get(uint64_t{bo->start_page()} + page), access);
  }
  void DeviceFill(const BoRef& bo, uint64_t seed) {
    ASSERT_TRUE(WaitForCpu(*bo, Access::kWrite).ok());
    for (PageCount page = 0; page < bo->page_count(); ++page) {
      std::byte* at = DevicePage(bo, page, Access::kWrite);
      ASSERT_NE(at, nullptr);
      for (uint64_t i = 0; i < kPageSize; ++i) {
        at[i] = PatternByte(seed, PagesToBytes(page) + i);
      }
    }
  }
  uint64_t DeviceWrongBytes(const BoRef& bo, uint64_t seed) {
    EXPECT_TRUE(WaitForCpu(*bo, Access::kRead).ok());
    uint64_t wrong = 0;
    for (PageCount page = 0; page < bo->page_count(); ++page) {
      const std::byte* at = DevicePage(bo, page, Access::kRead);
      if (at == nullptr) {
        wrong += kPageSize;
        continue;
      }
      for (uint64_t i = 0; i < kPageSize; ++i) {
        wrong += at[i] != PatternByte(seed, PagesToBytes(page) + i);
      }
    }
    return wrong;
  }

  // Every rule that the audit finds broken, as one text; empty when none is.
  std::string Broken() {
    std::string text;
    for (const Violation& violation : Audit::Run(*host_)) {
      text += violation.rule + ": " + violation.what + "\n";
    }
    return text;
  }

 private:
  // In the order in which they must outlive each other.
  Mutex misuse_mutex_;
  std::vector<Misuse> misuses_;
  std::unique_ptr<Machine> machine_;
  std::unique_ptr<Host> host_;
  std::unique_ptr<Device> device_;
};

}  // namespace twostep

#endif  // TESTS_BO_RIG_H_
