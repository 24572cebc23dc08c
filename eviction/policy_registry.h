#ifndef EVICTION_POLICY_REGISTRY_H_
#define EVICTION_POLICY_REGISTRY_H_

// Policies by name, built in or registered from outside the library, with their
// parameters: "s3fifo" or "s3fifo:small=0.1,ghost=0.9". Thread-safe.

#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "twostep/eviction/eviction_policy.h"

namespace twostep {

// Makes one policy object for each memory type and each DMA binder.
using EvictionPolicyFactory = std::function<std::unique_ptr<EvictionPolicy>()>;

// What may stand after the ':'.
struct PolicyParameter {
  std::string name;
  std::string summary;
  double fallback = 0;
  double least = 0;
  double most = std::numeric_limits<double>::infinity();
  bool whole = false;  // a whole number
};

// The value of every parameter that a policy has.
class PolicyParameters {
 public:
  // REQUIRES: the policy has a parameter of this name.
  double operator[](absl::string_view name) const;

 private:
  friend absl::StatusOr<EvictionPolicyFactory> ParseEvictionPolicy(
      absl::string_view spec);

  absl::InlinedVector<std::pair<std::string, double>, 4> values_;
};

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
