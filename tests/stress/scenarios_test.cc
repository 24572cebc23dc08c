// Every scenario once, small: none goes wrong. And that they are those of the
// suites, row by row.

#include <map>
#include <set>
#include <string>

#include "gtest/gtest.h"
#include "twostep/stress/families.h"

namespace twostep {
namespace {

StressOptions Small(Backing backing) {
  StressOptions options = StressOptions::Default(backing);
  const uint64_t vram = 4 * kMiB;
  options.gpu.vram_bytes = vram;
  options.gpu.aperture_bytes = 4 * vram;
  return options;
}

class EveryScenario : public testing::TestWithParam<Scenario> {};

std::string TestName(const testing::TestParamInfo<Scenario>& info) {
  std::string name = info.param.full_name();
  for (char& c : name) c = isalnum(c) ? c : '_';
  return name;
}

INSTANTIATE_TEST_SUITE_P(Stress, EveryScenario,
                         testing::ValuesIn(AllScenarios()), TestName);

TEST_P(EveryScenario, EndsClean) {
  const Verdict verdict = PlayScenario(GetParam(), Small(Backing::kBacked));
  EXPECT_EQ(verdict.bytes_wrong, 0u);
  EXPECT_EQ(verdict.failures, 0u) << verdict.first_failure;
  for (const Violation& violation : verdict.violations) {
    ADD_FAILURE() << violation.rule << ": " << violation.what;
  }
  EXPECT_GT(verdict.operations, 0u);
  EXPECT_GT(verdict.bytes_checked, 0u);
}

TEST_P(EveryScenario, EndsCleanWithoutBytes) {
  const Verdict verdict = PlayScenario(GetParam(), Small(Backing::kUnbacked));
  EXPECT_TRUE(verdict.clean()) << verdict.first_failure;
  EXPECT_GT(verdict.operations, 0u);
  EXPECT_EQ(verdict.bytes_checked, 0u);
}

TEST(Scenarios, AreTheSuitesRowByRow) {
  std::map<std::string, int> rows;
  std::set<std::string> names;
  for (const Scenario& scenario : AllScenarios()) {
    ++rows[scenario.family];
    EXPECT_TRUE(names.insert(scenario.full_name()).second) << scenario.name;
    EXPECT_NE(scenario.what, "") << scenario.name;
  }
  const std::map<std::string, int> expected = {{"xe_evict", 52},
                                               {"gem_lmem_swapping", 21},
                                               {"gem_evict_everything", 28},
                                               {"gem_evict_alignment", 6},
                                               {"kfd_evict", 3},
                                               {"xe_evict_ccs", 9},
                                               {"gem_lmem_evict", 1},
                                               {"twostep", 22}};
  EXPECT_EQ(rows, expected);
  for (const char* name :
       {"evict-small", "evict-beng-small-external-cm", "evict-large-multi-vm",
        "evict-small-multi-vm-cm", "evict-beng-threads-small",
        "evict-cm-threads-large-multi-vm", "evict-mixed-threads-small",
        "evict-beng-mixed-many-threads-large"}) {
    EXPECT_TRUE(names.count(std::string("xe_evict/") + name)) << name;
  }
  for (const char* name :
       {"dma-iova-exhaust",    "dma-iova-fragment",    "dma-swiotlb-exhaust",
        "dma-swiotlb-segment", "dma-coherent-exhaust", "dma-cma-exhaust",
        "dma-cma-scatter",     "aperture-fragment",    "two-drivers-one-iommu",
        "four-guests",         "squatter-and-spammer", "only-busy",
        "big-against-big",     "two-tier-pingpong",    "everything-at-once",
        "fault-storm",         "map-fails-at-k",       "fail-every-point",
        "share-and-die",       "flink-storm",          "hot-unplug",
        "suspend-resume"}) {
    EXPECT_TRUE(names.count(std::string("twostep/") + name)) << name;
  }
}

// Where a run has one thread and a virtual clock.
TEST(Scenarios, RepeatExactly) {
  for (const Scenario& scenario : AllScenarios()) {
    if (scenario.name != "evict-small-external") continue;
    const Verdict first = PlayScenario(scenario, Small(Backing::kBacked));
    const Verdict second = PlayScenario(scenario, Small(Backing::kBacked));
    EXPECT_EQ(first.operations, second.operations);
    EXPECT_EQ(first.gpu_evictions, second.gpu_evictions);
    EXPECT_GT(first.gpu_evictions, 0u);
  }
}

}  // namespace
}  // namespace twostep
