// Work that never ends by itself, as a compute queue's: its fence signals after
// its driver was asked to preempt it. Whoever needs the room, or the bo
// elsewhere, asks; whoever only looks does not.

#include <string>
#include <vector>

#include "tests/bo/rig.h"
#include "twostep/bo/exec.h"

namespace twostep {
namespace {

constexpr uint64_t kSeed = 11;

// One resource, and how much of it there is.
struct Resource {
  const char* name;
  Placement placement;
  uint64_t bytes;
};
const Resource kResources[] = {
    {"Vram", kVram, kMiB},
    {"Aperture", Tt(DmaType::kNone), 8 * kMiB},
    {"IovaSpace", Tt(DmaType::kDynamic), kMiB},
    {"CoherentMemory", Tt(DmaType::kCoherent), kMiB},
    {"CmaArea", Tt(DmaType::kCma), kMiB},
};
void PrintTo(const Resource& resource, std::ostream* out) {
  *out << resource.name;
}

RigOptions RealTime() {
  RigOptions options = RigOptions::Small();
  options.options.clock = Clock::Kind::kReal;
  return options;
}

// A driver with one compute queue. Its lock is one that it holds while it calls
// nobody: asking it must find that free.
class ComputeDriver {
 public:
  explicit ComputeDriver(Rig& rig)
      : timeline_(rig.machine().NewTimeline(
            "compute", [this](uint64_t point) { Preempt(point); })) {}

  // Puts `bo` under work that does not end.
  Fence Run(const BoRef& bo, FenceUse use = FenceUse::kWrite) {
    bo->Reserve();
    Fence fence;
    {
      MutexLock lock(mutex_);
      fence = timeline_.Emit(0);
    }
    bo->fences().Add(fence, use);
    bo->Unreserve();
    return fence;
  }
  std::vector<uint64_t> asked() {
    MutexLock lock(mutex_);
    return asked_;
  }

 private:
  void Preempt(uint64_t point) {
    MutexLock lock(mutex_);
    asked_.push_back(point);
    timeline_.Complete(point);
  }

  Mutex mutex_;
  std::vector<uint64_t> asked_ ABSL_GUARDED_BY(mutex_);
  Timeline& timeline_;
};

class Preempted : public testing::TestWithParam<Resource> {
 protected:
  BoRef Placed(uint64_t bytes) {
    BoRef bo = rig_.Make(bytes);
    rig_.CpuFill(bo, kSeed);
    EXPECT_EQ(rig_.Validate(bo, GetParam().placement), absl::OkStatus());
    WaitForMoves(bo);
    return bo;
  }
  bool InPlace(const BoRef& bo) {
    return rig_.In(bo, GetParam().placement.memory) &&
           (bo->manager().fixed() ||
            bo->binder() == rig_.device().binder(GetParam().placement.dma));
  }
  void WaitForMoves(const BoRef& bo) {
    EXPECT_EQ(WaitForCpu(*bo, Access::kWrite), absl::OkStatus());
  }

