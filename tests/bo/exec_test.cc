#include "twostep/bo/exec.h"

#include <algorithm>
#include <vector>

#include "gmock/gmock.h"
#include "tests/bo/rig.h"
#include "twostep/machine/sync.h"

namespace twostep {
namespace {

using ::testing::Contains;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr uint64_t kQuarter = 256 * kKiB;  // of VRAM

bool Reserved(const BoRef& bo) {
  if (!bo->TryReserve()) return true;
  bo->Unreserve();
  return false;
}

class ExecTest : public testing::Test {
 protected:
  std::vector<BoRef> Make(int count, uint64_t bytes = kQuarter) {
    std::vector<BoRef> bos;
    for (int i = 0; i < count; ++i) bos.push_back(rig_.Make(bytes));
    return bos;
  }

  Rig rig_;
  ValidateContext context_;
};

TEST_F(ExecTest, BringsAllToTheirPlacesReservedThenFenced) {
  const std::vector<BoRef> bos = Make(4);
  const std::vector<Placement> in_tt = {Tt(DmaType::kNone)};
  Exec exec(rig_.device());
  exec.Add(*bos[0], {&kVram, 1}, FenceUse::kWrite);
  exec.Add(*bos[1], in_tt, FenceUse::kRead);
  exec.Add(*bos[2], {&kVram, 1}, FenceUse::kRead);
  ASSERT_EQ(exec.Run(&context_), absl::OkStatus());
  EXPECT_TRUE(rig_.In(bos[0], MemoryType::kVram));
  EXPECT_TRUE(rig_.In(bos[1], MemoryType::kTt));
  EXPECT_TRUE(rig_.In(bos[2], MemoryType::kVram));
  for (int i = 0; i < 4; ++i) EXPECT_EQ(Reserved(bos[i]), i < 3) << i;
  const Fence fence = rig_.PendingWork();
  exec.Finish(fence);
  for (int i = 0; i < 4; ++i) {
    EXPECT_FALSE(Reserved(bos[i])) << i;
    EXPECT_EQ(testing::Value(rig_.Dependencies(bos[i]), Contains(fence)), i < 3)
        << i;
  }
  EXPECT_EQ(rig_.Broken(), "");
}

TEST_F(ExecTest, EmptyIsFine) {
  Exec exec(rig_.device());
  EXPECT_EQ(exec.Run(&context_), absl::OkStatus());
  EXPECT_THAT(exec.dependencies(), IsEmpty());
  exec.Finish(rig_.PendingWork());
}

TEST_F(ExecTest, OneAddedTwiceCountsOnceWithTheStrongerUse) {
  const std::vector<BoRef> bos = Make(2);
  Exec exec(rig_.device());
  exec.Add(*bos[0], {&kVram, 1}, FenceUse::kRead);
  exec.Add(*bos[1], {&kVram, 1}, FenceUse::kRead);
  exec.Add(*bos[0], {&kSystem, 1}, FenceUse::kWrite);
  exec.Add(*bos[1], {&kVram, 1}, FenceUse::kRead);
  ASSERT_EQ(exec.Run(&context_), absl::OkStatus());
  EXPECT_TRUE(rig_.In(bos[0], MemoryType::kVram));  // the first placements
  const Fence fence = rig_.PendingWork();
  exec.Finish(fence);
  const auto next_reader = [](const BoRef& bo) {
    absl::InlinedVector<Fence, 4> dependencies;
    bo->fences().AppendDependencies(FenceUse::kRead, &dependencies);
    return dependencies;
  };
  EXPECT_THAT(next_reader(bos[0]), Contains(fence));
  EXPECT_THAT(next_reader(bos[1]), Not(Contains(fence)));
  EXPECT_FALSE(Reserved(bos[0]));
}

TEST_F(ExecTest, DependsOnWhatItsUsesMustWaitFor) {
  const std::vector<BoRef> bos = Make(3);
  for (const BoRef& bo : bos) {
    ASSERT_EQ(rig_.Validate(bo, Tt(DmaType::kNone)), absl::OkStatus());
  }
  const Fence read = rig_.KeepBusy(bos[0], FenceUse::kRead);
  const Fence written = rig_.KeepBusy(bos[1], FenceUse::kWrite);
  const Fence read_too = rig_.KeepBusy(bos[2], FenceUse::kRead);
  const std::vector<Placement> in_tt = {Tt(DmaType::kNone)};
  Exec exec(rig_.device());
  exec.Add(*bos[0], in_tt, FenceUse::kRead);  // readers do not wait for readers
  exec.Add(*bos[1], in_tt, FenceUse::kRead);  // but for writers
  exec.Add(*bos[2], in_tt, FenceUse::kWrite);  // and writers for all
  ASSERT_EQ(exec.Run(&context_), absl::OkStatus());
  EXPECT_TRUE(context_.hit);
  EXPECT_THAT(exec.dependencies(), Not(Contains(read)));
  EXPECT_THAT(exec.dependencies(), Contains(written));
  EXPECT_THAT(exec.dependencies(), Contains(read_too));
  exec.Finish(rig_.PendingWork());
}

TEST_F(ExecTest, RunsAgainAfterFinishAndForgetsOldDependencies) {
  const std::vector<BoRef> bos = Make(2);
  for (const BoRef& bo : bos) {
    ASSERT_EQ(rig_.Validate(bo, Tt(DmaType::kNone)), absl::OkStatus());
  }
  const Fence fence = rig_.KeepBusy(bos[0]);
  const std::vector<Placement> in_tt = {Tt(DmaType::kNone)};
  Exec exec(rig_.device());
  exec.Add(*bos[0], in_tt, FenceUse::kWrite);
  ASSERT_EQ(exec.Run(&context_), absl::OkStatus());
  EXPECT_THAT(exec.dependencies(), Contains(fence));
  exec.Finish(Fence{});
  exec.Add(*bos[1], in_tt, FenceUse::kWrite);
  ASSERT_EQ(exec.Run(&context_), absl::OkStatus());
  EXPECT_THAT(exec.dependencies(), IsEmpty());
  EXPECT_FALSE(Reserved(bos[0]));
  exec.Finish(Fence{});
  EXPECT_FALSE(Reserved(bos[1]));
}

TEST_F(ExecTest, IsAHitOnlyIfAllAreThereAlready) {
  const std::vector<BoRef> bos = Make(2);
  ASSERT_EQ(rig_.Validate(bos[1], kVram), absl::OkStatus());
  const auto run = [&] {
    Exec exec(rig_.device());
    for (const BoRef& bo : bos) exec.Add(*bo, {&kVram, 1}, FenceUse::kRead);
    EXPECT_EQ(exec.Run(&context_), absl::OkStatus());
    exec.Finish(Fence{});
    return context_.hit;
  };
  EXPECT_FALSE(run());  // although the last one was
  EXPECT_TRUE(run());
}

TEST_F(ExecTest, NeverEvictsOneOfItsOwn) {
  const std::vector<BoRef> others = Make(4);
  const std::vector<BoRef> own = Make(4);
  for (const BoRef& bo : own) {
    ASSERT_EQ(rig_.Validate(bo, kVram), absl::OkStatus());
  }
  // The least recent ones, half of them pushed out by others.
  for (int i = 0; i < 2; ++i) {
    ASSERT_EQ(rig_.Validate(others[i], kVram), absl::OkStatus());
  }
  Exec exec(rig_.device());
  for (const BoRef& bo : own) exec.Add(*bo, {&kVram, 1}, FenceUse::kWrite);
  ASSERT_EQ(exec.Run(&context_), absl::OkStatus());
  for (const BoRef& bo : own) EXPECT_TRUE(rig_.In(bo, MemoryType::kVram));
  exec.Finish(Fence{});
  EXPECT_EQ(rig_.Broken(), "");
}

TEST_F(ExecTest, AFailureReleasesAllAndKeepsTheirContents) {
  const std::vector<BoRef> bos = Make(5);  // one more than fit
  for (int i = 0; i < 5; ++i) rig_.CpuFill(bos[i], i);
  {
    Exec exec(rig_.device());
    for (const BoRef& bo : bos) exec.Add(*bo, {&kVram, 1}, FenceUse::kWrite);
    absl::Status status = exec.Run(&context_);
    EXPECT_EQ(KindOf(status), ErrorKind::kCannotFit) << status;
    EXPECT_THAT(std::string(status.message()),
                testing::HasSubstr("1024 KiB reserved"));
    for (const BoRef& bo : bos) EXPECT_FALSE(Reserved(bo));
  }
  for (int i = 0; i < 5; ++i) {
    EXPECT_FALSE(Reserved(bos[i]));
    EXPECT_EQ(rig_.CpuWrongBytes(bos[i], i), 0) << i;
  }
  EXPECT_EQ(rig_.Broken(), "");
}

TEST_F(ExecTest, LeavingHalfWayReleasesAll) {
  const std::vector<BoRef> bos = Make(2);
  {
    Exec exec(rig_.device());
    for (const BoRef& bo : bos) exec.Add(*bo, {&kVram, 1}, FenceUse::kWrite);
    ASSERT_EQ(exec.Run(&context_), absl::OkStatus());
    EXPECT_TRUE(Reserved(bos[0]));
  }
  for (const BoRef& bo : bos) EXPECT_FALSE(Reserved(bo));
  {
    Exec never_run(rig_.device());
    never_run.Add(*bos[0], {&kVram, 1}, FenceUse::kWrite);
  }
  EXPECT_FALSE(Reserved(bos[0]));
}

TEST_F(ExecTest, TheOneAddedLastIsTheOneUsedLast) {
  std::vector<BoRef> bos = Make(4);
  // Not the order in which they are reserved.
  std::sort(bos.begin(), bos.end(),
            [](const BoRef& a, const BoRef& b) { return a.get() > b.get(); });
  Exec exec(rig_.device());
  for (const BoRef& bo : bos) exec.Add(*bo, {&kVram, 1}, FenceUse::kRead);
  ASSERT_EQ(exec.Run(&context_), absl::OkStatus());
  exec.Finish(Fence{});
  std::vector<BoRef> next = Make(3);
  for (int i = 0; i < 3; ++i) {
    ASSERT_EQ(rig_.Validate(next[i], kVram), absl::OkStatus());
    EXPECT_FALSE(rig_.In(bos[i], MemoryType::kVram)) << i;
    EXPECT_TRUE(rig_.In(bos[i + 1], MemoryType::kVram)) << i;
  }
}

TEST_F(ExecTest, BytesMovedAreThoseOfAllBos) {
  const std::vector<BoRef> bos = Make(3);
  for (const BoRef& bo : bos) rig_.CpuFill(bo, 1);
  Exec exec(rig_.device());
  for (const BoRef& bo : bos) exec.Add(*bo, {&kVram, 1}, FenceUse::kRead);
  ASSERT_EQ(exec.Run(&context_), absl::OkStatus());
  exec.Finish(Fence{});
  EXPECT_EQ(context_.bytes_moved, 3 * kQuarter);
}

// S30: what a submission moves is bounded; fallbacks give way to the bound.
TEST_F(ExecTest, S30AMoveBudgetLeavesTheRestInTheirFallbacks) {
  const std::vector<BoRef> old = Make(4);
  for (const BoRef& bo : old) rig_.CpuFill(bo, 1);
  for (const BoRef& bo : old) {
    ASSERT_EQ(rig_.Validate(bo, kVram), absl::OkStatus());
  }
  const std::vector<BoRef> bos = Make(4);
  for (const BoRef& bo : bos) rig_.CpuFill(bo, 2);
  Placement tt = Tt(DmaType::kDynamic);
  tt.use = Placement::Use::kFallback;
  const std::vector<Placement> places = {kVram, tt};
  const auto run = [&](uint64_t move_budget) {
    ValidateContext context;
    context.move_budget = move_budget;
    Exec exec(rig_.device());
    for (const BoRef& bo : bos) exec.Add(*bo, places, FenceUse::kRead);
    EXPECT_EQ(exec.Run(&context), absl::OkStatus());
    int in_vram = 0;
    for (const BoRef& bo : bos) in_vram += rig_.In(bo, MemoryType::kVram);
    return in_vram;
  };
  // VRAM is full, TT is not. Its victim's bytes and its own:
  EXPECT_EQ(run(2 * kQuarter), 1);
  // Room alone promotes nobody who may not move.
  for (const BoRef& bo : old) {
    ASSERT_EQ(rig_.Validate(bo, kSystem), absl::OkStatus());
  }
  EXPECT_EQ(run(0), 1);
  EXPECT_EQ(run(2 * kQuarter), 3);
  EXPECT_EQ(run(~uint64_t{0}), 4);
  for (const BoRef& bo : bos) EXPECT_EQ(rig_.CpuWrongBytes(bo, 2), 0);
  EXPECT_EQ(rig_.Broken(), "");
}

TEST(ExecThreads, OverlappingBosInDifferentOrdersFinish) {
  RigOptions options = RigOptions::Small(IommuMode::kAbsent);
  options.options.clock = Clock::Kind::kReal;
  Rig rig(options);
  // All fit at once: nobody has to wait for another's bos to go.
  std::vector<BoRef> bos;
  for (int i = 0; i < 8; ++i) bos.push_back(rig.Make(16 * kKiB));
  const std::vector<Placement> in_tt = {Tt(DmaType::kDynamic)};
  Atomic<int> failed{0};
  const auto run = [&](int thread) {
    for (int round = 0; round < 300; ++round) {
      Exec exec(rig.device());
      for (int i = 0; i < 5; ++i) {
        // Forwards, backwards, and from different starts.
        const int at = thread == 0 ? round + i : round + 11 - i;
        const PlacementList placements = (round + i) % 3 == 0
                                             ? PlacementList(in_tt)
                                             : PlacementList(&kVram, 1);
        exec.Add(*bos[at % 8], placements, FenceUse::kWrite);
      }
      ValidateContext context;
      const bool ran = exec.Run(&context).ok();
      failed += !ran;
      if (ran && round % 4 != 0) exec.Finish(Fence{});  // or leaves half-way
    }
  };
  {
    Thread first([&] { run(0); });
    Thread second([&] { run(1); });
  }
  EXPECT_EQ(failed, 0);
  EXPECT_EQ(rig.Broken(), "");
}

}  // namespace
}  // namespace twostep
