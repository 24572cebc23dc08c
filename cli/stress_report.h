#ifndef CLI_STRESS_REPORT_H_
#define CLI_STRESS_REPORT_H_

// What `twostep stress` tells: a table for people, JSON for programs.

#include <cstdint>
#include <string>
#include <vector>

#include "nlohmann/json.hpp"
#include "twostep/cli/soak.h"
#include "twostep/stress/fault_runs.h"
#include "twostep/stress/scenario.h"

namespace twostep {

// One scenario, with as many seeds as were played.
struct StressRow {
  std::string scenario;
  uint64_t first_seed = 0;
  uint64_t seeds = 0;
  Verdict sum;
  // Under faults: how often it was played, and of which kinds not every point
  // was visited. 0: there were none.
  uint64_t runs = 0;
  std::vector<FaultOutcome::Thinned> thinned;
  // Where not all was well: the command that plays the last seed again.
  std::string repeat;
  // RunHistories', of the last run; null: none.
  nlohmann::ordered_json history;
};

// Lines of columns, then what went wrong where, then the sum as one line.
std::string StressTable(const std::vector<StressRow>& rows);
// docs/stress.md lists the keys.
nlohmann::ordered_json StressJson(const std::vector<StressRow>& rows,
                                  const Soak& soak);
// What the page has: `figures`, which are StressJson's, and the histories.
// docs/reports.md lists the keys.
nlohmann::ordered_json StressPageJson(const std::vector<StressRow>& rows,
                                      const nlohmann::ordered_json& figures);

}  // namespace twostep

#endif  // CLI_STRESS_REPORT_H_
