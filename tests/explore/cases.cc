#include "tests/explore/cases.h"

namespace twostep::explore {

std::vector<Case> AllCases() {
  std::vector<Case> all;
  for (const auto& some :
       {LockCases(), BoCases(), PlantedCases(), MendedCases()}) {
    all.insert(all.end(), some.begin(), some.end());
  }
  return all;
}

const Case* FindCase(const std::vector<Case>& cases, absl::string_view name) {
  for (const Case& one : cases) {
    if (one.name == name) return &one;
  }
  return nullptr;
}

}  // namespace twostep::explore
