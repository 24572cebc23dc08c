#include "tests/explore/cases.h"

namespace twostep::explore {

namespace {

std::vector<Case> Joined(std::initializer_list<std::vector<Case>> parts) {
  std::vector<Case> all;
  for (const auto& some : parts)
    all.insert(all.end(), some.begin(), some.end());
  return all;
}

}  // namespace

std::vector<Case> LibraryCases() {
  return Joined({LockCases(), BoCases(), HistoryCases()});
}

std::vector<Case> AllCases() {
  return Joined({LibraryCases(), StressCases(), PlantedCases(), MendedCases()});
}

const Case* FindCase(const std::vector<Case>& cases, absl::string_view name) {
  for (const Case& one : cases) {
    if (one.name == name) return &one;
  }
  return nullptr;
}

}  // namespace twostep::explore
