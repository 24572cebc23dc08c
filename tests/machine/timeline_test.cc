// Fences, timelines and device queues: real threads and virtual time.

#include "twostep/machine/timeline.h"

#include <array>
#include <memory>
#include <vector>

#include "absl/strings/match.h"
#include "gtest/gtest.h"
#include "twostep/machine/device_queue.h"
#include "twostep/machine/fence_set.h"

namespace twostep {
namespace {

using Execution = DeviceQueue::Execution;

constexpr WaitLimit kNoWait{WaitLimit::Mode::kNoWait};
constexpr WaitLimit kForever{};

TEST(Fence, TheNullFenceHasSignalled) {
  EXPECT_TRUE(Fence{}.Signalled());
  EXPECT_TRUE(WaitFor(Fence{}, kNoWait).ok());
}

TEST(Timeline, NoWaitNamesThePendingFence) {
  for (const Clock::Kind kind : {Clock::Kind::kReal, Clock::Kind::kVirtual}) {
    Clock clock(kind);
    Timeline timeline("ring", clock);
    timeline.Emit(5);
    const Fence fence = timeline.Emit(10);
    const absl::Status status = WaitFor(fence, kNoWait);
    EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
    EXPECT_TRUE(absl::StrContains(status.message(), "ring:2")) << status;
    if (clock.is_virtual()) {
      EXPECT_EQ(clock.now_ns(), 0);
    }
  }
}

TEST(Timeline, ARealWaitEndsAtItsDeadlineAndCanBeRepeated) {
  Clock clock(Clock::Kind::kReal);
  Timeline timeline("ring", clock);
  const Fence fence = timeline.Emit(0);
  const uint64_t before_ns = clock.now_ns();
  const WaitLimit millisecond = WaitLimit::Within(1'000'000);
  const absl::Status status = WaitFor(fence, millisecond);
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_TRUE(absl::StrContains(status.message(), "ring:1")) << status;
  EXPECT_GE(clock.now_ns() - before_ns, 1'000'000);
  EXPECT_FALSE(fence.Signalled());
  timeline.Complete(1);
  EXPECT_TRUE(fence.Signalled());
  EXPECT_TRUE(WaitFor(fence, millisecond).ok());
}

TEST(Timeline, TheLongestDeadlineIsNotInThePast) {
  Clock clock(Clock::Kind::kReal);
  Timeline timeline("ring", clock);
  for (const WaitLimit& limit :
       {WaitLimit::Within(~uint64_t{0}), WaitLimit::Within(~uint64_t{0} >> 1),
        kForever}) {
    const Fence fence = timeline.Emit(0);
    Thread completer([&] { timeline.Complete(fence.point); });
    EXPECT_TRUE(WaitFor(fence, limit).ok());
  }
}

TEST(Timeline, CompletingAPointCompletesAllBeforeAndNeverGoesBack) {
  Clock clock(Clock::Kind::kReal);
  Timeline timeline("ring", clock);
  std::array<Fence, 4> fences;
  for (Fence& fence : fences) fence = timeline.Emit(0);
  timeline.Complete(3);
  timeline.Complete(1);
  EXPECT_TRUE(fences[0].Signalled());
  EXPECT_TRUE(fences[2].Signalled());
  EXPECT_FALSE(fences[3].Signalled());
}

TEST(Timeline, VirtualTimeDecidesWhenWorkDoneEarlySignals) {
  Clock clock(Clock::Kind::kVirtual);
  Timeline timeline("ring", clock);
  const Fence first = timeline.Emit(100);
  const Fence second = timeline.Emit(100);
  const Fence third = timeline.Emit(250);
  timeline.Complete(third.point);
  EXPECT_EQ(timeline.DueNs(first.point), 100);
  EXPECT_EQ(timeline.DueNs(third.point), 250);
  clock.Charge(99);
  EXPECT_FALSE(first.Signalled());
  clock.Charge(1);
  EXPECT_TRUE(first.Signalled());
  EXPECT_TRUE(second.Signalled());
  EXPECT_FALSE(third.Signalled());
  EXPECT_EQ(timeline.DueNs(second.point), 0);
  EXPECT_EQ(timeline.DueNs(third.point), 250);
  EXPECT_TRUE(WaitFor(third, kForever).ok());
  EXPECT_EQ(clock.now_ns(), 250);
  EXPECT_TRUE(WaitFor(first, kForever).ok());
  EXPECT_EQ(clock.now_ns(), 250);
}

TEST(Timeline, DueIsNotSignalledBeforeTheWorkIsDone) {
  Clock clock(Clock::Kind::kVirtual);
  Timeline timeline("ring", clock);
  const Fence fence = timeline.Emit(10);
  clock.AdvanceTo(10);
  Atomic<bool> done{false};
  Thread worker([&] {
    done.store(true);
    timeline.Complete(fence.point);
  });
  // Its time has come: whoever asks waits for the work rather than hear no.
  EXPECT_TRUE(fence.Signalled());
  EXPECT_TRUE(done.load());
}

TEST(Timeline, EmitDoesNotWaitForWorkThatIsDue) {
  Clock clock(Clock::Kind::kVirtual);
  Timeline timeline("ring", clock);
  const Fence first = timeline.Emit(10);
  clock.AdvanceTo(10);
  const Fence second = timeline.Emit(20);  // would hang
  timeline.Complete(second.point);
  EXPECT_TRUE(first.Signalled());
  EXPECT_FALSE(second.Signalled());
}

// Both threads find points due whose work is not done, and wait inside.
TEST(Timeline, TwoThreadsThatWaitForDueWorkLoseNoPoint) {
  for (int round = 0; round < 300; ++round) {
    Clock clock(Clock::Kind::kVirtual);
    Timeline timeline("ring", clock);
    for (int i = 0; i < 3; ++i) timeline.Emit(10);
    clock.AdvanceTo(10);
    Atomic<int> started{0};
    {
      std::vector<Thread> waiters;
      for (int i = 0; i < 2; ++i) {
        waiters.emplace_back([&] {
          started.fetch_add(1);
          EXPECT_TRUE(timeline.Signalled(1));
        });
      }
      while (started.load() < 2) CpuRelax();
      timeline.Complete(1);
      timeline.Complete(3);
    }
    ASSERT_TRUE(timeline.Signalled(3)) << round;
  }
}

TEST(Timeline, ManyThreadsWaitForEveryPoint) {
  Clock clock(Clock::Kind::kVirtual);
  Timeline timeline("ring", clock);
  constexpr uint64_t kPoints = 500;
  for (uint64_t i = 1; i <= kPoints; ++i) timeline.Emit(10 * i);
  std::vector<Thread> waiters;
  for (uint64_t step = 1; step <= 4; ++step) {
    waiters.emplace_back([&timeline, step] {
      for (uint64_t point = step; point <= kPoints; point += step) {
        ASSERT_TRUE(timeline.Wait(point, kForever).ok());
      }
    });
  }
  for (uint64_t i = 1; i <= kPoints; ++i) timeline.Complete(i);
  waiters.clear();
  EXPECT_EQ(clock.now_ns(), 10 * kPoints);
  EXPECT_TRUE(timeline.Signalled(kPoints));
}

class QueueRig {
 public:
  explicit QueueRig(Clock::Kind clock, Execution execution = Execution::kThread)
      : clock_(clock), first_("first", clock_), second_("second", clock_) {
    a_ = std::make_unique<DeviceQueue>(first_, clock_, execution);
    b_ = std::make_unique<DeviceQueue>(second_, clock_, execution);
  }
  Clock& clock() { return clock_; }
  DeviceQueue& a() { return *a_; }
  DeviceQueue& b() { return *b_; }
  void Stop() {
    a_.reset();
    b_.reset();
  }

