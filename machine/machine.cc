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
        {"swiotlb.bytes", config.swiotlb.bytes},
        {"iommu.iova_base", config.iommu.iova_base},
        {"iommu.iova_bytes", config.iommu.iova_bytes}}) {
    if (bytes % kPageSize != 0) {
      return absl::InvalidArgumentError(absl::StrCat(
          field, ": ", bytes, " is no multiple of ", kPageSize, " bytes"));
    }
  }
  // The page tables of each take half a MiB at least.
  if (config.iommu.domains == 0 || config.iommu.domains > 256) {
    return absl::InvalidArgumentError(absl::StrCat(
        "iommu.domains: ", config.iommu.domains, " is not between 1 and 256"));
  }
  if (config.iommu.mode != IommuMode::kTranslated) return absl::OkStatus();
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

  auto memory = PhysicalMemory::Create(config, options.backing);
  if (!memory.ok()) return memory.status();
  machine->memory_ = *std::move(memory);
  auto bounce = Swiotlb::Create(config.swiotlb.bytes, *machine->memory_);
  if (!bounce.ok()) return bounce.status();
  machine->bounce_pool_ = *std::move(bounce);
  auto coherent = PagePool::Create(config.coherent_bytes, *machine->memory_,
                                   machine->clock_, machine->config_.cost);
  if (!coherent.ok()) return coherent.status();
  machine->coherent_pool_ = *std::move(coherent);
  auto cma = CmaArea::Create(config.cma_bytes, *machine->memory_);
  if (!cma.ok()) return cma.status();
  machine->cma_ = *std::move(cma);
  auto swap = SwapStore::Create(config.swap_medium, config.swap_bytes,
                                *machine->memory_);
  if (!swap.ok()) return swap.status();
  machine->swap_ = *std::move(swap);
  for (uint32_t i = 0; i < config.iommu.domains; ++i) {
    machine->domains_.push_back(
        std::make_unique<DmaDomain>(absl::StrCat("iommu", i), config.iommu));
  }
  return machine;
}

Timeline& Machine::NewTimeline(std::string name) {
  MutexLock lock(mutex_);
  return timelines_.emplace_back(std::move(name), clock_);
}

}  // namespace twostep
