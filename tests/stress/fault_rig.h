#ifndef TESTS_STRESS_FAULT_RIG_H_
#define TESTS_STRESS_FAULT_RIG_H_

// What tests of faults made to order share.

#include <cctype>
#include <string>
#include <utility>

#include "gtest/gtest.h"
#include "twostep/stress/families.h"
#include "twostep/stress/fault_runs.h"

namespace twostep {

// Machines on which a run takes little and every kind of fault has points.
inline StressOptions Small(uint64_t seed) {
  StressOptions options = StressOptions::Default(Backing::kBacked);
  const uint64_t vram = kMiB;
  options.seed = seed;
  options.gpu.vram_bytes = vram;
  options.gpu.aperture_bytes = 4 * vram;
  options.machine.normal_bytes = 4 * vram;
  options.machine.swap_bytes = 4 * vram;
  options.machine.iommu.mode = IommuMode::kTranslated;
  return options;
}

inline Scenario Named(const std::string& name) {
  for (Scenario& scenario : AllScenarios()) {
    if (scenario.full_name() == name) return std::move(scenario);
  }
  ADD_FAILURE() << name;
  return {};
}

inline void ExpectClean(const Verdict& verdict, const std::string& what) {
  EXPECT_EQ(verdict.bytes_wrong, 0u) << what;
  EXPECT_EQ(verdict.first_failure, "") << what;
  EXPECT_EQ(verdict.hasty, 0u) << what;
  for (const Violation& violation : verdict.violations) {
    ADD_FAILURE() << what << " " << violation.rule << ": " << violation.what;
  }
}

// A scenario with few points of a kind. The seeds are of machines that have
// what is to fail.
struct FaultRow {
  const char* scenario;
  uint64_t seed;
  FaultKind kind;
};

inline std::string NameOfRow(const testing::TestParamInfo<FaultRow>& info) {
  std::string name = info.param.scenario;
  for (char& c : name) c = isalnum(c) ? c : '_';
  return name + "_" + NameOf(info.param.kind);
}

}  // namespace twostep

#endif  // TESTS_STRESS_FAULT_RIG_H_
