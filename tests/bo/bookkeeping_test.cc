// S30: what today's TTM keeps for its users, all of it at a time and with both
// steps. What each piece does by itself is shown beside its ID.

#include <memory>
#include <optional>
#include <vector>

#include "gmock/gmock.h"
#include "tests/bo/rig.h"
#include "twostep/bo/bulk_move.h"
#include "twostep/bo/exec.h"

namespace twostep {
namespace {

constexpr uint64_t kEighth = kMiB / 8;  // of VRAM, and of the IOVA space

// Everything passes through COHERENT memory on its way to and from VRAM.
class HoppingDriver final : public DeviceHooks {
  std::optional<Placement> Hop(const BufferObject&, const Placement&) override {
    return Tt(DmaType::kCoherent);
  }
};

RigOptions Options(DeviceHooks* hooks = nullptr) {
  RigOptions options = RigOptions::Small();
  options.host.eviction_policy = "priority";
  options.hooks = hooks;
  return options;
}

// Of a full place: the pinned bo never goes, low priorities go first, the bulk
// goes together at the place of its last use.
void WhoGoes(const Placement& place) {
  Rig rig(Options());
  std::vector<BoRef> bos;
  for (int i = 0; i < 8; ++i) {
    bos.push_back(rig.Make(kEighth));
    rig.CpuFill(bos[i], i);
    bos[i]->Reserve();
    bos[i]->SetPriority(i == 1 ? 2 : 1);
    bos[i]->Unreserve();
    ASSERT_EQ(rig.Validate(bos[i], place), absl::OkStatus());
  }
  rig.Pin(bos[0]);
  BulkMove bulk;
  for (const int i : {2, 5}) {
    bos[i]->Reserve();
    bulk.Add(*bos[i]);
    bos[i]->UnreserveUnused();
  }
  bulk.MoveToEnd();
  const auto in_place = [&](const BoRef& bo) {
    return rig.device().Satisfies(*bo, place);
  };
  std::vector<int> gone;
  std::vector<BoRef> newcomers;
  for (int round = 0; round < 6; ++round) {
    newcomers.push_back(rig.Make(kEighth));
    newcomers.back()->Reserve();
    newcomers.back()->SetPriority(3);
    newcomers.back()->Unreserve();
    ASSERT_EQ(rig.Validate(newcomers.back(), place), absl::OkStatus());
    for (int i = 0; i < 8; ++i) {
      const bool known = std::find(gone.begin(), gone.end(), i) != gone.end();
      if (!known && !in_place(bos[i])) gone.push_back(i);
    }
    ASSERT_EQ(gone.size(), static_cast<size_t>(round + 1));
  }
  // A bulk has no priority: its members count as 0, in the order of their use.
  EXPECT_THAT(gone, testing::ElementsAre(2, 5, 3, 4, 6, 7));
  EXPECT_TRUE(in_place(bos[0]));
  EXPECT_TRUE(in_place(bos[1]));
  for (int i = 0; i < 8; ++i) EXPECT_EQ(rig.CpuWrongBytes(bos[i], i), 0) << i;
  EXPECT_EQ(rig.Broken(), "");
  rig.Unpin(bos[0]);
  for (const int i : {2, 5}) {
    bos[i]->Reserve();
    bulk.Remove(*bos[i]);
    bos[i]->UnreserveUnused();
  }
}

TEST(Bookkeeping, S30PinsPrioritiesAndBulksDecideTogetherInVram) {
  WhoGoes(kVram);
}

TEST(Bookkeeping, S30PinsPrioritiesAndBulksDecideTogetherInDma) {
  WhoGoes(Tt(DmaType::kDynamic));
}

// A bo that dies while it is busy and after a move in two hops: nobody who may
// not wait gets its space, who waits gets it with the fences.
TEST(Bookkeeping, S30WhatDiesBusyAfterAHopLeavesItsSpaceBehindItsFences) {
  HoppingDriver driver;
  Rig rig(Options(&driver));
  {
    const BoRef bo = rig.Make(kMiB);
    rig.CpuFill(bo, 1);
    ASSERT_EQ(rig.Validate(bo, kVram), absl::OkStatus());
    ASSERT_EQ(rig.DeviceWrongBytes(bo, 1), 0);
    rig.KeepBusy(bo);
  }
  const BoRef next = rig.Make(kMiB);
  rig.CpuFill(next, 2);
  ValidateContext impatient;
  impatient.wait.mode = WaitLimit::Mode::kNoWait;
  const absl::Status busy = rig.Validate(next, {kVram}, &impatient);
  EXPECT_EQ(KindOf(busy), ErrorKind::kBusy) << busy;
  // No-wait with somewhere else to go goes there.
  Placement fallback = Tt(DmaType::kNone);
  fallback.use = Placement::Use::kFallback;
  ASSERT_EQ(rig.Validate(next, {kVram, fallback}, &impatient),
            absl::OkStatus());
  EXPECT_TRUE(rig.In(next, MemoryType::kTt));
  ASSERT_EQ(rig.Validate(next, kVram), absl::OkStatus());
  EXPECT_TRUE(rig.In(next, MemoryType::kVram));
  EXPECT_EQ(rig.DeviceWrongBytes(next, 2), 0);
  EXPECT_EQ(rig.Broken(), "");
}

// An exec that is interrupted while it waits for one of its bos, on a thread of
// its own, has moved nothing and keeps nothing.
TEST(Bookkeeping, S30AnInterruptedExecLeavesEverythingFree) {
  Rig rig(Options());
  std::vector<BoRef> bos;
  for (int i = 0; i < 4; ++i) {
    bos.push_back(rig.Make(kEighth));
    rig.CpuFill(bos[i], i);
  }
  bos[2]->Reserve();
  Interrupt interrupt;
  absl::Status status;
  Thread submitter([&] {
    ValidateContext context;
    context.wait.interrupt = &interrupt;
    Exec exec(rig.device());
    for (const BoRef& bo : bos) exec.Add(*bo, {&kVram, 1}, FenceUse::kRead);
    status = exec.Run(&context);
  });
  interrupt.Raise();
  submitter.Join();
  EXPECT_EQ(KindOf(status), ErrorKind::kInterrupted) << status;
  bos[2]->UnreserveUnused();
  for (int i = 0; i < 4; ++i) {
    ASSERT_TRUE(bos[i]->TryReserve()) << i;
    EXPECT_TRUE(rig.In(bos[i], MemoryType::kSystem));
    bos[i]->UnreserveUnused();
    EXPECT_EQ(rig.CpuWrongBytes(bos[i], i), 0);
  }
  EXPECT_EQ(rig.Broken(), "");
}

}  // namespace
}  // namespace twostep
