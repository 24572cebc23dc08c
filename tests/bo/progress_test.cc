// R10 and R11: what only has to be waited for is no reason to fail, and of
// those who want the same room all get it, the oldest first.

#include <random>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "tests/bo/rig.h"
#include "twostep/bo/exec.h"

namespace twostep {
namespace {

using ::testing::HasSubstr;

// One resource, and a bo of `bytes` that fills more than half of it.
struct Scarce {
  const char* name;
  Placement placement;
  uint64_t bytes;
  SpaceAllocator vram_allocator = SpaceAllocator::kRange;
};
const Scarce kScarce[] = {
    {"VramRange", kVram, kMiB},
    {"VramBuddy", kVram, kMiB, SpaceAllocator::kBuddy},
    {"Aperture", Tt(DmaType::kNone), 8 * kMiB},
    {"IovaSpace", Tt(DmaType::kDynamic), kMiB},
    {"CoherentMemory", Tt(DmaType::kCoherent), kMiB},
    {"CmaArea", Tt(DmaType::kCma), kMiB},
};
void PrintTo(const Scarce& scarce, std::ostream* out) { *out << scarce.name; }

class OnlyLocked : public testing::TestWithParam<Scarce> {
 protected:
  static RigOptions Options() {
    RigOptions options = RigOptions::Small();
    options.gpu.vram_allocator = GetParam().vram_allocator;
    return options;
  }
  absl::Status Place(const BoRef& bo, ValidateContext* context) {
    return rig_.Validate(bo, {GetParam().placement}, context);
  }
  // Reserves `bo` on a thread of its own, from now until the returned one ends.
  Thread HoldReserved(const BoRef& bo, Atomic<bool>* until) {
    Atomic<bool> held{false};
    Thread holder([bo, until, &held] {
      bo->Reserve();
      held.store(true);
      held.notify_all();
      for (uint64_t rounds = 0; !until->load(); ++rounds) YieldFor(rounds);
      bo->Unreserve();
    });
    held.wait(false);
    return holder;
  }
  bool InPlace(const BoRef& bo) {
    return rig_.In(bo, GetParam().placement.memory) &&
           (bo->manager().fixed() ||
            bo->binder() == rig_.device().binder(GetParam().placement.dma));
  }

