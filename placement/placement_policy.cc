#include "twostep/placement/placement_policy.h"

namespace twostep {

PlacementSite PlacementSite::Of(const MachineConfig& machine,
                                const GpuConfig& gpu) {
  PlacementSite site;
  site.vram_bytes = gpu.vram_bytes;
  site.aperture_bytes = gpu.aperture_bytes;
  // A translating IOMMU never bounces.
  site.bounces = (machine.swiotlb.forced || machine.xen.pv) &&
                 (machine.iommu.mode == IommuMode::kAbsent ||
                  machine.iommu.mode == IommuMode::kIdentity);
  site.coherent_bytes = machine.coherent_bytes;
  site.cost = machine.cost;
  return site;
}

void PlacementPolicy::Begin(const PlacementMoment&) {}
void PlacementPolicy::End(const PlacementMoment&) {}
void PlacementPolicy::Forget(uint64_t) {}

}  // namespace twostep
