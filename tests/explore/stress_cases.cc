// Scenarios of `twostep stress` in which threads meet and bos are few: each as
// a case for every seed below, without bytes.

#include <iterator>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "tests/explore/cases.h"
#include "twostep/stress/families.h"

namespace twostep::explore {
namespace {

constexpr uint64_t kSeeds = 3;

// Nobody watches: what is told of events depends on addresses, and so would the
// schedule.
void Play(const Scenario& scenario, uint64_t seed) {
  StressOptions options = StressOptions::Default(Backing::kUnbacked);
  options.seed = seed;
  options.threads = 2;
  const Verdict verdict = PlayScenario(scenario, options);
  Expect(verdict.failures == 0, verdict.first_failure);
  for (const Violation& violation : verdict.violations) {
    Fail(absl::StrCat(violation.rule, ": ", violation.what));
  }
  Expect(verdict.clean(), "a submission had only to wait, and was told no");
}

}  // namespace

std::vector<Case> StressCases() {
  // Not those in which one goes on until another has got in: there is no end of
  // that in a schedule that does not run the other.
  static constexpr const char* kNames[] = {
      "only-busy", "big-against-big", "everything-at-once", "share-and-die"};
  std::vector<Case> cases;
  for (const Scenario& scenario : OurScenarios()) {
    if (absl::c_find(kNames, scenario.name) == std::end(kNames)) continue;
    for (uint64_t seed = 0; seed < kSeeds; ++seed) {
      cases.push_back({absl::StrCat("stress/", scenario.name, "/", seed),
                       scenario.what,
                       [scenario, seed] { Play(scenario, seed); }});
    }
  }
  return cases;
}

}  // namespace twostep::explore
