// Every scenario once, small: none goes wrong. And that they are those of the
// suites, row by row.

#include <algorithm>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

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

// The rows of the suites' matrix: of which suite, the names ({a,b} is one of
// a and b), and how many the suite counts there.
struct MatrixRow {
  const char* family;
  const char* names;
  size_t count;
};
const MatrixRow kMatrix[] = {
    {"xe_evict", "evict{,-beng}-small{,-external}{,-cm}", 8},
    {"xe_evict", "evict{,-beng}-small-multi-vm{,-cm}", 4},
    {"xe_evict", "evict{,-beng}-large{,-external}{,-cm}", 8},
    {"xe_evict", "evict{,-beng}-large-multi-vm{,-cm}", 4},
    {"xe_evict", "evict{,-beng}{,-cm,-mixed}-threads-small{,-multi-vm}", 12},
    {"xe_evict", "evict{,-beng}-mixed-many-threads-small", 2},
    {"xe_evict", "evict{,-beng}{,-cm,-mixed}-threads-large{,-multi-vm}", 12},
    {"xe_evict", "evict{,-beng}-mixed-many-threads-large", 2},
    {"gem_lmem_swapping", "basic", 1},
    {"gem_lmem_swapping", "verify{,-ccs}", 2},
    {"gem_lmem_swapping", "massive{,-random}", 2},
    {"gem_lmem_swapping", "random{,-engines}", 2},
    {"gem_lmem_swapping", "verify-random{,-ccs}", 2},
    {"gem_lmem_swapping", "heavy-{random,multi}", 2},
    {"gem_lmem_swapping", "heavy-verify-{random,multi}{,-ccs}", 4},
    {"gem_lmem_swapping", "parallel-random{,-engines,-verify,-verify-ccs}", 4},
    {"gem_lmem_swapping", "parallel-multi", 1},
    {"gem_lmem_swapping", "smem-oom", 1},
    {"gem_evict_everything",
     "forked{,-swapping}{,-multifd}{,-mempressure}-{normal,interruptible}", 16},
    {"gem_evict_everything",
     "{mlocked,swapping,minor,major}-{normal,interruptible,hang}", 12},
    {"gem_evict_alignment", "{minor,major}-{normal,interruptible,hang}", 6},
    {"gem_lmem_evict", "dontneed-evict-race", 1},
    {"kfd_evict", "{basic,queue,bursty}", 3},
    {"xe_evict_ccs", "evict-overcommit-simple", 1},
    {"xe_evict_ccs",
     "evict-overcommit-{standalone,parallel}-{nofree,instantfree}-"
     "{samefd,reopen}",
     8},
    // What no suite covers.
    {"twostep", "dma-{iova,swiotlb,coherent,cma}-exhaust", 4},
    {"twostep", "dma-{iova-fragment,cma-scatter,swiotlb-segment}", 3},
    {"twostep", "dma-swiotlb-fragment", 1},
    {"twostep", "aperture-fragment", 1},
    {"twostep", "{two-drivers-one-iommu,four-guests}", 2},
    {"twostep", "{squatter-and-spammer,only-busy,big-against-big}", 3},
    {"twostep", "{two-tier-pingpong,everything-at-once,fault-storm}", 3},
    {"twostep", "{map-fails-at-k,fail-every-point}", 2},
    {"twostep", "{share-and-die,flink-storm}", 2},
    {"twostep", "{hot-unplug,suspend-resume,both-devices-go}", 3},
};

// All that `names` stands for.
std::vector<std::string> Expand(const std::string& names) {
  const size_t open = names.find('{');
  if (open == std::string::npos) return {names};
  const size_t close = names.find('}', open);
  std::vector<std::string> all;
  std::stringstream parts(names.substr(open + 1, close - open - 1) + ",");
  for (std::string part; std::getline(parts, part, ',');) {
    for (const std::string& rest : Expand(names.substr(close + 1))) {
      all.push_back(names.substr(0, open) + part + rest);
    }
  }
  return all;
}

TEST(Scenarios, AreTheRowsOfTheMatrixOneToOne) {
  std::vector<std::string> expected;
  for (const MatrixRow& row : kMatrix) {
    const std::vector<std::string> names = Expand(row.names);
    EXPECT_EQ(names.size(), row.count) << row.names;
    for (const std::string& name : names) {
      expected.push_back(std::string(row.family) + "/" + name);
    }
  }
  std::vector<std::string> listed;
  for (const Scenario& scenario : AllScenarios()) {
    listed.push_back(scenario.full_name());
    EXPECT_NE(scenario.what, "") << scenario.name;
  }
  std::sort(expected.begin(), expected.end());
  std::sort(listed.begin(), listed.end());
  // Twice on one side counts as well.
  std::vector<std::string> on_one_side;
  std::set_symmetric_difference(listed.begin(), listed.end(), expected.begin(),
                                expected.end(),
                                std::back_inserter(on_one_side));
  EXPECT_EQ(on_one_side, std::vector<std::string>());
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
