// S2: what becomes of the others when a DMA resource has run out: as few as
// will do give way, or all of the same device, or none.

#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "tests/bo/platforms.h"

namespace twostep {
namespace {

struct Scarcity {
  const char* name;
  MachineKind machine;
  DmaType type;
};

void PrintTo(const Scarcity& scarcity, std::ostream* out) {
  *out << scarcity.name;
}

// Each has room for four bos.
constexpr Scarcity kScarcities[] = {
    {"Iova", MachineKind::kIommu, DmaType::kDynamic},
    {"BouncePages", MachineKind::kSwiotlb, DmaType::kDynamic},
    {"CoherentMemory", MachineKind::kBareMetal, DmaType::kCoherent},
    {"Cma", MachineKind::kBareMetal, DmaType::kCma},
};
constexpr uint64_t kBoBytes = 256 * kKiB;

class DmaExhaustionOf : public testing::TestWithParam<Scarcity> {
 protected:
  // Three bos of one device and one of another fill the resource.
  void Fill(DmaExhaustion exhaustion) {
    RigOptions options = OptionsOf(GetParam().machine);
    options.host.dma_exhaustion = exhaustion;
    GpuConfig other = options.gpu;
    other.name = "other";
    rig_ = std::make_unique<Rig>(options);
    other_ = *Device::Create(rig_->host(), other);
    others_ = Make(9);
    ASSERT_TRUE(ValidateFor(*other_, others_).ok());
    for (uint64_t i = 0; i < 3; ++i) {
      mine_.push_back(Make(i));
      ASSERT_TRUE(ValidateFor(rig_->device(), mine_[i]).ok());
    }
    more_ = Make(5);
  }
  void TearDown() override {
    EXPECT_EQ(rig_->CpuWrongBytes(others_, 9), 0u);
    for (uint64_t i = 0; i < mine_.size(); ++i) {
      EXPECT_EQ(rig_->CpuWrongBytes(mine_[i], i), 0u) << i;
    }
    EXPECT_EQ(rig_->CpuWrongBytes(more_, 5), 0u);
    EXPECT_EQ(rig_->Broken(), "");
    mine_.clear();
    more_ = others_ = nullptr;
    other_.reset();
    rig_.reset();
  }

  BoRef Make(uint64_t seed) {
    BoRef bo = rig_->Make(kBoBytes);
    rig_->CpuFill(bo, seed);
    return bo;
  }
  absl::Status ValidateFor(Device& device, const BoRef& bo) {
    const Placement placement = Tt(GetParam().type);
    ValidateContext context;
    bo->Reserve();
    const absl::Status status = device.Validate(*bo, {&placement, 1}, &context);
    bo->Unreserve();
    return status;
  }
  static bool IsBound(const BoRef& bo) { return bo->binder() != nullptr; }
  int MineBound() const {
    int bound = 0;
    for (const BoRef& bo : mine_) bound += IsBound(bo);
    return bound;
  }

  std::unique_ptr<Rig> rig_;
  std::unique_ptr<Device> other_;
  BoRef others_;
  std::vector<BoRef> mine_;
  BoRef more_;
};

TEST_P(DmaExhaustionOf, ByDefaultAsFewGiveWayAsWillDoOfWhateverDevice) {
  Fill(DmaExhaustion::kEvict);
  ASSERT_TRUE(ValidateFor(rig_->device(), more_).ok());
  EXPECT_TRUE(IsBound(more_));
  // The other device's is the oldest.
  EXPECT_FALSE(IsBound(others_));
  EXPECT_EQ(MineBound(), 3);
}

TEST_P(DmaExhaustionOf, PurgingTakesAllOfTheSameDeviceAndNoneOfOthers) {
  Fill(DmaExhaustion::kPurge);
  rig_->Pin(mine_[1]);
  ASSERT_TRUE(ValidateFor(rig_->device(), more_).ok());
  EXPECT_TRUE(IsBound(more_));
  EXPECT_TRUE(IsBound(others_));
  EXPECT_TRUE(IsBound(mine_[1]));
  EXPECT_EQ(MineBound(), 1);
  rig_->Unpin(mine_[1]);
}

TEST_P(DmaExhaustionOf, PurgingDoesNotHelpWhoHasNothingToPurge) {
  Fill(DmaExhaustion::kPurge);
  for (const BoRef& bo : mine_) {
    ASSERT_TRUE(rig_->Validate(bo, kSystem).ok());
    ASSERT_TRUE(ValidateFor(*other_, bo).ok());
  }
  EXPECT_EQ(KindOf(ValidateFor(rig_->device(), more_)), ErrorKind::kCannotFit);
  EXPECT_FALSE(IsBound(more_));
  EXPECT_EQ(MineBound(), 3);
  EXPECT_TRUE(IsBound(others_));
}

TEST_P(DmaExhaustionOf, FailingTakesNothingFromAnybody) {
  Fill(DmaExhaustion::kFail);
  EXPECT_EQ(KindOf(ValidateFor(rig_->device(), more_)), ErrorKind::kCannotFit);
  EXPECT_FALSE(IsBound(more_));
  EXPECT_EQ(MineBound(), 3);
  EXPECT_TRUE(IsBound(others_));
  // What is free can be had, as ever.
  ASSERT_TRUE(rig_->Validate(mine_[0], kSystem).ok());
  EXPECT_TRUE(ValidateFor(rig_->device(), more_).ok());
  EXPECT_TRUE(IsBound(more_));
}

INSTANTIATE_TEST_SUITE_P(All, DmaExhaustionOf, testing::ValuesIn(kScarcities),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace twostep
