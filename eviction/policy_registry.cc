#include "twostep/eviction/policy_registry.h"

#include <utility>

#include "twostep/eviction/built_in_policies.h"

namespace twostep {
namespace {

// The one table of names: a name must mean the same in options, machine files
// and on the command line, without each of them being handed a table.
PolicyTable<EvictionPolicyInfo>& TheTable() {
  static PolicyTable<EvictionPolicyInfo> table("eviction policy",
                                               BuiltInPolicies());
  return table;
}

}  // namespace

std::vector<EvictionPolicyInfo> EvictionPolicies() { return TheTable().All(); }

absl::Status RegisterEvictionPolicy(EvictionPolicyInfo policy) {
  return TheTable().Add(std::move(policy));
}

absl::StatusOr<EvictionPolicyFactory> ParseEvictionPolicy(
    absl::string_view spec) {
  auto parsed = TheTable().Parse(spec);
  if (!parsed.ok()) return parsed.status();
  return EvictionPolicyFactory(
      [make = std::move(parsed->first.make),
       parameters = std::move(parsed->second)] { return make(parameters); });
}

absl::StatusOr<std::unique_ptr<EvictionPolicy>> MakeEvictionPolicy(
    absl::string_view spec) {
  absl::StatusOr<EvictionPolicyFactory> factory = ParseEvictionPolicy(spec);
  if (!factory.ok()) return factory.status();
  return (*factory)();
}

}  // namespace twostep
