// The main path, once through every DMA type on every kind of machine.

#include <string>
#include <tuple>

#include "tests/bo/rig.h"

namespace twostep {
namespace {

enum class Platform { kBareMetal, kIommu, kSwiotlb, kNonCoherent };

RigOptions OptionsFor(Platform platform) {
  RigOptions options =
      RigOptions::Small(platform == Platform::kIommu ? IommuMode::kTranslated
                                                     : IommuMode::kAbsent);
  if (platform == Platform::kSwiotlb) {
    options.machine.swiotlb.forced = true;
    options.gpu.dma_mask_bits = 32;
  }
  if (platform == Platform::kNonCoherent) options.gpu.coherent = false;
  return options;
}

class TwoSteps : public testing::TestWithParam<std::tuple<Platform, DmaType>> {
 protected:
  DmaType dma() const { return std::get<1>(GetParam()); }
  Rig rig_{OptionsFor(std::get<0>(GetParam()))};
};

// R1, R6, R7, R8, R13, S1
TEST_P(TwoSteps, BytesSurviveEveryWayBetweenCpuAndDevice) {
  BoRef bo = rig_.Make(5 * kPageSize);
  rig_.CpuFill(bo, 1);
  ASSERT_TRUE(rig_.Validate(bo, Tt(dma())).ok());
  EXPECT_EQ(rig_.Broken(), "");
  EXPECT_EQ(rig_.DeviceWrongBytes(bo, 1), 0);
  rig_.DeviceFill(bo, 2);
  EXPECT_EQ(rig_.CpuWrongBytes(bo, 2), 0);
  rig_.CpuFill(bo, 3);
  ASSERT_TRUE(rig_.Validate(bo, Tt(dma())).ok());
  EXPECT_EQ(rig_.DeviceWrongBytes(bo, 3), 0);
  rig_.DeviceFill(bo, 4);
  ASSERT_TRUE(rig_.Validate(bo, kVram).ok());
  EXPECT_EQ(rig_.DeviceWrongBytes(bo, 4), 0);
  rig_.DeviceFill(bo, 5);
  ASSERT_TRUE(rig_.Validate(bo, Tt(dma())).ok());
  EXPECT_EQ(rig_.DeviceWrongBytes(bo, 5), 0);
  EXPECT_EQ(rig_.Broken(), "");
  ASSERT_TRUE(rig_.Validate(bo, kSystem).ok());
  EXPECT_EQ(rig_.CpuWrongBytes(bo, 5), 0);
  EXPECT_EQ(rig_.Broken(), "");
}

// S2, S3, B43
TEST_P(TwoSteps, FourTimesTheResourceIsServedByEvicting) {
  std::vector<BoRef> bos;
  for (int i = 0; i < 16; ++i) {
    bos.push_back(rig_.Make(256 * kKiB));
    rig_.CpuFill(bos.back(), i);
    ASSERT_TRUE(rig_.Validate(bos.back(), Tt(dma())).ok()) << i;
    ASSERT_EQ(rig_.Broken(), "") << i;
  }
  for (int i = 0; i < 16; ++i) {
    ASSERT_TRUE(rig_.Validate(bos[i], Tt(dma())).ok()) << i;
    EXPECT_EQ(rig_.DeviceWrongBytes(bos[i], i), 0) << i;
  }
  for (int i = 0; i < 16; ++i) EXPECT_EQ(rig_.CpuWrongBytes(bos[i], i), 0);
  EXPECT_EQ(rig_.Broken(), "");
}

INSTANTIATE_TEST_SUITE_P(
    All, TwoSteps,
    testing::Combine(testing::Values(Platform::kBareMetal, Platform::kIommu,
                                     Platform::kSwiotlb,
                                     Platform::kNonCoherent),
                     testing::Values(DmaType::kNone, DmaType::kDynamic,
                                     DmaType::kCoherent, DmaType::kCma)));

}  // namespace
}  // namespace twostep