  Rig rig_{Options()};
  BoRef squatter_ = rig_.Make(GetParam().bytes);
  BoRef newcomer_ = rig_.Make(GetParam().bytes);
};

TEST_P(OnlyLocked, R10IsWaitedFor) {
  ValidateContext context;
  ASSERT_EQ(Place(squatter_, &context), absl::OkStatus());
  Atomic<bool> let_go{false};
  Thread holder = HoldReserved(squatter_, &let_go);
  Thread releaser([&] {
    for (int i = 0; i < 100; ++i) YieldFor(50);
    let_go.store(true);
  });
  EXPECT_EQ(Place(newcomer_, &context), absl::OkStatus());
  EXPECT_TRUE(InPlace(newcomer_));
  EXPECT_FALSE(InPlace(squatter_));
  EXPECT_TRUE(let_go.load());
  holder.Join();
  EXPECT_EQ(rig_.Broken(), "");
}

TEST_P(OnlyLocked, R10IsBusyAndNotExhaustedForWhoMayNotWait) {
  ValidateContext context;
  ASSERT_EQ(Place(squatter_, &context), absl::OkStatus());
  Atomic<bool> let_go{false};
  Thread holder = HoldReserved(squatter_, &let_go);
  context.wait.mode = WaitLimit::Mode::kNoWait;
  const absl::Status busy = Place(newcomer_, &context);
  EXPECT_EQ(KindOf(busy), ErrorKind::kBusy) << busy;
  EXPECT_THAT(std::string(busy.message()),
              HasSubstr(squatter_->DebugName() + " is reserved"));
  let_go.store(true);
  holder.Join();
  context.wait = WaitLimit{};
  EXPECT_EQ(Place(newcomer_, &context), absl::OkStatus());
}

TEST_P(OnlyLocked, R10AWaitEndsAtItsDeadlineAndChangesNothing) {
  ValidateContext context;
  ASSERT_EQ(Place(squatter_, &context), absl::OkStatus());
  Atomic<bool> let_go{false};
  Thread holder = HoldReserved(squatter_, &let_go);
  context.wait = WaitLimit::Within(1'000'000);
  const absl::Status late = Place(newcomer_, &context);
  EXPECT_EQ(KindOf(late), ErrorKind::kTimeUp) << late;
  // B19: before it waits, and while it does.
  for (const uint64_t yields : {0, 1000}) {
    Interrupt interrupt;
    Thread raises([&] {
      if (yields != 0) YieldFor(yields);
      interrupt.Raise();
    });
    if (yields == 0) raises.Join();
    context.wait = WaitLimit{};
    context.wait.interrupt = &interrupt;
    const absl::Status interrupted = Place(newcomer_, &context);
    EXPECT_EQ(KindOf(interrupted), ErrorKind::kInterrupted) << interrupted;
  }
  EXPECT_FALSE(InPlace(newcomer_));
  let_go.store(true);
  holder.Join();
  EXPECT_TRUE(InPlace(squatter_));
  EXPECT_EQ(rig_.Broken(), "");
}

// Held by this thread, it is no victim, and waiting would not help.
TEST_P(OnlyLocked, R10OnesOwnIsNotWaitedFor) {
  ValidateContext context;
  ASSERT_EQ(Place(squatter_, &context), absl::OkStatus());
  squatter_->Reserve();
  const absl::Status cannot = Place(newcomer_, &context);
  squatter_->Unreserve();
  EXPECT_EQ(KindOf(cannot), ErrorKind::kCannotFit) << cannot;
}

INSTANTIATE_TEST_SUITE_P(All, OnlyLocked, testing::ValuesIn(kScarce),
                         [](const auto& info) { return info.param.name; });

// --- Several threads that want more than there is ---

// Rounds of execs over bos of this thread; every one fits alone.
class Contest : public testing::TestWithParam<Scarce> {
 protected:
  static RigOptions Options() {
    RigOptions options = RigOptions::Small();
    options.gpu.vram_allocator = GetParam().vram_allocator;
    return options;
  }
  // Fills all bos of an exec through it, `rounds` times.
  void Rounds(const std::vector<BoRef>& bos, int rounds) {
    const Placement& placement = GetParam().placement;
    for (int round = 0; round < rounds; ++round) {
      Exec exec(rig_.device());
      for (const BoRef& bo : bos) {
        exec.Add(*bo, {&placement, 1}, FenceUse::kWrite);
      }
      ValidateContext context;
      const absl::Status status = exec.Run(&context);
      ASSERT_EQ(status, absl::OkStatus());
      restarts_ += exec.restarts();
      for (const BoRef& bo : bos) {
        ASSERT_TRUE(rig_.In(bo, placement.memory)) << bo->DebugName();
      }
      exec.Finish(Fence{});
    }
  }

  Rig rig_{Options()};
  Atomic<uint32_t> restarts_{0};
};

TEST_P(Contest, R11BigAgainstBigBothFinish) {
  // 60 % each, in four parts.
  const uint64_t bytes = GetParam().bytes * 15 / 100 / kPageSize * kPageSize;
  std::vector<Thread> threads;
  std::vector<std::vector<BoRef>> bos(2);
  for (auto& set : bos) {
    for (int i = 0; i < 4; ++i) set.push_back(rig_.Make(bytes));
  }
  for (const auto& set : bos) {
    threads.emplace_back([&] { Rounds(set, 60); });
  }
  threads.clear();
  EXPECT_EQ(rig_.Broken(), "");
}

TEST_P(Contest, R11ManySmallOnesAndSharedOnes) {
  const uint64_t bytes = GetParam().bytes / 16;
  std::vector<BoRef> all;
  for (int i = 0; i < 40; ++i) all.push_back(rig_.Make(bytes));
  std::vector<Thread> threads;
  for (uint32_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937 random(t);
      for (int round = 0; round < 30; ++round) {
        std::vector<BoRef> set;
        for (int i = 0; i < 12; ++i) set.push_back(all[random() % 40]);
        Rounds(set, 1);
      }
    });
  }
  threads.clear();
  EXPECT_EQ(rig_.Broken(), "");
}