 private:
  Clock clock_;
  Timeline first_;
  Timeline second_;
  std::unique_ptr<DeviceQueue> a_;
  std::unique_ptr<DeviceQueue> b_;
};

TEST(DeviceQueue, DoesItsJobsInOrderOnAThreadOfItsOwn) {
  QueueRig rig(Clock::Kind::kReal);
  std::vector<int> done;
  Fence last;
  for (int i = 0; i < 100; ++i) {
    last = rig.a().Submit({}, 0, [&done, i] { done.push_back(i); });
  }
  ASSERT_TRUE(WaitFor(last, kForever).ok());
  ASSERT_EQ(done.size(), 100);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(done[i], i);
}

TEST(DeviceQueue, AJobStartsAfterTheFencesItDependsOn) {
  for (const Clock::Kind kind : {Clock::Kind::kReal, Clock::Kind::kVirtual}) {
    QueueRig rig(kind);
    int turn = 0;  // not atomic: the fences alone order the threads
    Fence last;
    for (int i = 0; i < 200; ++i) {
      DeviceQueue& queue = i % 2 == 0 ? rig.a() : rig.b();
      last = queue.Submit({Fence{}, last}, 1, [&turn, i] {
        EXPECT_EQ(turn, i);
        ++turn;
      });
    }
    ASSERT_TRUE(WaitFor(last, kForever).ok());
    EXPECT_EQ(turn, 200);
    if (kind == Clock::Kind::kVirtual) {
      EXPECT_EQ(rig.clock().now_ns(), 200);
    }
  }
}

TEST(DeviceQueue, AFenceSignalsAfterItsWorkNotBefore) {
  QueueRig rig(Clock::Kind::kReal);
  Atomic<bool> go{false};
  const Fence fence = rig.a().Submit({}, 0, [&] {
    while (!go.load()) CpuRelax();
  });
  EXPECT_FALSE(fence.Signalled());
  EXPECT_EQ(WaitFor(fence, kNoWait).code(), absl::StatusCode::kUnavailable);
  go.store(true);
  EXPECT_TRUE(WaitFor(fence, kForever).ok());
}

TEST(DeviceQueue, ItsEndFinishesWhatWasSubmitted) {
  for (const Clock::Kind kind : {Clock::Kind::kReal, Clock::Kind::kVirtual}) {
    QueueRig rig(kind);
    int done = 0;
    Fence last;
    for (int i = 0; i < 50; ++i) last = rig.a().Submit({}, 1, [&] { ++done; });
    rig.Stop();
    EXPECT_EQ(done, 50);
    EXPECT_TRUE(WaitFor(last, kForever).ok());
  }
}

TEST(DeviceQueue, VirtualTimeAddsUpOneAfterTheOther) {
  QueueRig rig(Clock::Kind::kVirtual, Execution::kTimeOnly);
  rig.clock().AdvanceTo(1000);
  bool ran = false;
  const Fence a1 = rig.a().Submit({}, 100, [&] { ran = true; });
  EXPECT_EQ(rig.a().idle_at_ns(), 1100);
  const Fence a2 = rig.a().Submit({}, 50, nullptr);
  EXPECT_EQ(rig.a().idle_at_ns(), 1150);
  // The other queue is idle: only the dependency holds its job up.
  const Fence b1 = rig.b().Submit({a1}, 10, nullptr);
  EXPECT_EQ(rig.b().idle_at_ns(), 1110);
  EXPECT_EQ(rig.b().StartNs({}), 1110);
  EXPECT_EQ(rig.b().StartNs({a2}), 1150);
  EXPECT_FALSE(a1.Signalled());
  ASSERT_TRUE(WaitFor(b1, kForever).ok());
  EXPECT_EQ(rig.clock().now_ns(), 1110);
  EXPECT_TRUE(a1.Signalled());
  EXPECT_FALSE(a2.Signalled());
  // After a pause the queue starts at once.
  rig.clock().AdvanceTo(5000);
  EXPECT_TRUE(a2.Signalled());
  rig.a().Submit({}, 1, nullptr);
  EXPECT_EQ(rig.a().idle_at_ns(), 5001);
  EXPECT_FALSE(ran);
}

TEST(DeviceQueue, JobsOfManyThreadsTakeTheirTimesTogether) {
  constexpr int kThreads = 4;
  constexpr int kJobs = 2000;
  QueueRig rig(Clock::Kind::kVirtual, Execution::kTimeOnly);
  {
    std::vector<Thread> submitters;
    for (int i = 0; i < kThreads; ++i) {
      submitters.emplace_back([&] {
        for (int j = 0; j < kJobs; ++j) rig.a().Submit({}, 10, nullptr);
      });
    }
  }
  EXPECT_EQ(rig.a().idle_at_ns(), kThreads * kJobs * 10);
}

// --- Timelines that fail ---

TEST(Timeline, AFailedOneSignalsWhatIsPendingWithItsError) {
  for (const Clock::Kind kind : {Clock::Kind::kReal, Clock::Kind::kVirtual}) {
    Clock clock(kind);
    Timeline timeline("ring", clock);
    const Fence done = timeline.EmitComplete(0);
    const Fence pending = timeline.Emit(10);
    const Fence last = timeline.Emit(20);
    EXPECT_TRUE(pending.Error().ok());
    timeline.Fail(absl::DataLossError("pulled out"));
    timeline.Fail(absl::InternalError("the second call"));
    EXPECT_TRUE(done.Error().ok());
    EXPECT_TRUE(WaitFor(done, kNoWait).ok());
    for (const Fence& fence : {pending, last}) {
      EXPECT_TRUE(fence.Signalled());
      EXPECT_EQ(fence.Error(), absl::DataLossError("pulled out"));
      EXPECT_EQ(WaitFor(fence, kNoWait), absl::DataLossError("pulled out"));
      EXPECT_EQ(WaitFor(fence, kForever), absl::DataLossError("pulled out"));
    }
    // What comes later fails at once, and completing changes nothing.
    const Fence late = timeline.Emit(30);
    EXPECT_TRUE(late.Signalled());
    EXPECT_FALSE(late.Error().ok());
    timeline.Complete(late.point);
    EXPECT_FALSE(late.Error().ok());
    EXPECT_EQ(timeline.DueNs(late.point), 0);
    EXPECT_EQ(clock.is_virtual() ? clock.now_ns() : 0, 0);
  }
}

TEST(Timeline, WorkThatIsNotDueYetHasNotHappened) {
  Clock clock(Clock::Kind::kVirtual);
  Timeline timeline("ring", clock);
  const Fence early = timeline.EmitComplete(5);
  const Fence late = timeline.EmitComplete(10);
  clock.AdvanceTo(5);
  timeline.Fail(absl::DataLossError("pulled out"));
  EXPECT_TRUE(early.Error().ok());
  EXPECT_FALSE(late.Error().ok());
}

TEST(Timeline, FailingWakesWhoWaits) {
  Clock clock(Clock::Kind::kReal);
  Timeline timeline("ring", clock);
  const Fence fence = timeline.Emit(0);
  Atomic<int> woken{0};
  {
    Thread waits([&] {
      EXPECT_EQ(WaitFor(fence, kForever), absl::DataLossError("pulled out"));
      ++woken;
    });
    Thread depends([&] {
      timeline.WaitExecuted(fence.point);
      ++woken;
    });
    EXPECT_EQ(woken, 0);
    timeline.Fail(absl::DataLossError("pulled out"));
  }
  EXPECT_EQ(woken, 2);
}

TEST(FenceSet, AFailedFenceHasSignalledAndOnlyMovesStayRemembered) {
  Clock clock(Clock::Kind::kReal);
  for (const FenceUse use :
       {FenceUse::kMove, FenceUse::kWrite, FenceUse::kRead}) {
    Timeline timeline("ring", clock);
    Timeline other("other", clock);
    FenceSet fences;
    fences.Add(timeline.Emit(0), use);
    EXPECT_TRUE(fences.Error(FenceUse::kRead).ok());
    timeline.Fail(absl::DataLossError("pulled out"));
    EXPECT_EQ(fences.Error(use), absl::DataLossError("pulled out"));
    EXPECT_TRUE(fences.Wait(FenceUse::kRead, kForever).ok());
    EXPECT_TRUE(fences.Signalled());
    absl::InlinedVector<Fence, 4> dependencies;
    fences.AppendDependencies(FenceUse::kWrite, &dependencies);
    EXPECT_TRUE(dependencies.empty());
    fences.Add(other.EmitComplete(0), FenceUse::kWrite);
    EXPECT_EQ(fences.Error(FenceUse::kRead).ok(), use != FenceUse::kMove);
    fences.Clear();
    EXPECT_TRUE(fences.Error(FenceUse::kRead).ok());
  }
}

TEST(FenceSet, AMoveStandsForAllButMovesOfOtherTimelines) {
  Clock clock(Clock::Kind::kReal);
  Timeline engine("engine", clock);
  Timeline other("other", clock);
  Timeline ring("ring", clock);
  FenceSet fences;
  fences.Add(engine.Emit(0), FenceUse::kMove);
  fences.Add(other.Emit(0), FenceUse::kMove);
  fences.Add(ring.Emit(0), FenceUse::kWrite);
  fences.Add(ring.Emit(0), FenceUse::kRead);
  const Fence move = engine.Emit(0);
  EXPECT_TRUE(fences.Supersede(move));
  absl::InlinedVector<Fence, 4> dependencies;
  fences.AppendDependencies(FenceUse::kWrite, &dependencies);
  EXPECT_EQ(dependencies.size(), 2);
  other.Fail(absl::DataLossError("pulled out"));
  EXPECT_FALSE(fences.Error(FenceUse::kMove).ok());
  const Fence last = engine.Emit(0);
  EXPECT_FALSE(fences.Supersede(last));
  EXPECT_TRUE(fences.Error(FenceUse::kMove).ok());
  dependencies.clear();
  fences.AppendDependencies(FenceUse::kWrite, &dependencies);
  EXPECT_EQ(dependencies.size(), 1);
  EXPECT_EQ(dependencies[0], last);
}

// A queue whose first job is at work, and whose second waits for another
// timeline, when it fails.
class FailedQueue : public ::testing::TestWithParam<DeviceQueue::Unbegun> {};
INSTANTIATE_TEST_SUITE_P(Unbegun, FailedQueue,
                         ::testing::Values(DeviceQueue::Unbegun::kDrop,
                                           DeviceQueue::Unbegun::kRun));

TEST_P(FailedQueue, EndsTheJobAtWorkAndNoOtherIsBegun) {
  Clock clock(Clock::Kind::kReal);
  Timeline timeline("ring", clock);
  Timeline never("never", clock);
  Atomic<bool> begun{false};
  Atomic<bool> go_on{false};
  Atomic<int> others{0};
  Atomic<int> lost{0};
  DeviceQueue queue(timeline, clock, Execution::kThread);
  const auto other = [&] {
    ++others;
    lost += queue.lost();
  };
  const Fence first = queue.Submit({}, 0, [&] {
    begun = true;
    while (!go_on.load()) YieldFor(0);
    // What it has done counts.
    lost += 100 * queue.lost();
  });
  const Fence dependency[] = {never.Emit(0)};
  const Fence second = queue.Submit(dependency, 0, other);
  const Fence third = queue.Submit({}, 0, other);
  while (!begun.load()) YieldFor(0);
  {
    Thread fails([&] {
      queue.Stop(GetParam());
      queue.Fail(absl::DataLossError("pulled out"));
    });
    YieldFor(100);
    // Its buffers are still in use.
    EXPECT_FALSE(first.Signalled());
    EXPECT_FALSE(third.Signalled());
    go_on = true;
  }
  EXPECT_TRUE(first.Error().ok());
  const int run = GetParam() == DeviceQueue::Unbegun::kRun;
  EXPECT_EQ(others, 2 * run);
  for (const Fence& fence : {second, third}) {
    EXPECT_TRUE(fence.Signalled());
    EXPECT_FALSE(fence.Error().ok());
  }
  const Fence late = queue.Submit(dependency, 0, other);
  EXPECT_EQ(late.Error(), absl::DataLossError("pulled out"));
  EXPECT_EQ(others, 3 * run);
  EXPECT_EQ(lost, 3 * run);
  // If the second came to wait for it before the queue failed.
  never.Fail(absl::DataLossError("pulled out"));
}

TEST(DeviceQueue, AFailedOneAlsoEndsAJobThatWaitsForAnotherTimeline) {
  Clock clock(Clock::Kind::kReal);
  Timeline timeline("ring", clock);
  Timeline other("other", clock);
  Atomic<int> run{0};
  const Fence dependency[] = {other.Emit(0)};
  {
    DeviceQueue queue(timeline, clock, Execution::kThread);
    const Fence job = queue.Submit(dependency, 0, [&] { ++run; });
    YieldFor(100);
    queue.Stop(DeviceQueue::Unbegun::kDrop);
    EXPECT_FALSE(job.Signalled());
    queue.Fail(absl::DataLossError("pulled out"));
    EXPECT_FALSE(job.Error().ok());
    other.Fail(absl::DataLossError("pulled out"));
  }
  EXPECT_EQ(run, 0);
}

// --- On demand ---

// Signals what it is asked for.
struct OnDemand {
  explicit OnDemand(Clock& clock)
      : timeline("compute", clock, 0, [this](uint64_t point) {
          asked.push_back(point);
          timeline.Complete(point);
        }) {}