  Rig rig_{RealTime()};
  ComputeDriver driver_{rig_};
};

TEST_P(Preempted, TheDriverIsAskedOnceBeforeItsBoIsEvicted) {
  const BoRef squatter = Placed(GetParam().bytes);
  const Fence fence = driver_.Run(squatter);
  const BoRef newcomer = rig_.Make(GetParam().bytes);
  EXPECT_EQ(rig_.Validate(newcomer, GetParam().placement), absl::OkStatus());
  EXPECT_TRUE(InPlace(newcomer));
  EXPECT_FALSE(InPlace(squatter));
  // Copies from fixed memory wait on their queue.
  WaitForMoves(newcomer);
  WaitForMoves(squatter);
  EXPECT_EQ(driver_.asked(), std::vector<uint64_t>{fence.point});
  EXPECT_EQ(rig_.CpuWrongBytes(squatter, kSeed), 0);
  EXPECT_EQ(rig_.Broken(), "");
}

TEST_P(Preempted, TheDriverIsAskedBeforeItsBoMovesElsewhere) {
  const BoRef bo = Placed(kPageSize);
  const Fence fence = driver_.Run(bo, FenceUse::kRead);
  EXPECT_EQ(rig_.Validate(bo, kSystem), absl::OkStatus());
  WaitForMoves(bo);
  EXPECT_EQ(driver_.asked(), std::vector<uint64_t>{fence.point});
  EXPECT_EQ(rig_.CpuWrongBytes(bo, kSeed), 0);
}

// Given up by its owner, or with the bo: nobody is short of it yet, and who is
// may not be allowed to wait.
TEST_P(Preempted, WhatIsLeftBehindIsAskedForAtOnce) {
  for (const bool dropped : {true, false}) {
    BoRef gone = Placed(GetParam().bytes);
    const Fence fence = driver_.Run(gone);
    if (dropped) {
      gone.reset();
    } else {
      ASSERT_EQ(rig_.Validate(gone, std::vector<Placement>{}),
                absl::OkStatus());
    }
    ASSERT_FALSE(driver_.asked().empty());
    EXPECT_EQ(driver_.asked().back(), fence.point);
    EXPECT_TRUE(fence.Signalled());
    BoRef newcomer = rig_.Make(GetParam().bytes);
    ValidateContext context{.wait = {WaitLimit::Mode::kNoWait}};
    EXPECT_EQ(rig_.Validate(newcomer, {GetParam().placement}, &context),
              absl::OkStatus());
    WaitForMoves(newcomer);
  }
  EXPECT_EQ(driver_.asked().size(), 2);
  EXPECT_EQ(rig_.Broken(), "");
}

// Its place is free at once; what it held is not, until the work ends.
TEST_P(Preempted, AWorthlessVictimIsAskedForAsItGoes) {
  const BoRef victim = Placed(GetParam().bytes);
  victim->Reserve();
  victim->SetWorthless(true);
  victim->Unreserve();
  const Fence fence = driver_.Run(victim);
  const BoRef newcomer = rig_.Make(GetParam().bytes);
  ValidateContext context{.wait = {WaitLimit::Mode::kNoWait}};
  EXPECT_EQ(rig_.Validate(newcomer, {GetParam().placement}, &context),
            absl::OkStatus());
  EXPECT_TRUE(victim->purged());
  EXPECT_EQ(driver_.asked(), std::vector<uint64_t>{fence.point});
  WaitForMoves(newcomer);
}

TEST_P(Preempted, NobodyIsAskedForWhoMayNotWait) {
  if (GetParam().placement.memory == MemoryType::kVram) {
    GTEST_SKIP() << "copies are queued: nobody waits";
  }
  const BoRef squatter = Placed(GetParam().bytes);
  const Fence fence = driver_.Run(squatter);
  const BoRef newcomer = rig_.Make(GetParam().bytes);
  ValidateContext context{.wait = {WaitLimit::Mode::kNoWait}};
  const absl::Status busy =
      rig_.Validate(newcomer, {GetParam().placement}, &context);
  EXPECT_EQ(KindOf(busy), ErrorKind::kBusy) << busy;
  EXPECT_FALSE(fence.Signalled());
  EXPECT_TRUE(driver_.asked().empty());
  EXPECT_TRUE(InPlace(squatter));
  // What is to be waited for is a value, good to wait for.
  EXPECT_EQ(context.pending, fence);
  ASSERT_EQ(context.obstacles.size(), 1);
  EXPECT_EQ(context.obstacles[0].cause, Obstacle::Cause::kBusy);
  EXPECT_EQ(context.obstacles[0].pending, fence);
  EXPECT_EQ(WaitFor(context.pending, WaitLimit{}), absl::OkStatus());
  EXPECT_EQ(driver_.asked(), std::vector<uint64_t>{fence.point});
  EXPECT_EQ(rig_.Validate(newcomer, {GetParam().placement}, &context),
            absl::OkStatus());
}

// It is the first in the order, and nothing else is wrong with the other.
TEST_P(Preempted, AnIdleVictimIsPreferredToAWait) {
  if (GetParam().placement.memory == MemoryType::kVram) {
    GTEST_SKIP() << "copies are queued: nobody waits";
  }
  const BoRef busy = Placed(GetParam().bytes / 4);
  driver_.Run(busy);
  const BoRef idle = Placed(GetParam().bytes / 4);
  const BoRef rest = Placed(GetParam().bytes / 2);
  rig_.Pin(rest);
  const BoRef newcomer = rig_.Make(GetParam().bytes / 4);
  EXPECT_EQ(rig_.Validate(newcomer, GetParam().placement), absl::OkStatus());
  EXPECT_TRUE(driver_.asked().empty());
  EXPECT_TRUE(InPlace(busy));
  EXPECT_FALSE(InPlace(idle));
  // With no idle one left it is asked for.
  rig_.Pin(newcomer);
  const BoRef last = rig_.Make(GetParam().bytes / 4);
  EXPECT_EQ(rig_.Validate(last, GetParam().placement), absl::OkStatus());
  EXPECT_EQ(driver_.asked().size(), 1);
  EXPECT_FALSE(InPlace(busy));
  rig_.Unpin(newcomer);
  rig_.Unpin(rest);
  EXPECT_EQ(rig_.Broken(), "");
}

// Two of one exec, by its driver's one fence; and the job that follows.
TEST_P(Preempted, AnExecOfOthersGoesOn) {
  const BoRef bo = Placed(GetParam().bytes / 2);
  const BoRef other = Placed(GetParam().bytes / 2);
  driver_.Run(bo);
  driver_.Run(other);
  const BoRef newcomers[] = {rig_.Make(GetParam().bytes / 2),
                             rig_.Make(GetParam().bytes / 2)};
  Exec exec(rig_.device());
  for (const BoRef& newcomer : newcomers) {
    exec.Add(*newcomer, {&GetParam().placement, 1}, FenceUse::kWrite);
  }
  ValidateContext context;
  ASSERT_EQ(exec.Run(&context), absl::OkStatus());
  exec.Finish(Fence{});
  for (const BoRef& newcomer : newcomers) WaitForMoves(newcomer);
  EXPECT_EQ(driver_.asked().back(), 2);
  EXPECT_EQ(rig_.CpuWrongBytes(bo, kSeed), 0);
  EXPECT_EQ(rig_.CpuWrongBytes(other, kSeed), 0);
}

INSTANTIATE_TEST_SUITE_P(In, Preempted, testing::ValuesIn(kResources),
                         [](const auto& info) { return info.param.name; });

// Where its own limit is what a client is short of, and where the host is short
// of frames.
TEST(PreemptedR14, AtALimitAnIdleVictimIsPreferredToAWait) {
  enum class Limit : uint8_t { kClientHost, kClientDma, kFrames };
  for (const Limit limit :
       {Limit::kClientHost, Limit::kClientDma, Limit::kFrames}) {
    SCOPED_TRACE(static_cast<int>(limit));
    RigOptions options = RealTime();
    const uint64_t bytes = 256 * kKiB;
    if (limit == Limit::kFrames) {
      options.machine.dma32_bytes = 4 * kMiB;  // 1 MiB of it beside the pools
      options.machine.normal_bytes = 0;
    }
    Rig rig(options);
    ComputeDriver driver(rig);
    ClientOptions limits{.name = "a"};
    const Budget two{.max_pages = 2 * bytes / kPageSize};
    if (limit == Limit::kClientHost) limits.host = two;
    if (limit == Limit::kClientDma) limits.dma = two;
    const ClientRef client = *rig.host().CreateClient(limits);
    const Placement tt = Tt(DmaType::kDynamic);
    const auto placed = [&] {
      const BoRef bo = *rig.host().CreateBo(bytes, client);
      EXPECT_EQ(rig.Validate(bo, tt), absl::OkStatus());
      return bo;
    };
    const BoRef busy = placed();
    driver.Run(busy);
    const BoRef idle = placed();
    std::vector<BoRef> newcomers;
    while (idle->binder() != nullptr && newcomers.size() < 3) {
      newcomers.push_back(placed());
    }
    EXPECT_TRUE(driver.asked().empty());
    EXPECT_TRUE(rig.In(busy, MemoryType::kTt));
    EXPECT_FALSE(rig.In(idle, MemoryType::kTt));
    EXPECT_EQ(rig.Broken(), "");
  }
}

// Idle ones are preferred to those that would be waited for, but not to what is
// protected, and not at the price of a higher priority.
TEST(PreemptedR14, WhatIsBusyGoesBeforeWhatIsDearer) {
  for (const bool by_priority : {false, true}) {
    SCOPED_TRACE(by_priority ? "priority" : "protection");
    RigOptions options = RealTime();
    if (by_priority) options.host.eviction_policy = "priority";
    Rig rig(options);
    ComputeDriver driver(rig);
    const uint64_t half = options.gpu.aperture_bytes / 2;
    const ClientRef client = *rig.host().CreateClient(
        {.name = "sure", .host = {.low_pages = half / kPageSize}});
    const Placement tt = Tt(DmaType::kNone);
    const BoRef busy = rig.Make(half);
    ASSERT_EQ(rig.Validate(busy, tt), absl::OkStatus());
    driver.Run(busy);
    const BoRef dear =
        *rig.host().CreateBo(half, by_priority ? nullptr : client);
    dear->Reserve();
    if (by_priority) dear->SetPriority(1);
    dear->Unreserve();
    ASSERT_EQ(rig.Validate(dear, tt), absl::OkStatus());
    const BoRef newcomer = rig.Make(half);
    EXPECT_EQ(rig.Validate(newcomer, tt), absl::OkStatus());
    EXPECT_TRUE(rig.In(dear, MemoryType::kTt));
    EXPECT_FALSE(rig.In(busy, MemoryType::kTt));
    EXPECT_EQ(driver.asked().size(), 1);
  }
}

}  // namespace
}  // namespace twostep
