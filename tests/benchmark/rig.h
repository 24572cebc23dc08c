#ifndef TESTS_BENCHMARK_RIG_H_
#define TESTS_BENCHMARK_RIG_H_

// A machine with a host, devices and bos, for rows.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "twostep/bo/device.h"
#include "twostep/bo/host.h"
#include "twostep/machine/machine.h"

namespace twostep {

inline constexpr Placement kVram{.memory = MemoryType::kVram};
inline constexpr Placement kTt{.dma = DmaType::kDynamic,
                               .memory = MemoryType::kTt};

struct Sizes {
  uint64_t vram_pages = 0;
  uint64_t aperture_pages = 0;
  uint64_t iova_pages = 64 * kGiB / kPageSize;
  SpaceAllocator allocator = SpaceAllocator::kRange;
  bool bounced = false;
  int devices = 1;
  EventOptions events{};
  Clock::Kind clock = Clock::Kind::kReal;
  Backing backing = Backing::kUnbacked;
  CheckDma check_dma = CheckDma::kOff;
};

// A machine that never runs out of anything but what `Sizes` says.
class Rig {
 public:
  explicit Rig(const Sizes& sizes) {
    MachineConfig machine;
    machine.dma32_bytes = kGiB;
    machine.normal_bytes = 32 * kGiB;
    machine.iommu.mode =
        sizes.bounced ? IommuMode::kAbsent : IommuMode::kTranslated;
    machine.iommu.iova_bytes = PagesToBytes(sizes.iova_pages);
    machine.swiotlb.forced = sizes.bounced;
    machine_ = *Machine::Create(machine, {.backing = sizes.backing,
                                          .clock = sizes.clock,
                                          .check_dma = sizes.check_dma});
    // TTM's order.
    host_ = *Host::Create(*machine_, HostOptions{.eviction_policy = "lru",
                                                 .events = sizes.events});
    GpuConfig gpu;
    gpu.vram_bytes = gpu.vram_visible_bytes = PagesToBytes(sizes.vram_pages);
    gpu.vram_allocator = sizes.allocator;
    gpu.aperture_bytes = PagesToBytes(sizes.aperture_pages);
    for (int i = 0; i < sizes.devices; ++i) {
      gpu.name = std::string("gpu") + static_cast<char>('0' + i);
      devices_.push_back(*Device::Create(*host_, gpu));
    }
  }

  Machine& machine() { return *machine_; }
  Host& host() { return *host_; }
  Device& device(size_t i = 0) { return *devices_[i]; }
  BufferObject& bo(size_t i) { return *bos_[i]; }

  void Make(size_t count, uint64_t bytes = kPageSize) {
    bos_.reserve(count);
    for (size_t i = 0; i < count; ++i) {
      bos_.push_back(*host_->CreateBo(bytes));
    }
  }
  void MakeOf(const std::vector<ClientRef>& clients, size_t count) {
    for (size_t i = 0; i < count; ++i) {
      bos_.push_back(*host_->CreateBo(kPageSize, clients[i % clients.size()]));
    }
  }
  // Their storage stays behind.
  void DropAll() { bos_.clear(); }
  void Validate(BufferObject& bo, const Placement& placement,
                size_t device = 0) {
    bo.Reserve();
    ValidateContext context;
    const absl::Status status =
        devices_[device]->Validate(bo, {&placement, 1}, &context);
    bo.Unreserve();
    if (!status.ok()) {
      std::fprintf(stderr, "%s\n", status.ToString().c_str());
      std::abort();
    }
  }
  void MakeIn(const Placement& placement, size_t count) {
    Make(count);
    for (const BoRef& bo : bos_) Validate(*bo, placement);
  }
  // All bos in turn, for ever.
  BufferObject& Next() {
    BufferObject& bo = *bos_[next_];
    if (++next_ == bos_.size()) next_ = 0;
    return bo;
  }

 private:
  std::unique_ptr<Machine> machine_;
  std::unique_ptr<Host> host_;
  std::vector<std::unique_ptr<Device>> devices_;
  std::vector<BoRef> bos_;
  size_t next_ = 0;
};

}  // namespace twostep

#endif  // TESTS_BENCHMARK_RIG_H_
