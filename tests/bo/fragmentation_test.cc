// Enough is free, but not in one piece: which bos of an IOVA space make way.
// That no more go than have to, in any space, the scenarios dma-iova-fragment,
// dma-cma-scatter and aperture-fragment show (stress/holes.cc).

#include <vector>

#include "tests/bo/platforms.h"

namespace twostep {
namespace {

// S5: of a run of three that are given up first, the middle one is enough.
TEST(FragmentedIovas, TheMiddleOfARunIsTakenWhereItIsEnough) {
  RigOptions options = OptionsOf(MachineKind::kIommu);
  options.machine.iommu.iova_bytes = 6 * kPageSize;
  Rig rig(options);
  std::vector<BoRef> bos;
  for (const uint64_t pages : {1, 4, 1}) {
    bos.push_back(rig.Make(PagesToBytes(pages)));
    ASSERT_TRUE(rig.Validate(bos.back(), Tt(DmaType::kDynamic)).ok());
  }
  ASSERT_TRUE(rig.Validate(bos[1], Tt(DmaType::kDynamic)).ok());
  BoRef more = rig.Make(4 * kPageSize);
  ASSERT_TRUE(rig.Validate(more, Tt(DmaType::kDynamic)).ok());
  EXPECT_NE(bos[0]->binder(), nullptr);
  EXPECT_EQ(bos[1]->binder(), nullptr);
  EXPECT_NE(bos[2]->binder(), nullptr);
}

// S5, R10: IOVAs are shared by all DMA types: where bos of no single type make
// a hole, those of several together do.
TEST(FragmentedIovas, AHoleMayTakeBosOfSeveralTypes) {
  RigOptions options = OptionsOf(MachineKind::kIommu);
  options.machine.iommu.iova_bytes = 16 * kPageSize;
  Rig rig(options);
  std::vector<BoRef> bos;
  for (const DmaType type : {DmaType::kDynamic, DmaType::kCoherent,
                             DmaType::kDynamic, DmaType::kCma}) {
    bos.push_back(rig.Make(4 * kPageSize));
    rig.CpuFill(bos.back(), bos.size());
    ASSERT_TRUE(rig.Validate(bos.back(), Tt(type)).ok());
  }
  BoRef more = rig.Make(8 * kPageSize);
  rig.CpuFill(more, 10);
  const absl::Status status = rig.Validate(more, Tt(DmaType::kDynamic));
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(rig.DeviceWrongBytes(more, 10), 0);
  int evicted = 0;
  for (size_t i = 0; i < bos.size(); ++i) {
    evicted += bos[i]->binder() == nullptr;
    EXPECT_EQ(rig.CpuWrongBytes(bos[i], i + 1), 0);
  }
  EXPECT_EQ(evicted, 2);
  EXPECT_EQ(rig.Broken(), "");
}

}  // namespace
}  // namespace twostep