  std::vector<uint64_t> asked;
  Timeline timeline;
};

TEST(OnDemandTimeline, AWaitAsksItsDriverOnce) {
  Clock clock(Clock::Kind::kReal);
  OnDemand compute(clock);
  const Fence first = compute.timeline.Emit(0);
  const Fence second = compute.timeline.Emit(0);
  EXPECT_TRUE(WaitFor(second, kForever).ok());
  EXPECT_EQ(compute.asked, std::vector<uint64_t>{2});
  EXPECT_TRUE(WaitFor(first, kForever).ok());
  EXPECT_TRUE(WaitFor(second, kForever).ok());
  EXPECT_EQ(compute.asked.size(), 1);
  const Fence third = compute.timeline.Emit(0);
  FenceSet fences;
  fences.Add(third, FenceUse::kRead);
  EXPECT_TRUE(fences.Wait(FenceUse::kRead, kForever).ok());
  EXPECT_EQ(compute.asked, (std::vector<uint64_t>{2, 3}));
}

TEST(OnDemandTimeline, NobodyAsksWhoDoesNotWait) {
  Clock clock(Clock::Kind::kReal);
  OnDemand compute(clock);
  const Fence fence = compute.timeline.Emit(0);
  EXPECT_FALSE(fence.Signalled());
  const absl::Status pending = WaitFor(fence, kNoWait);
  EXPECT_EQ(pending.code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(compute.asked.empty());
  EXPECT_EQ(PendingFence(pending), fence);
  EXPECT_EQ(PendingFence(absl::OkStatus()), Fence{});
}

// Asked twice before it has got round to it, it is told once.
TEST(OnDemandTimeline, AThreadThatWaitsForWhatWasAskedForOnlyWaits) {
  Clock clock(Clock::Kind::kReal);
  Atomic<int> asked{0};
  Timeline timeline("compute", clock, 0, [&](uint64_t) { ++asked; });
  const Fence fence = timeline.Emit(0);
  std::vector<Thread> waiters;
  for (int i = 0; i < 3; ++i) {
    waiters.emplace_back([&] { EXPECT_TRUE(WaitFor(fence, kForever).ok()); });
  }
  for (uint64_t rounds = 0; asked == 0; ++rounds) YieldFor(rounds);
  EXPECT_EQ(WaitFor(fence, WaitLimit::Within(1'000'000)).code(),
            absl::StatusCode::kDeadlineExceeded);
  timeline.Complete(fence.point);
  waiters.clear();
  EXPECT_EQ(asked, 1);
}

// Or else what its driver submits until then, and has to wait for before it can
// stop, could come to stand behind this job, by way of other queues.
TEST(OnDemandTimeline, AJobThatDependsOnItAsksBeforeItIsQueued) {
  Clock clock(Clock::Kind::kReal);
  OnDemand compute(clock);
  Timeline other("other", clock);
  Timeline ring("ring", clock);
  const Fence first[] = {other.Emit(0)};
  const Fence second[] = {compute.timeline.Emit(0)};
  DeviceQueue queue(ring, clock, Execution::kThread);
  queue.Submit(first, 0, [] {});
  const Fence job = queue.Submit(second, 0, [] {});
  EXPECT_EQ(compute.asked, std::vector<uint64_t>{1});
  other.Complete(1);
  EXPECT_TRUE(WaitFor(job, kForever).ok());
}

TEST(OnDemandTimeline, AJobThatDependsOnItWaitsForIt) {
  for (const Execution execution : {Execution::kThread, Execution::kTimeOnly}) {
    Clock clock(Clock::Kind::kReal);
    OnDemand compute(clock);
    Timeline ring("ring", clock);
    const Fence dependency[] = {compute.timeline.Emit(0)};
    DeviceQueue queue(ring, clock, execution);
    const Fence job = queue.Submit(dependency, 0, [] {});
    EXPECT_TRUE(WaitFor(job, kForever).ok());
    EXPECT_EQ(compute.asked, std::vector<uint64_t>{1});
  }
}

}  // namespace
}  // namespace twostep
