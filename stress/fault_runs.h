#ifndef STRESS_FAULT_RUNS_H_
#define STRESS_FAULT_RUNS_H_

// A scenario played under faults made to order: with the n-th point of a kind
// failing, for every n that a run without faults has and on until one is
// unharmed, or with points that fail at random.

#include <array>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "twostep/stress/scenario.h"

namespace twostep {

struct FaultPart {
  enum class How : uint8_t { kEvery, kNth, kRate };
  FaultKind kind = FaultKind::kFrame;
  How how = How::kEvery;
  uint64_t nth = 1;     // of kNth
  uint64_t stride = 0;  // of kEvery: 0: as many runs as kMostRuns allows
  double rate = 0;      // of kRate
};
// What has to be written for `--faults` to ask for it.
std::string ToString(const FaultPart& part);
using FaultPlan = std::vector<FaultPart>;
// That part of a plan that the scenario takes.
FaultPlan PlanFor(const Scenario& scenario, const FaultPlan& plan);

// Of kEvery, beside the two that count and that end unharmed. With more points
// than that only some are visited, evenly.
inline constexpr uint64_t kMostRuns = 32;

struct FaultOutcome {
  Verdict sum;
  uint64_t runs = 0;
  // Of kEvery, by kind: points that the run passed that only counts.
  std::array<uint64_t, kFaultKinds> counted{};
  // Of kEvery: kinds of which not every point was visited, but every `stride`th
  // of `points`.
  struct Thinned {
    FaultKind kind;
    uint64_t points;
    uint64_t stride;
  };
  std::vector<Thinned> thinned;
};

// All parts that are not kEvery are at work in each run; each kEvery has runs
// of its own. `show` is told before each run what has to be written for
// --faults to repeat it; a run that goes wrong is the last. Rates follow the
// seed.
FaultOutcome PlayUnderFaults(const Scenario& scenario, StressOptions options,
                             const FaultPlan& plan,
                             absl::FunctionRef<void(const std::string&)> show);

}  // namespace twostep

#endif  // STRESS_FAULT_RUNS_H_
