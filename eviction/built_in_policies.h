#ifndef EVICTION_BUILT_IN_POLICIES_H_
#define EVICTION_BUILT_IN_POLICIES_H_

// The policies that come with the library: names, parameters, defaults.

#include <vector>

#include "twostep/eviction/policy_registry.h"

namespace twostep {

// The default first.
std::vector<EvictionPolicyInfo> BuiltInPolicies();

}  // namespace twostep

#endif  // EVICTION_BUILT_IN_POLICIES_H_
