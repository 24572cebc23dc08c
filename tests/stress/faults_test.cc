// Scenarios under faults made to order. Each kind is reached, and the n-th of
// each does no harm; what is left undone after one is noticed.

#include <string>
#include <utility>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/stress/fault_rig.h"
#include "twostep/cli/fault_spec.h"
#include "twostep/stress/world.h"

namespace twostep {
namespace {

using ::testing::HasSubstr;

class EveryKind : public testing::TestWithParam<FaultRow> {};

INSTANTIATE_TEST_SUITE_P(
    Faults, EveryKind,
    testing::Values(
        FaultRow{"twostep/everything-at-once", 0, FaultKind::kFrame},
        FaultRow{"twostep/suspend-resume", 0, FaultKind::kFrame},
        FaultRow{"gem_evict_everything/swapping-normal", 0, FaultKind::kIova},
        FaultRow{"twostep/share-and-die", 4, FaultKind::kSlot},
        FaultRow{"twostep/share-and-die", 1, FaultKind::kCma},
        FaultRow{"twostep/suspend-resume", 0, FaultKind::kCoherent},
        FaultRow{"gem_evict_everything/swapping-normal", 0, FaultKind::kTable},
        FaultRow{"twostep/everything-at-once", 0, FaultKind::kBackoff},
        FaultRow{"twostep/hot-unplug", 1, FaultKind::kBackoff},
        FaultRow{"kfd_evict/queue", 0, FaultKind::kFence},
        FaultRow{"gem_lmem_swapping/verify", 0, FaultKind::kFence},
        FaultRow{"xe_evict/evict-small", 0, FaultKind::kCopy},
        FaultRow{"gem_evict_everything/swapping-normal", 0, FaultKind::kSwap},
        FaultRow{"gem_lmem_swapping/heavy-random", 0, FaultKind::kLost},
        FaultRow{"gem_evict_everything/forked-normal", 2, FaultKind::kLost}),
    NameOfRow);

TEST_P(EveryKind, IsReachedAndDoesNoHarm) {
  const Scenario scenario = Named(GetParam().scenario);
  ASSERT_TRUE(Has(scenario.faults, GetParam().kind));
  // A few, evenly.
  std::string last;
  StressOptions options = Small(GetParam().seed);
  FaultPlan plan = {{.kind = GetParam().kind, .how = FaultPart::How::kNth}};
  plan[0].nth = ~uint64_t{0};
  const auto show = [&](const std::string& words) { last = words; };
  const uint64_t points = PlayUnderFaults(scenario, options, plan, show)
                              .sum.faults[static_cast<int>(GetParam().kind)]
                              .points;
  ASSERT_GT(points, 0u);
  plan[0] = {.kind = GetParam().kind, .stride = points / 4 + 1};
  const FaultOutcome outcome = PlayUnderFaults(scenario, options, plan, show);
  ExpectClean(outcome.sum, last);
  const FaultCount& count =
      outcome.sum.faults[static_cast<int>(GetParam().kind)];
  EXPECT_GT(count.made, 0u);
  EXPECT_LE(count.passed_on, count.made);
}

TEST(Faults, AtRandomDoNoHarm) {
  std::string last;
  for (const char* name :
       {"twostep/everything-at-once", "gem_evict_everything/swapping-normal",
        "twostep/suspend-resume"}) {
    const Scenario scenario = Named(name);
    const FaultPlan plan = *ParseFaults(
        "frame:5%,iova:5%,table:5%,coherent:5%,backoff:5%,copy:5%,swap:5%,"
        "fence:2%");
    const FaultOutcome outcome =
        PlayUnderFaults(scenario, Small(2), PlanFor(scenario, plan),
                        [&](const std::string& words) { last = words; });
    ExpectClean(outcome.sum, last);
    EXPECT_EQ(outcome.runs, 1u);
    uint64_t made = 0;
    for (const FaultCount& count : outcome.sum.faults) made += count.made;
    EXPECT_GT(made, 0u) << name;
  }
}

// A job that was given up has written nothing, and who reads is told; one that
// is absorbed is told nobody; what no fault explains is a failure as ever.
TEST(Faults, AreJudgedByWhatTheyExplain) {
  const Scenario scenario = {
      "test", "mixed", "",
      [](const StressOptions& options, Verdict* verdict) {
        WorldOptions world_options = WorldOptions::Of(options);
        world_options.machine.swap_bytes = 0;
        World world(world_options, verdict);
        KnownBo* bo = world.Make(options.gpu.vram_bytes / 2);
        world.Expect(world.Submit({.uses = {{bo}}, .places = {&kInVram, 1}}),
                     "what fits");
        if (options.seed == 0) return;
        KnownBo* large = world.Make(2 * options.gpu.vram_bytes);
        world.Expect(world.Submit({.uses = {{large}}, .places = {&kInVram, 1}}),
                     "what does not");
      },
      kAllFaults};
  std::string last;
  const auto play = [&](uint64_t seed, const char* spec) {
    return PlayUnderFaults(scenario, Small(seed), *ParseFaults(spec),
                           [&](const std::string& run) { last = run; });
  };
  const FaultOutcome given_up = play(0, "fence:1");
  ExpectClean(given_up.sum, "fence");
  EXPECT_EQ(given_up.sum.faults[static_cast<int>(FaultKind::kFence)].passed_on,
            1u);
  const FaultOutcome told = play(0, "copy:1");
  ExpectClean(told.sum, "copy");
  EXPECT_EQ(told.sum.faults[static_cast<int>(FaultKind::kCopy)].passed_on, 1u);
  const FaultOutcome failed = play(1, "copy:1");
  EXPECT_THAT(failed.sum.first_failure, HasSubstr("what does not"));
  EXPECT_EQ(last, "copy:1");
}

TEST(Faults, LeaveABoWhereItWasWithTheBindingThatItHad) {
  const Scenario scenario = {
      "test", "to and fro", "",
      [](const StressOptions& options, Verdict* verdict) {
        World world(WorldOptions::Of(options), verdict);
        KnownBo* bo = world.Make(options.gpu.vram_bytes / 2);
        const Placement in_tt = InTt(DmaType::kDynamic);
        for (const Placement* place : {&kInVram, &in_tt, &kInVram, &in_tt}) {
          world.Expect(world.Submit({.uses = {{bo}}, .places = {place, 1}}),
                       "what fits");
        }
      },
      kAllFaults};
  std::string last;
  const FaultOutcome outcome = PlayUnderFaults(
      scenario, Small(0),
      *ParseFaults("frame:every/1,iova:every/1,table:every/1,copy:every/1"),
      [&](const std::string& words) { last = words; });
  ExpectClean(outcome.sum, last);
  EXPECT_GT(outcome.sum.faults[static_cast<int>(FaultKind::kCopy)].passed_on,
            0u);
}

TEST(Faults, WhatNearlyAlwaysFailsIsGivenUp) {
  const FaultOutcome outcome = PlayUnderFaults(
      Named("xe_evict/evict-small"), Small(0), *ParseFaults("frame:99.9999%"),
      [](const std::string&) {});
  EXPECT_FALSE(outcome.sum.clean());
  EXPECT_THAT(outcome.sum.first_failure,
              testing::HasSubstr("given up: failed 100 times for faults"));
}

TEST(Faults, EveryEndsWithARunThatIsUnharmed) {
  uint64_t plays = 0;
  const Scenario scenario = {
      "test", "three points", "",
      [&](const StressOptions& options, Verdict* verdict) {
        ++plays;
        uint64_t hits = 0;
        for (int i = 0; i < 3; ++i) {
          hits += options.faults->Hit(FaultKind::kCma) ? 1 : 0;
        }
        verdict->operations = hits;
      },
      kAllFaults};
  const auto play = [&](const char* spec) {
    return PlayUnderFaults(scenario, Small(0), *ParseFaults(spec),
                           [](const std::string&) {});
  };
  // One that counts, three, and one that is unharmed.
  FaultOutcome outcome = play("cma:every");
  EXPECT_EQ(outcome.runs, 5u);
  EXPECT_EQ(plays, 5u);
  EXPECT_EQ(outcome.sum.operations, 3u);
  EXPECT_TRUE(outcome.thinned.empty());
  outcome = play("cma:every/2");
  EXPECT_EQ(outcome.sum.operations, 2u);
  ASSERT_EQ(outcome.thinned.size(), 1u);
  EXPECT_EQ(outcome.thinned[0].points, 3u);
  EXPECT_EQ(outcome.thinned[0].stride, 2u);
}

TEST(Faults, EveryGoesOnAfterARunThatPassedFewerPoints) {
  uint64_t plays = 0;
  const Scenario scenario = {
      "test", "three points, but for the third play", "",
      [&](const StressOptions& options, Verdict* verdict) {
        const int points = ++plays == 3 ? 1 : 3;
        for (int i = 0; i < points; ++i) {
          verdict->operations += options.faults->Hit(FaultKind::kCma) ? 1 : 0;
        }
      },
      kAllFaults};
  const FaultOutcome outcome = PlayUnderFaults(
      scenario, Small(0), *ParseFaults("cma:every"), [](const std::string&) {});
  // The second point was not reached, the third was.
  EXPECT_EQ(outcome.runs, 5u);
  EXPECT_EQ(outcome.sum.operations, 2u);
  EXPECT_EQ(outcome.counted[static_cast<int>(FaultKind::kCma)], 3u);
}

TEST(FaultSpec, IsReadAsItIsWritten) {
  for (const char* spec : {"frame:every", "iova:7", "swap:1%", "lost:every/16",
                           "frame:every,iova:7,swap:12.5%"}) {
    const auto plan = ParseFaults(spec);
    ASSERT_TRUE(plan.ok()) << spec;
    std::string written;
    for (const FaultPart& part : *plan) {
      written += (written.empty() ? "" : ",") + ToString(part);
    }
    EXPECT_EQ(written, spec);
  }
  EXPECT_EQ(ParseFaults("all:every")->size(), kFaultKinds);
  const auto later = ParseFaults("all:1%,copy:3");
  ASSERT_EQ(later->size(), kFaultKinds);
  EXPECT_EQ(ToString(later->back()), "copy:3");
}

TEST(FaultSpec, SaysWhatIsWrong) {
  const std::pair<const char*, const char*> cases[] = {
      {"flame:every", "near to it: frame; there are frame, iova, slot"},
      {"", "no kind of fault is called ''"},
      {"frame", "'frame': after the kind comes 'every'"},
      {"frame:0", "a number above 0"},
      {"frame:-1", "a number above 0"},
      {"frame:evry", "as in frame:every"},
      {"frame:every/0", "K above 0"},
      {"frame:every2", "K above 0"},
      {"frame:0%", "not a percentage above 0"},
      {"frame:100%", "not a percentage above 0, below 100"},
      {"frame:nan%", "not a percentage above 0"},
      {"frame:1,iova", "'iova'"},
  };
  for (const auto& [spec, why] : cases) {
    const auto plan = ParseFaults(spec);
    EXPECT_EQ(plan.status().code(), absl::StatusCode::kInvalidArgument) << spec;
    EXPECT_THAT(std::string(plan.status().message()), HasSubstr(why)) << spec;
  }
}

}  // namespace
}  // namespace twostep
