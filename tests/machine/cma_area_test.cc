// The CMA area: what it grants is aligned to its size, up to 1 MiB.

#include "twostep/machine/cma_area.h"

#include <utility>

#include "gtest/gtest.h"
#include "twostep/machine/machine.h"

namespace twostep {
namespace {

TEST(CmaAreaTest, RunsAreAlignedToTheirSizeUpTo256Pages) {
  MachineConfig config;
  config.dma32_bytes = 16 * kMiB;
  config.normal_bytes = 0;
  config.coherent_bytes = config.swiotlb.bytes = config.swap_bytes = 0;
  config.cma_bytes = 8 * kMiB;
  const auto machine = *Machine::Create(config, {});
  CmaArea& area = machine->cma();
  SpaceBlock page;
  ASSERT_EQ(area.Allocate(1, &page), Shortage::Kind::kNone);
  for (const auto& [pages, alignment] :
       {std::pair<PageCount, uint64_t>{2, 2}, {3, 4}, {64, 64}, {300, 256}}) {
    SpaceBlock block;
    ASSERT_EQ(area.Allocate(pages, &block), Shortage::Kind::kNone);
    EXPECT_EQ(block.start % alignment, 0) << pages;
    area.Free(block);
  }
  area.Free(page);
  EXPECT_EQ(area.used_frames(), 0);
}

}  // namespace
}  // namespace twostep