// One by one, reserved by hand: what an older one has is an answer of its own.
TEST_P(Contest, R10ByHandTheAnswerIsContendedNeverExhausted) {
  const uint64_t bytes = GetParam().bytes / 3;
  std::vector<BoRef> all;
  for (int i = 0; i < 6; ++i) all.push_back(rig_.Make(bytes));
  Atomic<int> contended{0};
  std::vector<Thread> threads;
  for (uint32_t t = 0; t < 3; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937 random(t);
      for (int round = 0; round < 60; ++round) {
        const BoRef& bo = all[random() % all.size()];
        for (bool done = false; !done;) {
          ValidateContext context;
          const absl::Status status =
              rig_.Validate(bo, {GetParam().placement}, &context);
          done = status.ok();
          if (done) break;
          ASSERT_EQ(KindOf(status), ErrorKind::kContended) << status;
          contended += 1;
          ASSERT_EQ(context.contention.Wait(WaitLimit{}), absl::OkStatus());
        }
      }
    });
  }
  threads.clear();
  EXPECT_EQ(rig_.Broken(), "");
}

INSTANTIATE_TEST_SUITE_P(All, Contest, testing::ValuesIn(kScarce),
                         [](const auto& info) { return info.param.name; });

// Both find nothing to evict at the same time, and each is in the middle of a
// move, as far as the other can see.
TEST(Progress, R10TwoThatFindNothingToEvictBothEnd) {
  Rig rig;
  std::vector<BoRef> pinned;
  for (const Placement& placement : {kVram, Tt(DmaType::kCoherent)}) {
    pinned.push_back(rig.Make(kMiB));
    ASSERT_EQ(rig.Validate(pinned.back(), placement), absl::OkStatus());
    rig.Pin(pinned.back());
  }
  std::vector<Thread> threads;
  for (const Placement& placement : {kVram, Tt(DmaType::kCoherent)}) {
    threads.emplace_back([&rig, placement] {
      const BoRef bo = rig.Make(kPageSize);
      for (int round = 0; round < 200; ++round) {
        Exec exec(rig.device());
        exec.Add(*bo, {&placement, 1}, FenceUse::kWrite);
        ValidateContext context;
        ASSERT_EQ(KindOf(exec.Run(&context)), ErrorKind::kCannotFit);
      }
    });
  }
  threads.clear();
  EXPECT_EQ(rig.Broken(), "");
}

// R12: storage that was waited for in vain is still there to be reclaimed.
TEST(Progress, R12AWaitForWhatWasLeftBehindThatIsCutShortLosesNothing) {
  RigOptions options = RigOptions::Small();
  options.options.clock = Clock::Kind::kReal;
  Rig rig(options);
  Timeline& work = rig.machine().NewTimeline("work");
  const Fence fence = work.Emit(0);
  BoRef gone = rig.Make(kMiB);
  ASSERT_EQ(rig.Validate(gone, Tt(DmaType::kCoherent)), absl::OkStatus());
  gone->Reserve();
  gone->fences().Add(fence, FenceUse::kWrite);
  gone->Unreserve();
  gone.reset();
  BoRef bo = rig.Make(kPageSize);
  ValidateContext context;
  context.wait = WaitLimit::Within(1'000'000);
  const absl::Status late =
      rig.Validate(bo, {Tt(DmaType::kCoherent)}, &context);
  EXPECT_EQ(KindOf(late), ErrorKind::kTimeUp) << late;
  EXPECT_EQ(rig.Broken(), "");
  work.Complete(fence.point);
  EXPECT_EQ(rig.Validate(bo, Tt(DmaType::kCoherent)), absl::OkStatus());
  EXPECT_EQ(rig.Broken(), "");
}

}  // namespace
}  // namespace twostep
