#include "twostep/machine/machine.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace twostep {
namespace {

absl::Status CheckCosts(const CostModel& cost) {
  for (const auto& [field, rate] :
       {std::pair<const char*, uint64_t>{"cpu_copy_mib_per_s",
                                         cost.cpu_copy_mib_per_s},
        {"bounce_mib_per_s", cost.bounce_mib_per_s},
        {"engine_mib_per_s", cost.engine_mib_per_s},
        {"vram_mib_per_s", cost.vram_mib_per_s},
        {"bus_mib_per_s", cost.bus_mib_per_s},
        {"swap_mib_per_s", cost.swap_mib_per_s}}) {
    if (rate == 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("cost.", field, ": a rate must be above 0"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckPools(const MachineConfig& config) {
  for (const auto& [field, bytes] :
       {std::pair<const char*, uint64_t>{"coherent_bytes",
                                         config.coherent_bytes},
        {"cma_bytes", config.cma_bytes},
        {"cma_loan.bytes", config.cma_loan.bytes},
        {"cma_loan.busy_bytes", config.cma_loan.busy_bytes},
        {"swiotlb.bytes", config.swiotlb.bytes},
        {"iommu.iova_base", config.iommu.iova_base},
        {"iommu.iova_bytes", config.iommu.iova_bytes}}) {
    if (bytes % kPageSize != 0) {
      return absl::InvalidArgumentError(absl::StrCat(
          field, ": ", bytes, " is no multiple of ", kPageSize, " bytes"));
    }
  }
  if (config.swiotlb.areas == 0 ||
      config.swiotlb.areas > SwiotlbConfig::kMaxAreas) {
    return absl::InvalidArgumentError(
        absl::StrCat("swiotlb.areas: ", config.swiotlb.areas,
                     " is not between 1 and ", SwiotlbConfig::kMaxAreas));
  }
  // The page tables of each take half a MiB at least.
  if (config.iommu.domains == 0 || config.iommu.domains > 256) {
    return absl::InvalidArgumentError(absl::StrCat(
        "iommu.domains: ", config.iommu.domains, " is not between 1 and 256"));
  }
  if (config.iommu.mode == IommuMode::kAbsent ||
      config.iommu.mode == IommuMode::kIdentity) {
    return absl::OkStatus();
  }
  // The page table has a slot for every 4 MiB: 32 MiB of them at most.
  constexpr uint64_t kMaxIovaBytes = uint64_t{1} << 44;
  if (config.iommu.iova_bytes == 0 || config.iommu.iova_bytes > kMaxIovaBytes ||
      config.iommu.iova_bytes > ~uint64_t{0} - config.iommu.iova_base) {
    return absl::InvalidArgumentError(
        "iommu.iova_bytes: the IOVA space is empty, larger than 16 TiB, or "
        "ends "
        "beyond 64 bits");
  }
  // Direct addresses live beside the IOVAs: the two must not meet.
  const uint64_t iova_end = config.iommu.iova_base + config.iommu.iova_bytes;
  const uint64_t normal_start = PagesToBytes(kNormalZoneFirstFrame);
  if (config.iommu.iova_base < config.dma32_bytes ||
      (config.iommu.iova_base < normal_start + config.normal_bytes &&
       iova_end > normal_start)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "iommu.iova_base: the IOVA space from ", config.iommu.iova_base, " to ",
        iova_end,
        " overlaps physical memory: move it between the end of DMA32, ",
        config.dma32_bytes, ", and 4 GiB, or above ",
        normal_start + config.normal_bytes));
  }
  return absl::OkStatus();
}

bool Checks(CheckDma check) {
#if defined(NDEBUG) || defined(TWOSTEP_FIBERS)
  constexpr bool kByDefault = false;
#else
  constexpr bool kByDefault = true;
#endif
  return check == CheckDma::kOn || (check == CheckDma::kDefault && kByDefault);
}

}  // namespace

Machine::Machine(const MachineConfig& config, const MachineOptions& options)
    : config_(config), clock_(options.clock) {}

absl::StatusOr<std::unique_ptr<Machine>> Machine::Create(
    const MachineConfig& config, const MachineOptions& options) {
  absl::Status costs = CheckCosts(config.cost);
  if (!costs.ok()) return costs;
  absl::Status pools = CheckPools(config);
  if (!pools.ok()) return pools;
  auto machine = std::unique_ptr<Machine>(new Machine(config, options));

  auto memory = PhysicalMemory::Create(config, options.backing, options.faults);
  if (!memory.ok()) return memory.status();
  machine->memory_ = *std::move(memory);
  if (Checks(options.check_dma)) {
    machine->dma_debug_ = std::make_unique<DmaDebug>(
        *machine->memory_, options.dma_misuse_handler);
  }
  absl::Status mapped = machine->SetUpFrameMap(options.exchange_pool);
  if (!mapped.ok()) return mapped;
  FrameMap* const frame_map = machine->frame_map_.get();
  auto bounce = Swiotlb::Create(config.swiotlb, *machine->memory_, frame_map);
  if (!bounce.ok()) return bounce.status();
  machine->bounce_pool_ = *std::move(bounce);
  auto coherent =
      PagePool::Create(config.coherent_bytes, *machine->memory_,
                       machine->clock_, machine->config_.cost, frame_map);
  if (!coherent.ok()) return coherent.status();
  machine->coherent_pool_ = *std::move(coherent);
  auto cma =
      CmaArea::Create(config.cma_bytes, config.cma_loan, *machine->memory_,
                      machine->clock_, machine->config_.cost);
  if (!cma.ok()) return cma.status();
  machine->cma_ = *std::move(cma);
  auto swap = SwapStore::Create(config.swap_medium, config.swap_bytes,
                                *machine->memory_);
  if (!swap.ok()) return swap.status();
  machine->swap_ = *std::move(swap);
  for (uint32_t i = 0; i < config.iommu.domains; ++i) {
    machine->domains_.push_back(std::make_unique<DmaDomain>(
        absl::StrCat("iommu", i), config.iommu, machine->clock_,
        machine->config_.cost, frame_map, options.faults,
        machine->dma_debug_.get()));
  }
  return machine;
}

absl::Status Machine::SetUpFrameMap(ExchangePool* shared) {
  if (!config_.xen.pv) return absl::OkStatus();
  if (config_.iommu.mode != IommuMode::kAbsent) {
    return absl::InvalidArgumentError(
        "xen.pv: a PV guest has no IOMMU of its own: iommu.mode must be "
        "absent");
  }
  if (config_.cma_bytes != 0) {
    return absl::InvalidArgumentError(
        "cma_bytes: the frames of a PV guest are no neighbours on the bus, "
        "there "
        "is no such area: 0");
  }
  if (shared == nullptr) {
    auto pool = ExchangePool::Create(config_.xen.exchange_bytes);
    if (!pool.ok()) return pool.status();
    own_exchange_pool_ = *std::move(pool);
    shared = own_exchange_pool_.get();
  }
  if (config_.dma32_bytes > PagesToBytes(shared->first_frame())) {
    return absl::InvalidArgumentError(
        "dma32_bytes: overlaps what the hypervisor exchanges, which ends at 4 "
        "GiB");
  }
  frame_map_ = std::make_unique<FrameMap>(*shared);
  return absl::OkStatus();
}

Timeline& Machine::NewTimeline(std::string name,
                               Timeline::EnableSignaling enable_signaling) {
  MutexLock lock(mutex_);
  // Counted from 1 on, as far as that goes.
  const size_t number = timelines_.size() + 1;
  return timelines_.emplace_back(
      std::move(name), clock_,
      static_cast<uint16_t>(number > UINT16_MAX ? 0 : number),
      std::move(enable_signaling));
}

Timeline* Machine::timeline(uint16_t number) {
  MutexLock lock(mutex_);
  return number == 0 || number > timelines_.size() ? nullptr
                                                   : &timelines_[number - 1];
}

}  // namespace twostep
