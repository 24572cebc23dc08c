// Placement::Use::kLastResort, and execs whose bos a placement policy places.

#include <vector>

#include "gtest/gtest.h"
#include "tests/bo/rig.h"
#include "twostep/bo/exec.h"
#include "twostep/bo/placer.h"

namespace twostep {
namespace {

constexpr PageCount kHalfOfVram = 128;

std::vector<Placement> VramOrTt(Placement::Use use) {
  Placement tt = Tt(DmaType::kDynamic);
  tt.use = use;
  return {kVram, tt};
}

class LastResort : public testing::Test {
 protected:
  // In TT, with VRAM full of `others_`.
  LastResort() {
    bo_ = rig_.Make(kHalfOfVram * kPageSize);
    rig_.CpuFill(bo_, 1);
    EXPECT_TRUE(rig_.Validate(bo_, Tt(DmaType::kDynamic)).ok());
    for (BoRef& other : others_) {
      other = rig_.Make(kHalfOfVram * kPageSize);
      EXPECT_TRUE(rig_.Validate(other, kVram).ok());
    }
  }

  Rig rig_;
  BoRef bo_;
  BoRef others_[2];
};

TEST_F(LastResort, IsLeftWhereOthersCanMakeRoom) {
  ValidateContext context;
  ASSERT_TRUE(
      rig_.Validate(bo_, VramOrTt(Placement::Use::kFallback), &context).ok());
  EXPECT_TRUE(context.hit) << "a fallback is not";
  EXPECT_TRUE(rig_.In(bo_, MemoryType::kTt));
  ASSERT_TRUE(
      rig_.Validate(bo_, VramOrTt(Placement::Use::kLastResort), &context).ok());
  EXPECT_FALSE(context.hit);
  EXPECT_TRUE(rig_.In(bo_, MemoryType::kVram));
  EXPECT_FALSE(rig_.In(others_[0], MemoryType::kVram));
  EXPECT_EQ(rig_.DeviceWrongBytes(bo_, 1), 0);
  EXPECT_EQ(rig_.Broken(), "");
}

TEST_F(LastResort, IsStayedInAndComeToWhereNobodyCan) {
  for (const BoRef& other : others_) rig_.Pin(other);
  ASSERT_TRUE(rig_.Validate(bo_, VramOrTt(Placement::Use::kLastResort)).ok());
  EXPECT_TRUE(rig_.In(bo_, MemoryType::kTt));
  BoRef fresh = rig_.Make(kPageSize);
  ASSERT_TRUE(rig_.Validate(fresh, VramOrTt(Placement::Use::kLastResort)).ok());
  EXPECT_TRUE(rig_.In(fresh, MemoryType::kTt));
  EXPECT_EQ(rig_.Broken(), "");
  for (const BoRef& other : others_) rig_.Unpin(other);
}

TEST_F(LastResort, IsARightPlaceForAPinnedBoAsAFallbackIs) {
  rig_.Pin(bo_);
  for (const Placement::Use use :
       {Placement::Use::kFallback, Placement::Use::kLastResort}) {
    ValidateContext context;
    EXPECT_TRUE(rig_.Validate(bo_, VramOrTt(use), &context).ok());
    EXPECT_TRUE(context.hit);
    EXPECT_TRUE(rig_.In(bo_, MemoryType::kTt));
  }
  rig_.Unpin(bo_);
}

// Asks for VRAM until so many bytes have been moved for the submission, and
// notes what it is told.
class Recording final : public PlacementPolicy {
 public:
  void Begin(const PlacementMoment&) override { ++begun; }
  PlacementList Choose(const PlacementFacts& bo,
                       const PlacementMoment& moment) override {
    asked.push_back(bo);
    moments.push_back(moment);
    return moment.moved_bytes == 0 ? PlacementList(vram_) : tt_;
  }
  PlacementList EvictTo(const PlacementFacts& bo) override {
    evicted.push_back(bo);
    return system_;
  }
  void End(const PlacementMoment& moment) override { ended.push_back(moment); }

  int begun = 0;
  std::vector<PlacementFacts> asked;
  std::vector<PlacementFacts> evicted;
  std::vector<PlacementMoment> moments;
  std::vector<PlacementMoment> ended;

 private:
  const std::vector<Placement> vram_{kVram};
  const std::vector<Placement> tt_{Tt(DmaType::kDynamic)};
  const std::vector<Placement> system_{kSystem};
};

TEST(PlacedExec, ThePolicyIsAskedBoByBoAndToldWhatWasMoved) {
  auto owned = std::make_unique<Recording>();
  Recording& policy = *owned;
  Placer placer(std::move(owned));
  RigOptions options = RigOptions::Small();
  options.hooks = &placer;
  Rig rig(options);
  BoRef old = rig.Make(kMiB);
  ASSERT_TRUE(rig.Validate(old, kVram).ok());
  BoRef written = rig.Make(kMiB / 2);
  rig.CpuFill(written, 1);
  BoRef fresh = rig.Make(kPageSize);
  {
    Exec exec(rig.device(), &placer);
    exec.Add(*written, FenceUse::kRead);
    exec.Add(*fresh, FenceUse::kWrite);
    ValidateContext context;
    ASSERT_TRUE(exec.Run(&context).ok());
    EXPECT_EQ(exec.hits(), 0);
    EXPECT_EQ(exec.missed_bytes(), kMiB / 2 + kPageSize);
    exec.Finish(Fence());
  }
  EXPECT_TRUE(rig.In(written, MemoryType::kVram));
  EXPECT_TRUE(rig.In(fresh, MemoryType::kTt));
  EXPECT_EQ(policy.begun, 1);
  ASSERT_EQ(policy.asked.size(), 2);
  EXPECT_EQ(policy.asked[0].key, written->id());
  EXPECT_EQ(policy.asked[0].bytes, kMiB / 2);
  EXPECT_EQ(policy.asked[0].memory, MemoryType::kSystem);
  EXPECT_TRUE(policy.asked[0].has_contents);
  EXPECT_FALSE(policy.asked[1].has_contents);
  EXPECT_EQ(policy.moments[0].free_vram_bytes, 0);
  EXPECT_EQ(policy.moments[0].moved_bytes, 0);
  ASSERT_EQ(policy.evicted.size(), 1);
  EXPECT_EQ(policy.evicted[0].key, old->id());
  EXPECT_EQ(policy.evicted[0].memory, MemoryType::kVram);
  EXPECT_EQ(policy.moments[1].moved_bytes, kMiB + kMiB / 2);
  EXPECT_EQ(policy.moments[1].free_vram_bytes, kMiB / 2);
  ASSERT_EQ(policy.ended.size(), 1);
  EXPECT_EQ(policy.ended[0].moved_bytes, kMiB + kMiB / 2);
  EXPECT_EQ(rig.Broken(), "");

  // What the CPU takes back is told at the next use.
  rig.CpuFill(fresh, 2);
  Exec exec(rig.device(), &placer);
  exec.Add(*fresh, FenceUse::kRead);
  ValidateContext context;
  ASSERT_TRUE(exec.Run(&context).ok());
  EXPECT_EQ(policy.asked.back().memory, MemoryType::kTt);
  EXPECT_EQ(policy.asked.back().cpu_bytes, kPageSize);
}

}  // namespace
}  // namespace twostep
