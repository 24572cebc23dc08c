#include "twostep/stress/small_world.h"

namespace twostep {

WorldOptions SmallWorldOptions(const StressOptions& options) {
  std::mt19937_64 random(options.seed);
  WorldOptions world = WorldOptions::Of(options);
  // Who goes first is then known.
  world.host.eviction_policy = "lru";
  MachineConfig& machine = world.machine;
  machine = MachineConfig{};
  machine.dma32_bytes = 12 * kMiB;
  machine.normal_bytes = 4 * kMiB;
  machine.reserve_bytes = 256 * kKiB;
  machine.coherent_bytes = kMiB;
  machine.cma_bytes = kMiB;
  machine.swap_bytes = 16 * kMiB;
  machine.swiotlb.bytes = kMiB;
  machine.iommu.mode =
      random() % 2 != 0 ? IommuMode::kTranslated : IommuMode::kAbsent;
  machine.iommu.iova_bytes = kMiB;
  world.gpu = GpuConfig{};
  world.gpu.vram_bytes = kMiB;
  world.gpu.vram_visible_bytes = kMiB;
  world.gpu.aperture_bytes = 2 * kMiB;
  world.gpu.vram_allocator =
      random() % 2 != 0 ? SpaceAllocator::kRange : SpaceAllocator::kBuddy;
  return world;
}

void MakeHostShort(uint64_t bytes, WorldOptions* world) {
  MachineConfig& machine = world->machine;
  const uint64_t pools =
      machine.coherent_bytes + machine.cma_bytes + machine.swiotlb.bytes;
  machine.low_watermark_bytes = 64 * kKiB;
  machine.high_watermark_bytes = 128 * kKiB;
  machine.dma32_bytes = pools + machine.reserve_bytes + bytes;
  machine.normal_bytes = 0;
}

DmaType SmallWorldDmaType(uint64_t seed) {
  return seed % 3 == 0   ? DmaType::kDynamic
         : seed % 3 == 1 ? DmaType::kCoherent
                         : DmaType::kNone;
}

}  // namespace twostep
