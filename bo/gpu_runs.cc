#include "twostep/bo/gpu_runs.h"

#include "twostep/bo/host.h"

namespace twostep {

GpuRuns RunsOf(const BufferObject& bo) {
  GpuRuns runs;
  const MemoryManager& manager = bo.manager();
  if (manager.kind() == MemoryManager::Kind::kNowhere) return runs;
  const GpuSpace space =
      manager.fixed() ? GpuSpace::kVram : GpuSpace::kAperture;
  manager.ForEachSegment(
      bo.block(), bo.page_count(), [&](uint64_t start, uint64_t pages) {
        runs.push_back(GpuRange{space, static_cast<PageCount>(pages), start});
      });
  return runs;
}

std::unique_ptr<ModelGpu> MakeModelGpu(Device& device, int queues) {
  MemoryManager* tt = device.manager(MemoryType::kTt);
  MemoryManager* vram = device.manager(MemoryType::kVram);
  return std::make_unique<ModelGpu>(
      device.host().machine(), ModelGpu::Options{device.name(), queues},
      device.port(), tt == nullptr ? nullptr : tt->aperture(),
      vram == nullptr ? nullptr : vram->vram());
}

}  // namespace twostep
