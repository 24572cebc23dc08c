// What a device can put on the bus.

#include "twostep/machine/dma_port.h"

#include <vector>

#include "gtest/gtest.h"
#include "twostep/machine/machine.h"

namespace twostep {
namespace {

TEST(DmaPortTest, R8_ReachesFramesOnlyIfItsMaskReachesAll) {
  MachineConfig config;
  config.dma32_bytes = 4 * kMiB;
  config.normal_bytes = 4 * kMiB;
  config.coherent_bytes = config.cma_bytes = config.swiotlb.bytes = 0;
  config.iommu.mode = IommuMode::kAbsent;
  const auto machine = *Machine::Create(config, {});
  const DmaPort narrow(machine->domain(0), machine->memory(), 32, true);
  EXPECT_TRUE(narrow.Reaches(std::vector<FrameNumber>{1, 2}));
  EXPECT_FALSE(
      narrow.Reaches(std::vector<FrameNumber>{1, kNormalZoneFirstFrame}));
  EXPECT_FALSE(narrow.Reaches(std::vector<FrameNumber>{kNormalZoneFirstFrame}));
  const DmaPort wide(machine->domain(0), machine->memory(), 64, true);
  EXPECT_TRUE(wide.Reaches(std::vector<FrameNumber>{1, kNormalZoneFirstFrame}));
}

}  // namespace
}  // namespace twostep
