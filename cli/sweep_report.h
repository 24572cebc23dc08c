#ifndef CLI_SWEEP_REPORT_H_
#define CLI_SWEEP_REPORT_H_

// What a sweep came to, for people and for programs. docs/policies.md says what
// each figure means.

#include <string>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"
#include "twostep/lab/sweep.h"

namespace twostep {

// What was simulated, and a table for each trace, placement and capacity.
std::string SweepTable(const SweepResult& result);

// One object with `rows`. What was not simulated is null.
nlohmann::ordered_json SweepJson(const SweepResult& result);

// A line for the names of the columns, and one a row.
std::string SweepCsv(const SweepResult& result);

// Reads SweepJson's object back. kInvalidArgument naming the row and the key.
absl::StatusOr<SweepResult> ParseSweep(const std::string& json);

}  // namespace twostep

#endif  // CLI_SWEEP_REPORT_H_
