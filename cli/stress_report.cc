#include "twostep/cli/stress_report.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "twostep/cli/figures.h"

namespace twostep {
namespace {

// What is wrong with it, a line each.
std::string Wrong(const StressRow& row) {
  std::string text = absl::StrCat("\nWRONG  ", row.scenario, "\n");
  const Verdict& sum = row.sum;
  if (sum.bytes_wrong != 0) {
    absl::StrAppend(&text, "  bytes   ", GroupedFigure(sum.bytes_wrong),
                    " wrong, at least\n");
  }
  for (const Violation& violation : sum.violations) {
    absl::StrAppend(&text, "  broken  ", violation.rule, ": ", violation.what,
                    "\n");
  }
  if (sum.failures != 0) {
    absl::StrAppend(&text, "  failed  ", GroupedFigure(sum.failures),
                    " times, the first: ", sum.first_failure, "\n");
  }
  if (sum.hasty != 0) {
    absl::StrAppend(&text, "  hasty   ", GroupedFigure(sum.hasty),
                    " calls said no, and had only to wait\n");
  }
  absl::StrAppend(&text, "  repeat  ", row.repeat, "\n");
  return text;
}

// Of all kinds.
FaultCount AllFaults(const Verdict& sum) {
  FaultCount all;
  for (const FaultCount& one : sum.faults) {
    all.points += one.points;
    all.made += one.made;
    all.passed_on += one.passed_on;
  }
  return all;
}

// What is one fault may fail a call that was told of others as well.
uint64_t Absorbed(const FaultCount& count) {
  return count.made - std::min(count.made, count.passed_on);
}

// A line for each kind, in the order of the kinds.
std::string FaultTable(const std::vector<StressRow>& rows, const Verdict& all) {
  std::string text = absl::StrFormat("\n%-10s %12s %9s %9s %9s\n", "fault",
                                     "points", "made", "absorbed", "passed on");
  for (int i = 0; i < kFaultKinds; ++i) {
    const FaultCount& count = all.faults[i];
    if (count.points == 0) continue;
    absl::StrAppendFormat(
        &text, "%-10s %12s %9s %9s %9s\n", NameOf(static_cast<FaultKind>(i)),
        GroupedFigure(count.points), GroupedFigure(count.made),
        GroupedFigure(Absorbed(count)), GroupedFigure(count.passed_on));
  }
  for (const StressRow& row : rows) {
    for (const FaultOutcome::Thinned& thinned : row.thinned) {
      absl::StrAppendFormat(
          &text, "%s: of %s points of %s one in %s was visited\n", row.scenario,
          GroupedFigure(thinned.points), NameOf(thinned.kind),
          GroupedFigure(thinned.stride));
    }
  }
  return text;
}

nlohmann::ordered_json FaultsJson(const Verdict& sum) {
  nlohmann::ordered_json kinds = nlohmann::ordered_json::object();
  for (int i = 0; i < kFaultKinds; ++i) {
    const FaultCount& count = sum.faults[i];
    if (count.points == 0) continue;
    kinds[NameOf(static_cast<FaultKind>(i))] = {{"points", count.points},
                                                {"made", count.made},
                                                {"absorbed", Absorbed(count)},
                                                {"passed_on", count.passed_on}};
  }
  return kinds;
}

}  // namespace

std::string StressTable(const std::vector<StressRow>& rows) {
  size_t width = 8;
  for (const StressRow& row : rows) {
    width = std::max(width, row.scenario.size());
  }
  const int name_width = static_cast<int>(width);
  const bool faults = std::any_of(
      rows.begin(), rows.end(), [](const auto& row) { return row.runs != 0; });
  std::string text = absl::StrFormat(
      "%-*s %5s %10s %9s %9s %13s %6s %6s %6s %6s %8s", name_width, "scenario",
      "seeds", "operations", "GPU evict", "DMA evict", "checked", "wrong",
      "broken", "failed", "hasty", "time");
  if (faults) {
    absl::StrAppendFormat(&text, " %6s %10s %8s %8s %9s", "runs", "points",
                          "faults", "absorbed", "passed on");
  }
  text += '\n';
  Verdict all;
  size_t unclean = 0;
  for (const StressRow& row : rows) {
    const Verdict& sum = row.sum;
    absl::StrAppendFormat(
        &text, "%-*s %5d %10s %9s %9s %13s %6s %6s %6s %6s %6.2f s", name_width,
        row.scenario, row.seeds, GroupedFigure(sum.operations),
        GroupedFigure(sum.gpu_evictions), GroupedFigure(sum.dma_evictions),
        BytesFigure(sum.bytes_checked), GroupedFigure(sum.bytes_wrong),
        GroupedFigure(sum.rule_violations), GroupedFigure(sum.failures),
        GroupedFigure(sum.hasty), sum.seconds);
    if (faults) {
      const FaultCount count = AllFaults(sum);
      absl::StrAppendFormat(
          &text, " %6s %10s %8s %8s %9s", GroupedFigure(row.runs),
          GroupedFigure(count.points), GroupedFigure(count.made),
          GroupedFigure(Absorbed(count)), GroupedFigure(count.passed_on));
    }
    text += '\n';
    all.Add(sum);
    unclean += sum.clean() ? 0 : 1;
  }
  if (faults) absl::StrAppend(&text, FaultTable(rows, all));
  for (const StressRow& row : rows) {
    if (!row.sum.clean()) absl::StrAppend(&text, Wrong(row));
  }
  absl::StrAppendFormat(
      &text, "%s%s  %s %s, %s of them wrong; %s checked in %.1f s\n",
      unclean == 0 ? "" : "\n", unclean == 0 ? "clean" : "WRONG",
      GroupedFigure(rows.size()), rows.size() == 1 ? "scenario" : "scenarios",
      GroupedFigure(unclean), BytesFigure(all.bytes_checked), all.seconds);
  return text;
}

nlohmann::ordered_json StressJson(const std::vector<StressRow>& rows,
                                  const Soak& soak) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  bool clean = !soak.grew();
  for (const StressRow& row : rows) {
    const Verdict& sum = row.sum;
    clean &= sum.clean();
    nlohmann::ordered_json violations = nlohmann::ordered_json::array();
    for (const Violation& violation : sum.violations) {
      violations.push_back(
          {{"rule", violation.rule}, {"what", violation.what}});
    }
    list.push_back({{"scenario", row.scenario},
                    {"first_seed", row.first_seed},
                    {"seeds", row.seeds},
                    {"operations", sum.operations},
                    {"gpu_evictions", sum.gpu_evictions},
                    {"dma_evictions", sum.dma_evictions},
                    {"bytes_checked", sum.bytes_checked},
                    {"bytes_wrong", sum.bytes_wrong},
                    {"rule_violations", sum.rule_violations},
                    {"violations", std::move(violations)},
                    {"failures", sum.failures},
                    {"first_failure", sum.first_failure},
                    {"hasty", sum.hasty},
                    {"runs", row.runs},
                    {"faults", FaultsJson(sum)},
                    {"wall_seconds", sum.seconds},
                    {"clean", sum.clean()},
                    {"repeat", row.repeat}});
  }
  return {{"clean", clean},
          {"rows", std::move(list)},
          {"resident_bytes", soak.resident_bytes()}};
}

nlohmann::ordered_json StressPageJson(const std::vector<StressRow>& rows,
                                      const nlohmann::ordered_json& figures) {
  nlohmann::ordered_json histories = nlohmann::ordered_json::array();
  for (const StressRow& row : rows) {
    if (row.history.is_null()) continue;
    nlohmann::ordered_json history = {{"scenario", row.scenario}};
    history.update(row.history);
    histories.push_back(std::move(history));
  }
  return {{"kind", "stress"},
          {"figures", figures},
          {"histories", std::move(histories)}};
}

}  // namespace twostep
