#include "twostep/eviction/policy_registry.h"

#include <utility>

#include "twostep/eviction/fifo_policy.h"
#include "twostep/eviction/lru_policy.h"

namespace twostep {
namespace {

template <typename Policy>
std::unique_ptr<EvictionPolicy> Make(const PolicyParameters&) {
  return std::make_unique<Policy>();
}

std::vector<EvictionPolicyInfo> BuiltIn() {
  return {
      {"lru", "least recently used first", &Make<LruPolicy>},
      {"fifo", "in order of arrival; uses do not count", &Make<FifoPolicy>},
      {"mru", "most recently used first: keeps the start of a cyclic scan",
       &Make<MruPolicy>},
  };
}

// The one table of names: a name must mean the same in options, machine files
// and on the command line, without each of them being handed a table.
PolicyTable<EvictionPolicyInfo>& TheTable() {
  static PolicyTable<EvictionPolicyInfo> table("eviction policy", BuiltIn());
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
