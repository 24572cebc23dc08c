// A program of somebody else's: binds one bo in both steps, and says where it
// can be reached. Its own flags differ from the library's, as a user's do: no
// NDEBUG, hidden symbols (inline code must still share the library's state).

#include <cstdio>
#include <vector>

#include "twostep/bo/device.h"
#include "twostep/bo/host.h"
#include "twostep/machine/machine.h"
#include "twostep/machine/version.h"

namespace ts = twostep;

int main() {
  ts::MachineConfig config;
  config.iommu.mode = ts::IommuMode::kTranslated;
  auto machine = ts::Machine::Create(config, ts::MachineOptions{});
  if (!machine.ok()) return 1;
  auto host = ts::Host::Create(**machine, ts::HostOptions{});
  if (!host.ok()) return 1;
  auto device = ts::Device::Create(**host, ts::GpuConfig{.name = "gpu"});
  if (!device.ok()) return 1;
  auto bo = (*host)->CreateBo(ts::kMiB);
  if (!bo.ok()) return 1;

  const ts::Placement places[] = {
      {.dma = ts::DmaType::kDynamic, .memory = ts::MemoryType::kTt}};
  (*bo)->Reserve();
  (*bo)->AssertHeld();
  ts::ValidateContext context;
  const absl::Status bound = (*device)->Validate(**bo, places, &context);
  const auto segments = bound.ok() ? (*bo)->binding().Segments((*bo)->pages())
                                   : std::vector<ts::DmaSegment>{};
  std::printf("twostep %s: %d DMA segment(s), from page %d of %s\n",
              ts::kVersion, static_cast<int>(segments.size()),
              static_cast<int>((*bo)->start_page()),
              (*bo)->manager().name().c_str());
  (*bo)->Unreserve();
  return bound.ok() ? 0 : 1;
}
