// Scenarios of our own, each for many seeds: no call fails that only had to
// wait (R10), all get on (R11), every byte is right, every rule holds.

#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/bo/seeds.h"
#include "twostep/stress/families.h"

namespace twostep {
namespace {

std::vector<Scenario> AllOfOurs() {
  std::vector<Scenario> ours;
  AddOurs(&ours);
  return ours;
}

class Ours : public testing::TestWithParam<size_t> {};

TEST_P(Ours, EndsClean) {
  const Scenario scenario = AllOfOurs()[GetParam()];
  StressOptions options = StressOptions::Default(Backing::kBacked);
  for (options.seed = 0; options.seed < Seeds(); ++options.seed) {
    const Verdict verdict = PlayScenario(scenario, options);
    EXPECT_EQ(verdict.bytes_wrong, 0u);
    EXPECT_EQ(verdict.first_failure, "");
    for (const Violation& violation : verdict.violations) {
      ADD_FAILURE() << violation.rule << ": " << violation.what;
    }
    ASSERT_TRUE(verdict.clean()) << scenario.name << " " << options.seed;
  }
}

INSTANTIATE_TEST_SUITE_P(Scenarios, Ours,
                         testing::Range(size_t{0}, AllOfOurs().size()),
                         [](const testing::TestParamInfo<size_t>& info) {
                           std::string name = AllOfOurs()[info.param].name;
                           for (char& c : name) c = isalnum(c) ? c : '_';
                           return name;
                         });

}  // namespace
}  // namespace twostep
