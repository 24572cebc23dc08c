// Scenarios of our own, each for many seeds: no call fails that only had to
// wait (R10), all get on (R11), every byte is right, every rule holds.

#include <set>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/bo/seeds.h"
#include "twostep/stress/families.h"

namespace twostep {
namespace {

class Ours : public testing::TestWithParam<size_t> {};

TEST_P(Ours, EndsClean) {
  // Those that are about something else than evictions.
  const std::set<std::string> kEvictNothing = {"dma-swiotlb-segment",
                                               "map-fails-at-k"};
  const Scenario scenario = OurScenarios()[GetParam()];
  StressOptions options = StressOptions::Default(Backing::kBacked);
  uint64_t evicted = 0;
  for (options.seed = 0; options.seed < Seeds(); ++options.seed) {
    const Verdict verdict = PlayScenario(scenario, options);
    EXPECT_EQ(verdict.bytes_wrong, 0u);
    EXPECT_EQ(verdict.first_failure, "");
    EXPECT_EQ(verdict.hasty, 0u);
    for (const Violation& violation : verdict.violations) {
      ADD_FAILURE() << violation.rule << ": " << violation.what;
    }
    ASSERT_TRUE(verdict.clean()) << scenario.name << " " << options.seed;
    EXPECT_GT(verdict.operations, 0u) << options.seed;
    EXPECT_GT(verdict.bytes_checked, 0u) << options.seed;
    evicted += verdict.gpu_evictions + verdict.dma_evictions;
  }
  EXPECT_EQ(evicted == 0, kEvictNothing.count(scenario.name) != 0);
}

TEST_P(Ours, EndsCleanWithAnyNumberOfThreads) {
  const Scenario scenario = OurScenarios()[GetParam()];
  StressOptions options = StressOptions::Default(Backing::kBacked);
  for (options.threads = 1; options.threads <= 64; options.threads *= 4) {
    const Verdict verdict = PlayScenario(scenario, options);
    EXPECT_EQ(verdict.first_failure, "") << options.threads;
    EXPECT_TRUE(verdict.clean()) << scenario.name << " " << options.threads;
  }
}

INSTANTIATE_TEST_SUITE_P(Scenarios, Ours,
                         testing::Range(size_t{0}, OurScenarios().size()),
                         [](const testing::TestParamInfo<size_t>& info) {
                           std::string name = OurScenarios()[info.param].name;
                           for (char& c : name) c = isalnum(c) ? c : '_';
                           return name;
                         });

}  // namespace
}  // namespace twostep
