#ifndef PLACEMENT_PLACEMENT_REGISTRY_H_
#define PLACEMENT_PLACEMENT_REGISTRY_H_

// Placement policies by name, built in or registered from outside the library:
// "costed", "throttled:mib_per_s=100", "fixed:vram=0". "vram-tt", "vram" and
// "tt" are short for settings of "fixed". Thread-safe.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "twostep/eviction/policy_table.h"
#include "twostep/placement/placement_policy.h"

namespace twostep {

using PlacementPolicyFactory =
    std::function<std::unique_ptr<PlacementPolicy>(const PlacementSite&)>;

struct PlacementPolicyInfo {
  std::string name;  // without ':', ',', '=' and blanks
  std::string summary;
  std::function<std::unique_ptr<PlacementPolicy>(const PlacementSite&,
                                                 const PolicyParameters&)>
      make;
  std::vector<PolicyParameter> parameters = {};
};

// Every policy there is: those built in, then what was registered.
std::vector<PlacementPolicyInfo> PlacementPolicies();

// From then on the name means this policy wherever policies are named.
// kAlreadyExists when it means one already, kInvalidArgument for a bad name.
absl::Status RegisterPlacementPolicy(PlacementPolicyInfo policy);

// What `name` or `name:parameter=value,...` means. kNotFound listing the names,
// or the policy's parameters, that there are; kInvalidArgument for a value that
// is no number or out of range.
absl::StatusOr<PlacementPolicyFactory> ParsePlacementPolicy(
    absl::string_view spec);

}  // namespace twostep

#endif  // PLACEMENT_PLACEMENT_REGISTRY_H_
