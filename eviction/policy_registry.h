#ifndef EVICTION_POLICY_REGISTRY_H_
#define EVICTION_POLICY_REGISTRY_H_

// Policies by name, built in or registered from outside the library, with their
// parameters: "s3fifo" or "s3fifo:small=0.1,ghost=0.9". Thread-safe.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "twostep/eviction/eviction_policy.h"
#include "twostep/eviction/policy_table.h"

namespace twostep {

// Makes one policy object for each memory type and each DMA binder.
using EvictionPolicyFactory = std::function<std::unique_ptr<EvictionPolicy>()>;

struct EvictionPolicyInfo {
  std::string name;  // without ':', ',' and '='
  std::string summary;
  std::function<std::unique_ptr<EvictionPolicy>(const PolicyParameters&)> make;
  std::vector<PolicyParameter> parameters = {};
};

// Every policy there is: those built in, then what was registered. The first is
// the default.
std::vector<EvictionPolicyInfo> EvictionPolicies();

// From then on the name means this policy wherever policies are named.
// kAlreadyExists when it means one already, kInvalidArgument for a bad name.
absl::Status RegisterEvictionPolicy(EvictionPolicyInfo policy);

// What `name` or `name:parameter=value,...` means. kNotFound listing the names,
// or the policy's parameters, that there are; kInvalidArgument for a value that
// is no number or out of range.
absl::StatusOr<EvictionPolicyFactory> ParseEvictionPolicy(
    absl::string_view spec);
// One of them.
absl::StatusOr<std::unique_ptr<EvictionPolicy>> MakeEvictionPolicy(
    absl::string_view spec);

}  // namespace twostep

#endif  // EVICTION_POLICY_REGISTRY_H_
