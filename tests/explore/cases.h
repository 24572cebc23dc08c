#ifndef TESTS_EXPLORE_CASES_H_
#define TESTS_EXPLORE_CASES_H_

// The cases that are explored.

#include <vector>

#include "absl/strings/string_view.h"
#include "twostep/explore/case.h"

namespace twostep::explore {

// One bug each, planted in a few lines beside sync.h, and the same lines
// without it.
std::vector<Case> PlantedCases();
std::vector<Case> MendedCases();
// The library's: the reservation lock alone, bos, and what answers they give.
std::vector<Case> LockCases();
std::vector<Case> BoCases();
std::vector<Case> HistoryCases();
// These three.
std::vector<Case> LibraryCases();
// Scenarios of `twostep stress`: longer.
std::vector<Case> StressCases();

std::vector<Case> AllCases();
// Null where there is none of that name.
const Case* FindCase(const std::vector<Case>& cases, absl::string_view name);

}  // namespace twostep::explore

#endif  // TESTS_EXPLORE_CASES_H_
