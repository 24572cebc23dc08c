#include "twostep/stress/fault_runs.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace twostep {
namespace {

constexpr uint64_t kCountOnly = 0;

class FaultRuns {
 public:
  FaultRuns(const Scenario& scenario, const StressOptions& options,
            absl::FunctionRef<void(const std::string&)> show)
      : scenario_(scenario), options_(options), show_(show) {}

  FaultOutcome Play(const FaultPlan& plan) {
    FaultPlan always;
    for (const FaultPart& part : plan) {
      if (part.how != FaultPart::How::kEvery) always.push_back(part);
    }
    bool any = false;
    for (const FaultPart& part : plan) {
      if (part.how != FaultPart::How::kEvery) continue;
      any = true;
      if (outcome_.sum.clean()) PlayEvery(part, always);
    }
    if (!any) Run(always);
    return std::move(outcome_);
  }

 private:
  // How many points of that kind were passed, and whether one failed.
  struct Passed {
    uint64_t points = 0;
    bool harmed = false;
  };
  Passed Run(const FaultPlan& plan, FaultKind kind = FaultKind::kFrame) {
    std::string spec;
    Faults faults;
    for (const FaultPart& part : plan) {
      const bool counts =
          part.how == FaultPart::How::kNth && part.nth == kCountOnly;
      if (!counts) {
        absl::StrAppend(&spec, spec.empty() ? "" : ",", ToString(part));
      }
      if (part.how == FaultPart::How::kRate) {
        faults.Rate(part.kind, part.rate, options_.seed);
      } else {
        faults.Arm(part.kind, part.nth);
      }
    }
    show_(spec);
    options_.faults = &faults;
    Verdict verdict = PlayScenario(scenario_, options_);
    for (int i = 0; i < kFaultKinds; ++i) {
      verdict.faults[i].points = faults.points(static_cast<FaultKind>(i));
      verdict.faults[i].made = faults.made(static_cast<FaultKind>(i));
    }
    outcome_.sum.Add(verdict);
    ++outcome_.runs;
    return {faults.points(kind), faults.made(kind) != 0};
  }

  void PlayEvery(const FaultPart& every, const FaultPlan& always) {
    FaultPlan plan = always;
    plan.push_back({.kind = every.kind, .how = FaultPart::How::kNth});
    FaultPart& nth = plan.back();
    nth.nth = kCountOnly;
    const uint64_t points = Run(plan, every.kind).points;
    uint64_t stride = every.stride;
    if (stride == 0) stride = (points + kMostRuns - 1) / kMostRuns;
    stride = std::max<uint64_t>(stride, 1);
    if (stride > 1) outcome_.thinned.push_back({every.kind, points, stride});
    outcome_.counted[static_cast<int>(every.kind)] = points;
    // With threads one may pass fewer than others do.
    for (nth.nth = 1; outcome_.sum.clean(); nth.nth += stride) {
      if (!Run(plan, every.kind).harmed && nth.nth > points) break;
    }
  }

  const Scenario& scenario_;
  StressOptions options_;
  const absl::FunctionRef<void(const std::string&)> show_;
  FaultOutcome outcome_;
};

}  // namespace

std::string ToString(const FaultPart& part) {
  const std::string kind = absl::StrCat(NameOf(part.kind), ":");
  switch (part.how) {
    case FaultPart::How::kEvery:
      return absl::StrCat(
          kind, "every",
          part.stride == 0 ? "" : absl::StrCat("/", part.stride));
    case FaultPart::How::kNth:
      return absl::StrCat(kind, part.nth);
    case FaultPart::How::kRate:
      return absl::StrCat(kind, part.rate * 100, "%");
  }
  return kind;
}

FaultPlan PlanFor(const Scenario& scenario, const FaultPlan& plan) {
  FaultPlan takes;
  for (const FaultPart& part : plan) {
    if (Has(scenario.faults, part.kind)) takes.push_back(part);
  }
  return takes;
}

FaultOutcome PlayUnderFaults(const Scenario& scenario, StressOptions options,
                             const FaultPlan& plan,
                             absl::FunctionRef<void(const std::string&)> show) {
  return FaultRuns(scenario, options, show).Play(plan);
}

}  // namespace twostep
