// The n-th point of each kind fails, for every n until a run is unharmed, and
// after each failure all is as it was, or as the rules say (R12): bos and their
// bindings, the orders they stand in, the accounts, the bytes. Which is looked
// at here, too: what a driver leaves behind is found.

#include <algorithm>
#include <functional>
#include <string>
#include <utility>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/bo/seeds.h"
#include "tests/stress/fault_rig.h"
#include "twostep/bo/error.h"
#include "twostep/cli/fault_spec.h"
#include "twostep/stress/world.h"

namespace twostep {
namespace {

using ::testing::HasSubstr;

// --- Scenarios, each with kinds of which it has few points ---

class EveryPoint : public testing::TestWithParam<FaultRow> {};

INSTANTIATE_TEST_SUITE_P(
    Faults, EveryPoint,
    testing::Values(
        FaultRow{"twostep/everything-at-once", 0, FaultKind::kFrame},
        FaultRow{"gem_lmem_swapping/massive", 0, FaultKind::kFrame},
        FaultRow{"twostep/share-and-die", 3, FaultKind::kIova},
        FaultRow{"xe_evict/evict-large", 0, FaultKind::kIova},
        FaultRow{"twostep/share-and-die", 4, FaultKind::kSlot},
        FaultRow{"twostep/share-and-die", 1, FaultKind::kCma},
        FaultRow{"twostep/suspend-resume", 0, FaultKind::kCoherent},
        FaultRow{"twostep/share-and-die", 3, FaultKind::kTable},
        FaultRow{"twostep/share-and-die", 3, FaultKind::kBackoff},
        FaultRow{"xe_evict/evict-large", 0, FaultKind::kBackoff},
        FaultRow{"twostep/everything-at-once", 0, FaultKind::kFence},
        FaultRow{"twostep/everything-at-once", 0, FaultKind::kCopy},
        FaultRow{"xe_evict/evict-large-multi-vm", 0, FaultKind::kCopy},
        FaultRow{"twostep/everything-at-once", 0, FaultKind::kSwap},
        FaultRow{"twostep/everything-at-once", 0, FaultKind::kLost},
        FaultRow{"xe_evict/evict-large-multi-vm", 0, FaultKind::kLost}),
    NameOfRow);

// Under a sanitizer, which has fewer seeds, not quite every one.
uint64_t Stride() { return std::max<uint64_t>(1, 50 / std::max(1u, Seeds())); }

TEST_P(EveryPoint, IsVisitedUntilARunIsUnharmed) {
  const auto [name, seed, kind] = GetParam();
  std::string last;
  const FaultOutcome outcome = PlayUnderFaults(
      Named(name), Small(seed), {{.kind = kind, .stride = Stride()}},
      [&](const std::string& words) { last = words; });
  ExpectClean(outcome.sum, last);
  const FaultCount& count = outcome.sum.faults[static_cast<int>(kind)];
  EXPECT_GT(count.points, 0u);
  EXPECT_GT(count.made, 0u);
  // One that counts, those for each point that it passed, and at least one that
  // is unharmed: with threads some others may be.
  const uint64_t counted = outcome.counted[static_cast<int>(kind)];
  EXPECT_GT(counted, 0u);
  EXPECT_GE(outcome.runs, (counted + Stride() - 1) / Stride() + 2);
}

// --- One thread, of which all that a failure leaves is known ---

// Bos of all sizes to all places in turn, one and two at a time, with work at
// rest in between. Even seeds have an IOMMU, odd ones bounce. Nobody waits
// unless it must be, as who does tries again what failed for a moment.
void PlayAllPlaces(const StressOptions& options, Verdict* verdict) {
  WorldOptions world_options = WorldOptions::Of(options);
  world_options.alone = true;
  MachineConfig& machine = world_options.machine;
  machine.iommu.mode =
      options.seed % 2 == 0 ? IommuMode::kTranslated : IommuMode::kAbsent;
  machine.iommu.iova_bytes = 40 * kPageSize;
  machine.swiotlb = {.bytes = kMiB, .forced = options.seed % 2 != 0};
  machine.coherent_bytes = 40 * kPageSize;
  machine.cma_bytes = 48 * kPageSize;
  machine.page_limit_bytes = 26 * kPageSize;
  world_options.gpu.vram_bytes = 40 * kPageSize;
  World world(world_options, verdict);
  if (!world.ok()) return;
  std::vector<KnownBo*> bos;
  for (uint64_t i = 0; i < 6; ++i) {
    bos.push_back(world.Make((4 + 2 * i) * kPageSize));
    if (bos.back() == nullptr) return;
  }
  const Placement places[] = {kInVram, InTt(DmaType::kDynamic),
                              InTt(DmaType::kCoherent), InTt(DmaType::kCma)};
  for (size_t step = 0; step < 16 && !world.failed(); ++step) {
    Submission submission{.uses = {{bos[step % 6]}},
                          .places = {&places[step / 2 % 4], 1}};
    if (step % 4 == 3) submission.uses.push_back({bos[(step + 2) % 6]});
    submission.wait.mode = WaitLimit::Mode::kNoWait;
    absl::Status status = world.Submit(submission);
    if (KindOf(status) == ErrorKind::kBusy) {
      submission.wait = WaitLimit{};
      status = world.Submit(submission);
    }
    if (!world.Expect(status, "what fits")) return;
    world.WaitForJobs();
    while (world.host().ReapGhosts({})) {
    }
  }
}

FaultOutcome PlayAlone(std::function<void(const StressOptions&, Verdict*)> play,
                       uint64_t seed, const std::string& spec) {
  return PlayUnderFaults({"test", "alone", "", std::move(play), kAllFaults},
                         Small(seed), *ParseFaults(spec),
                         [](const std::string&) {});
}

class Alone : public testing::TestWithParam<std::pair<FaultKind, uint64_t>> {};

INSTANTIATE_TEST_SUITE_P(
    Faults, Alone,
    testing::Values(
        std::pair{FaultKind::kFrame, 0}, std::pair{FaultKind::kIova, 0},
        std::pair{FaultKind::kSlot, 1}, std::pair{FaultKind::kCma, 0},
        std::pair{FaultKind::kCoherent, 0}, std::pair{FaultKind::kTable, 0},
        std::pair{FaultKind::kBackoff, 0}, std::pair{FaultKind::kFence, 0},
        std::pair{FaultKind::kCopy, 1}, std::pair{FaultKind::kSwap, 0},
        std::pair{FaultKind::kLost, 0}),
    [](const testing::TestParamInfo<std::pair<FaultKind, uint64_t>>& info) {
      return NameOf(info.param.first);
    });

void ExpectClean(const FaultOutcome& outcome) {
  ExpectClean(outcome.sum, "");
  EXPECT_TRUE(outcome.sum.clean());
}

// Whether one that fails once is told: of the others there is enough when it is
// asked once more, or after an eviction.
bool OneIsTold(FaultKind kind) {
  return Has(FaultsOf({FaultKind::kBackoff, FaultKind::kFence, FaultKind::kCopy,
                       FaultKind::kSwap, FaultKind::kLost}),
             kind);
}

TEST_P(Alone, WhatFailsAtAnyPointLeavesAllAsItWas) {
  const auto [kind, seed] = GetParam();
  const FaultOutcome outcome =
      PlayAlone(PlayAllPlaces, seed, std::string(NameOf(kind)) + ":every/1");
  ExpectClean(outcome);
  const Verdict& sum = outcome.sum;
  const FaultCount& count = sum.faults[static_cast<int>(kind)];
  // With one thread none is missed.
  const uint64_t counted = outcome.counted[static_cast<int>(kind)];
  EXPECT_GT(counted, 0u);
  EXPECT_GE(count.made, counted);
  EXPECT_EQ(count.passed_on, OneIsTold(kind) ? count.made : 0);
  // What a lost device leaves goes elsewhere.
  if (kind != FaultKind::kLost) {
    EXPECT_GT(sum.looked_after_failed + sum.looked_after_absorbed, 0u);
  }
}

// Whatever goes on failing is told, half-way through, by a submission that
// fails; but for jobs, whose fences tell, and a lost device.
TEST_P(Alone, WhatFailsAgainAndAgainIsToldAndLeavesAllAsItWas) {
  const auto [kind, seed] = GetParam();
  Verdict sum;
  for (uint64_t i = 0; i < std::min(20u, Seeds()); ++i) {
    const FaultOutcome outcome = PlayAlone(PlayAllPlaces, seed + 2 * i,
                                           std::string(NameOf(kind)) + ":50%");
    ExpectClean(outcome);
    sum.Add(outcome.sum);
  }
  const FaultCount& count = sum.faults[static_cast<int>(kind)];
  EXPECT_GT(count.passed_on, 0u);
  EXPECT_LE(count.passed_on, count.made);
  const bool fails = kind != FaultKind::kFence && kind != FaultKind::kLost;
  EXPECT_EQ(sum.looked_after_failed != 0, fails);
  if (kind == FaultKind::kFence) {
    EXPECT_GT(sum.looked_after_absorbed, 0u);
  }
}

// --- That it is looked at ---

// When a copy fails, or goes through, does what it is told to.
class CarelessDriver final : public DeviceHooks {
 public:
  std::function<void()> when_it_fails;
  std::function<void()> when_it_copies;
  absl::StatusOr<Fence> Copy(CopyEngine& engine, CopyJob job,
                             absl::Span<const Fence> dependencies) override {
    auto fence = DeviceHooks::Copy(engine, std::move(job), dependencies);
    const std::function<void()> careless =
        std::exchange(fence.ok() ? when_it_copies : when_it_fails, nullptr);
    if (careless) careless();
    return fence;
  }
};

// Three in TT, and the first copy of a fourth fails; or `spec` does, and the
// copy goes through. `careless` gets the world and the three amid it.
std::string FirstFailureWith(
    std::function<void(World&, const std::vector<KnownBo*>&)> careless,
    const std::string& spec = "copy:1") {
  const auto play = [&](const StressOptions& options, Verdict* verdict) {
    CarelessDriver driver;
    WorldOptions world_options = WorldOptions::Of(options);
    world_options.alone = true;
    // It would not notice a use; but the world takes "lru".
    world_options.host.eviction_policy = "fifo";
    world_options.hooks = &driver;
    World world(world_options, verdict);
    const Placement in_tt = InTt(DmaType::kDynamic);
    const auto submit = [&](KnownBo* bo, const Placement& place) {
      world.Expect(world.Submit({.uses = {{bo}}, .places = {&place, 1}}),
                   "what fits");
    };
    std::vector<KnownBo*> three;
    for (int i = 0; i < 3; ++i) {
      three.push_back(world.Make(4 * kPageSize));
      submit(three.back(), in_tt);
    }
    KnownBo* fourth = world.Make(4 * kPageSize);
    submit(fourth, in_tt);
    world.WaitForJobs();
    (spec == "copy:1" ? driver.when_it_fails : driver.when_it_copies) = [&] {
      if (careless != nullptr) careless(world, three);
    };
    submit(fourth, kInVram);
  };
  return PlayAlone(play, 0, spec).sum.first_failure;
}

TEST(Aftermath, OfACarefulDriverIsNothing) {
  EXPECT_EQ(FirstFailureWith(nullptr), "");
}

TEST(Aftermath, ShowsWhoMovedInAnEvictionOrder) {
  EXPECT_THAT(FirstFailureWith([](World&, const std::vector<KnownBo*>& three) {
                ASSERT_TRUE(three[0]->bo->TryReserve());
                three[0]->bo->Unreserve();  // it counts as used
              }),
              HasSubstr("eviction order"));
}

void Pin(World&, const std::vector<KnownBo*>& three) {
  ASSERT_TRUE(three[0]->bo->TryReserve());
  three[0]->bo->Pin();
  three[0]->bo->UnreserveUnused();
}

TEST(Aftermath, ShowsWhoWasPinned) {
  EXPECT_THAT(FirstFailureWith(Pin),
              HasSubstr("a failed submission left: bo 1 (16 KiB), which it did "
                        "not name, is not where it was"));
}

// The fifth job is given up, which only its fence tells.
TEST(Aftermath, ShowsWhatASubmissionLeftThatWentThrough) {
  EXPECT_EQ(FirstFailureWith(nullptr, "fence:5"), "");
  EXPECT_THAT(FirstFailureWith(Pin, "fence:5"),
              HasSubstr("a fault that was absorbed left: bo 1 (16 KiB)"));
}

TEST(Aftermath, ShowsWhoWasMovedAndNotEvicted) {
  EXPECT_THAT(
      FirstFailureWith([](World& world, const std::vector<KnownBo*>& three) {
        BufferObject& bo = *three[0]->bo;
        ASSERT_TRUE(bo.TryReserve());
        ValidateContext context;
        ASSERT_TRUE(world.device().Validate(bo, {&kInVram, 1}, &context).ok());
        bo.UnreserveUnused();
      }),
      HasSubstr("bo 1 (16 KiB), which it did not name, is not where it "
                "was, and was not evicted"));
}

TEST(Aftermath, ShowsWhatWasTakenAndNotGivenBack) {
  FrameNumber frame = kNoFrame;
  EXPECT_THAT(FirstFailureWith([&](World& world, const std::vector<KnownBo*>&) {
                PhysicalMemory& memory = world.machine().memory();
                ASSERT_EQ(memory.Allocate({&frame, 1}, kNoFrame - 1,
                                          PhysicalMemory::Zero::kNo),
                          Shortage::Kind::kNone);
              }),
              HasSubstr("frames of "));
}

}  // namespace
}  // namespace twostep
