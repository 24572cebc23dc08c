#include "twostep/cli/policy_name.h"

#include <algorithm>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "twostep/cli/nearest.h"
#include "twostep/eviction/policy_registry.h"
#include "twostep/eviction/policy_table.h"
#include "twostep/lab/replay.h"
#include "twostep/placement/placement_registry.h"

namespace twostep {
namespace {

template <typename Policies>
std::vector<std::string> And(const Policies& policies,
                             std::vector<std::string> names) {
  for (const auto& policy : policies) names.push_back(policy.name);
  return names;
}

// What is wrong with one of them; empty: nothing is.
std::string Wrong(const absl::Status& parsed, const std::string& spec,
                  const std::vector<std::string>& names) {
  if (parsed.ok()) return "";
  const std::string name = spec.substr(0, spec.find(':'));
  const bool known = std::find(names.begin(), names.end(), name) != names.end();
  return absl::StrCat(parsed.message(), known ? "" : NearToIt(name, names));
}

}  // namespace

CLI::Validator EvictionPolicyNames() {
  return CLI::Validator(
      [](std::string& list) -> std::string {
        for (const std::string& spec : SplitPolicies(list)) {
          if (spec == kBelady) continue;
          const std::string wrong =
              Wrong(ParseEvictionPolicy(spec).status(), spec,
                    And(EvictionPolicies(), {kBelady}));
          if (!wrong.empty()) return wrong;
        }
        return "";
      },
      "");
}

CLI::Validator PlacementPolicyNames() {
  return CLI::Validator(
      [](std::string& list) -> std::string {
        for (const std::string& spec : SplitPolicies(list)) {
          const std::string wrong =
              Wrong(ParsePlacementPolicy(spec).status(), spec,
                    And(PlacementPolicies(), {"vram-tt", "vram", "tt"}));
          if (!wrong.empty()) return wrong;
        }
        return "";
      },
      "");
}

}  // namespace twostep
