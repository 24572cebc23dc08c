#include "tests/script/script_world.h"

#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "twostep/bo/gpu_runs.h"

namespace twostep {
namespace {

constexpr size_t kMarks[] = {0, kPageSize / 2, kPageSize - sizeof(uint32_t)};
constexpr PageCount kHighPage = 40;

RigOptions Tight(MachineKind kind, DeviceHooks* hooks) {
  RigOptions options = OptionsOf(kind);
  // Each a third of what the bos need, host frames two thirds.
  options.machine.coherent_bytes = 100 * kPageSize;
  options.machine.cma_bytes = 128 * kPageSize;
  options.machine.swiotlb.bytes = 100 * kPageSize;
  options.machine.iommu.iova_bytes = 100 * kPageSize;
  options.machine.iommu.domains = kScriptDevices;
  options.machine.dma32_bytes = (100 + 128 + 100 + 60) * kPageSize;
  options.machine.normal_bytes = 120 * kPageSize;
  options.machine.swap_bytes = 300 * kPageSize;
  // Where no IOMMU translates, some frames bounce and some do not.
  if (kind == MachineKind::kNonCoherent) options.gpu.dma_mask_bits = 32;
  options.gpu.vram_bytes = 56 * kPageSize;
  options.gpu.vram_visible_bytes = 44 * kPageSize;
  options.gpu.aperture_bytes = 90 * kPageSize;
  options.hooks = hooks;
  return options;
}

GpuConfig SecondGpu(MachineKind kind) {
  GpuConfig config = Tight(kind, nullptr).gpu;
  config.name = "gpu1";
  config.domain = 1;
  config.vram_bytes = config.vram_visible_bytes = 30 * kPageSize;
  config.aperture_bytes = 60 * kPageSize;
  return config;
}

// One that is short of everything itself, and one that others may not take
// everything from.
ClientOptions LimitedClient() {
  return {.name = "limited",
          .host = {.max_pages = 70},
          .dma = {.max_pages = 50},
          .device = {.max_pages = 30}};
}
ClientOptions ProtectedClient() {
  return {.name = "protected",
          .host = {.min_pages = 10, .low_pages = 40},
          .dma = {.min_pages = 10, .low_pages = 30},
          .device = {.min_pages = 5, .low_pages = 15, .max_pages = 50}};
}

}  // namespace

void WritePage(std::byte* page, uint32_t value) {
  for (const size_t mark : kMarks) {
    std::memcpy(page + mark, &value, sizeof(value));
  }
}

bool PageHolds(const std::byte* page, uint32_t value) {
  bool holds = true;
  for (const size_t mark : kMarks) {
    holds &= std::memcmp(page + mark, &value, sizeof(value)) == 0;
  }
  return holds;
}

ScriptWorld::ScriptWorld(MachineKind kind, DeviceHooks* hooks)
    : rig_(Tight(kind, hooks)),
      second_(*Device::Create(rig_.host(), SecondGpu(kind))),
      clients_{nullptr, *rig_.host().CreateClient(LimitedClient()),
               *rig_.host().CreateClient(ProtectedClient())} {
  for (uint32_t number = 0; number < kScriptDevices; ++number) {
    queues_[number] = std::make_unique<DeviceQueue>(
        machine().NewTimeline(device(number).name()), machine().clock(),
        DeviceQueue::Execution::kThread);
  }
}

bool ScriptWorld::AnySuspended() {
  for (uint32_t number = 0; number < kScriptDevices; ++number) {
    if (device(number).state() == DeviceState::kSuspended) return true;
  }
  return false;
}

Placement ScriptWorld::PlacementOf(Place place) const {
  const auto dma_from = [place](Place first) {
    return static_cast<DmaType>(static_cast<int>(place) -
                                static_cast<int>(first));
  };
  if (place >= Place::kBoundNone) {
    return Placement{.dma = dma_from(Place::kBoundNone)};
  }
  if (place >= Place::kHighNone) {
    return Placement{.dma = dma_from(Place::kHighNone),
                     .memory = MemoryType::kTt,
                     .first_page = kHighPage,
                     .direction = Direction::kTopDown};
  }
  if (place >= Place::kTtNone) return Tt(dma_from(Place::kTtNone));
  if (place == Place::kSystem) return kSystem;
  Placement vram = kVram;
  vram.contiguous = place == Place::kVramWhole;
  return vram;
}

bool ScriptWorld::Stands(const BufferObject& bo, Device& device,
                         const Placement& where) {
  if (&bo.manager() != device.manager(where.memory)) return false;
  if (where.memory == MemoryType::kVram) {
    return !where.contiguous || RunsOf(bo).size() == 1;
  }
  const bool anonymous =
      where.memory == MemoryType::kSystem && where.dma == DmaType::kNone;
  if (bo.binder() != (anonymous ? nullptr : device.binder(where.dma))) {
    return false;
  }
  return where.memory == MemoryType::kSystem ||
         bo.start_page() >= where.first_page;
}

std::function<std::byte*()> ScriptWorld::Finder(const BufferObject& bo,
                                                Device& device, PageCount page,
                                                Access access) {
  uint64_t skipped = 0;
  for (const GpuRange& run : RunsOf(bo)) {
    if (page >= skipped + run.pages) {
      skipped += run.pages;
      continue;
    }
    const uint64_t at = run.first_page + page - skipped;
    if (run.space == GpuSpace::kVram) {
      std::byte* const bytes =
          device.manager(MemoryType::kVram)->vram()->data();
      return [bytes, at] { return bytes + PagesToBytes(at); };
    }
    // A device walks its page table when it gets there, not now.
    const ApertureTable* table = device.manager(MemoryType::kTt)->aperture();
    return [&device, table, at, access] {
      return device.port().Resolve(table->Get(at), access);
    };
  }
  return nullptr;
}

Fence ScriptWorld::Submit(uint32_t device, absl::Span<const Fence> dependencies,
                          std::vector<PageAccess> accesses) {
  constexpr uint64_t kCostNs = 20000;
  return queues_[device]->Submit(dependencies, kCostNs,
                                 [this, accesses = std::move(accesses)] {
                                   for (const PageAccess& page : accesses) {
                                     std::byte* const at = page.find();
                                     if (at == nullptr) continue;
                                     if (!PageHolds(at, page.holds))
                                       wrong_pages_ += 1;
                                     if (page.access == Access::kWrite)
                                       WritePage(at, page.writes);
                                   }
                                 });
}

void ScriptWorld::TakeFrames(uint32_t count) {
  std::vector<FrameNumber> frames(count);
  if (count == 0 || machine().memory().AllocateForHost(frames, kNoFrame - 1) !=
                        Shortage::Kind::kNone) {
    return;
  }
  hosts_frames_.insert(hosts_frames_.end(), frames.begin(), frames.end());
}

void ScriptWorld::GiveFramesBack() {
  machine().memory().FreeFromHost(hosts_frames_);
  hosts_frames_.clear();
}

std::string ScriptWorld::LeftBehind() {
  for (auto& queue : queues_) queue.reset();
  while (host().ReapGhosts(WaitLimit{})) {
  }
  for (uint32_t number = 0; number < kScriptDevices; ++number) {
    for (const auto& [name, value] : AccountsOf(machine(), device(number))) {
      if (value != 0) return absl::StrCat(value, " ", name);
    }
    const DmaDomain& domain = machine().domain(number);
    if (domain.direct_pages() != 0 ||
        (domain.translated() && domain.used_iova_pages() != 0)) {
      return "addresses of " + domain.name();
    }
  }
  for (const ClientRef& client : clients_) {
    for (int i = 0; client != nullptr && i < kResources; ++i) {
      const uint64_t pages =
          client->account(static_cast<Resource>(i)).used_pages();
      if (pages != 0) return absl::StrCat(pages, " pages of ", client->name());
    }
  }
  const size_t bos = host().bo_count();
  return bos == 0 ? "" : absl::StrCat(bos, " bos");
}

}  // namespace twostep
