// B15 to B21: how bos are reserved.

#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/bo/rig.h"
#include "twostep/bo/exec.h"

namespace twostep {
namespace {

constexpr WaitLimit kNoWait{WaitLimit::Mode::kNoWait};

class ReservationTest : public testing::Test {
 protected:
  // What another thread is answered.
  template <typename Call>
  static absl::Status Elsewhere(Call call) {
    absl::Status status;
    Thread([&] { status = call(); }).Join();
    return status;
  }

  Rig rig_;
  BoRef bo_ = rig_.Make(kPageSize);
};

TEST_F(ReservationTest, B15AFreeOneIsHadInEveryMode) {
  Interrupt interrupt;
  WaitLimit interruptible;
  interruptible.interrupt = &interrupt;
  WaitLimit brief = WaitLimit::Within(1);
  for (const WaitLimit& limit : {WaitLimit{}, interruptible, brief, kNoWait}) {
    ASSERT_EQ(bo_->Reserve(limit), absl::OkStatus());
    bo_->AssertHeld();
    bo_->Unreserve();
  }
  Ticket ticket;
  for (const WaitLimit& limit : {WaitLimit{}, interruptible, brief}) {
    ASSERT_EQ(bo_->Reserve(limit), absl::OkStatus());
    bo_->Unreserve();
    ASSERT_EQ(bo_->ReserveAgain(limit), absl::OkStatus());
    bo_->Unreserve();
  }
  ASSERT_TRUE(bo_->TryReserve());
  bo_->Unreserve();
}

TEST_F(ReservationTest, B16AnothersIsBusyAtOnceForWhoMayNotWait) {
  bo_->Reserve();
  const absl::Status busy = Elsewhere([&] { return bo_->Reserve(kNoWait); });
  EXPECT_EQ(KindOf(busy), ErrorKind::kBusy) << busy;
  EXPECT_EQ(busy.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(
      Elsewhere([&] { return bo_->TryReserve() ? absl::OkStatus() : busy; }),
      busy);
  bo_->Unreserve();
}

TEST_F(ReservationTest, B17NoWaitingWithATicketIsMisuse) {
  Ticket ticket;
  const absl::Status refused = bo_->Reserve(kNoWait);
  EXPECT_EQ(KindOf(refused), ErrorKind::kMisuse) << refused;
  EXPECT_TRUE(bo_->TryReserve());  // it was not taken
  bo_->Unreserve();
}

TEST_F(ReservationTest, B18TheSameTicketTwiceIsToldSo) {
  Ticket ticket;
  ASSERT_EQ(bo_->Reserve(WaitLimit{}), absl::OkStatus());
  EXPECT_EQ(bo_->Reserve(WaitLimit{}).code(), absl::StatusCode::kAlreadyExists);
  bo_->AssertHeld();
  bo_->Unreserve();
}

TEST_F(ReservationTest, B19AnInterruptedOrTimedWaitChangesNothing) {
  bo_->Reserve();
  Interrupt interrupt;
  WaitLimit limit;
  limit.interrupt = &interrupt;
  interrupt.Raise();
  const absl::Status interrupted =
      Elsewhere([&] { return bo_->Reserve(limit); });
  EXPECT_EQ(KindOf(interrupted), ErrorKind::kInterrupted) << interrupted;
  EXPECT_EQ(interrupted.code(), absl::StatusCode::kCancelled);
  const absl::Status late =
      Elsewhere([&] { return bo_->Reserve(WaitLimit::Within(1000)); });
  EXPECT_EQ(KindOf(late), ErrorKind::kTimeUp) << late;
  bo_->AssertHeld();
  bo_->Unreserve();
  interrupt.Clear();
  EXPECT_EQ(Elsewhere([&] {
              absl::Status again = bo_->Reserve(limit);
              if (again.ok()) bo_->Unreserve();
              return again;
            }),
            absl::OkStatus());
}

TEST_F(ReservationTest, B20AYoungerTicketBacksOffAndGetsItLater) {
  Ticket older;
  ASSERT_EQ(bo_->Reserve(WaitLimit{}), absl::OkStatus());
  Atomic<bool> lost{false};
  Thread younger([&] {
    Ticket ticket;
    const absl::Status refused = bo_->Reserve(WaitLimit{});
    EXPECT_EQ(KindOf(refused), ErrorKind::kContended) << refused;
    EXPECT_EQ(refused.code(), absl::StatusCode::kAborted);
    lost.store(true);
    EXPECT_EQ(bo_->ReserveAgain(WaitLimit{}), absl::OkStatus());
    bo_->Unreserve();
  });
  for (uint64_t rounds = 0; !lost.load(); ++rounds) YieldFor(rounds);
  bo_->Unreserve();
}

// Those that leave first are those used first.
TEST_F(ReservationTest, B21UnreservingMakesItTheMostRecentInBothOrders) {
  for (const Placement& placement : {kVram, Tt(DmaType::kDynamic)}) {
    const BoRef first = rig_.Make(kMiB / 2);
    const BoRef second = rig_.Make(kMiB / 2);
    ASSERT_EQ(rig_.Validate(first, placement), absl::OkStatus());
    ASSERT_EQ(rig_.Validate(second, placement), absl::OkStatus());
    rig_.Touch(first);
    second->Reserve();
    second->UnreserveUnused();  // no use
    const BoRef newcomer = rig_.Make(kMiB / 2);
    ASSERT_EQ(rig_.Validate(newcomer, placement), absl::OkStatus());
    EXPECT_TRUE(rig_.In(first, placement.memory));
    EXPECT_FALSE(rig_.In(second, placement.memory));
  }
}

class ExecConformance : public ReservationTest {
 protected:
  absl::Status Run(Exec* exec) {
    ValidateContext context;
    return exec->Run(&context);
  }
};

TEST_F(ExecConformance, B42LocksUnlocksAndLocksAgain) {
  Exec exec(rig_.device());
  for (int round = 0; round < 3; ++round) {
    exec.Add(*bo_, {&kVram, 1}, FenceUse::kWrite);
    ASSERT_EQ(Run(&exec), absl::OkStatus());
    EXPECT_FALSE(bo_->TryReserve());
    exec.Finish(rig_.PendingWork());
    ASSERT_TRUE(bo_->TryReserve());
    bo_->Unreserve();
  }
}

TEST_F(ExecConformance, B42TheSameTwiceIsMergedOrRefusedAsAsked) {
  Exec merging(rig_.device());
  Exec refusing(rig_.device(), nullptr,
                {.duplicates = ExecOptions::Duplicates::kRefuse});
  const BoRef other = rig_.Make(kPageSize);
  for (Exec* exec : {&merging, &refusing}) {
    exec->Add(*bo_, {&kVram, 1}, FenceUse::kRead);
    exec->Add(*other, {&kVram, 1}, FenceUse::kRead);
    exec->Add(*bo_, {&kVram, 1}, FenceUse::kWrite);
  }
  ASSERT_EQ(Run(&merging), absl::OkStatus());
  EXPECT_EQ(merging.size(), 2u);
  const Fence fence = rig_.PendingWork();
  merging.Finish(fence);
  absl::InlinedVector<Fence, 4> readers_wait_for;
  bo_->fences().AppendDependencies(FenceUse::kRead, &readers_wait_for);
  EXPECT_THAT(readers_wait_for, testing::Contains(fence));  // it was written
  EXPECT_EQ(Run(&refusing).code(), absl::StatusCode::kAlreadyExists);
  EXPECT_TRUE(other->TryReserve());
  other->Unreserve();
}

TEST_F(ExecConformance, B42OneReservedByHandIsMisuse) {
  bo_->Reserve();
  Exec exec(rig_.device());
  exec.Add(*bo_, {&kVram, 1}, FenceUse::kRead);
  EXPECT_EQ(KindOf(Run(&exec)), ErrorKind::kMisuse);
  bo_->AssertHeld();
  bo_->Unreserve();
}

TEST_F(ExecConformance, B42LeavingHalfWayReleasesAll) {
  const BoRef pinned = rig_.Make(kPageSize);
  rig_.Pin(pinned);
  {
    Exec exec(rig_.device());
    exec.Add(*bo_, {&kVram, 1}, FenceUse::kWrite);
    exec.Add(*pinned, {&kVram, 1}, FenceUse::kWrite);
    EXPECT_EQ(KindOf(Run(&exec)), ErrorKind::kPinned);
    for (const BoRef& bo : {bo_, pinned}) {
      ASSERT_TRUE(bo->TryReserve());
      bo->Unreserve();
    }
    exec.Add(*bo_, {&kVram, 1}, FenceUse::kWrite);
    ASSERT_EQ(Run(&exec), absl::OkStatus());
  }
  ASSERT_TRUE(bo_->TryReserve());
  bo_->Unreserve();
  EXPECT_FALSE(Ticket::Exists());
  rig_.Unpin(pinned);
}

TEST_F(ExecConformance, B42FenceSlotsAreThereForAll) {
  const BoRef other = rig_.Make(kPageSize);
  Exec exec(rig_.device(), nullptr, {.fence_slots = 3});
  exec.Add(*bo_, {&kVram, 1}, FenceUse::kWrite);
  exec.Add(*other, {&kVram, 1}, FenceUse::kWrite);
  ASSERT_EQ(Run(&exec), absl::OkStatus());
  for (const BoRef& bo : {bo_, other}) {
    EXPECT_GE(bo->fences().free_slots(), 3);
  }
}

}  // namespace
}  // namespace twostep
