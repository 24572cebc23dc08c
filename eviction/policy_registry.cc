#include "twostep/eviction/policy_registry.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "twostep/eviction/fifo_policy.h"
#include "twostep/eviction/lru_policy.h"
#include "twostep/machine/check.h"
#include "twostep/machine/sync.h"

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
struct Registry {
  Mutex mutex;
  std::vector<EvictionPolicyInfo> policies ABSL_GUARDED_BY(mutex) = BuiltIn();
};

Registry& TheRegistry() {
  static Registry registry;
  return registry;
}

template <typename Named>
std::string Names(const std::vector<Named>& all) {
  return absl::StrJoin(all, ", ", [](std::string* out, const Named& one) {
    absl::StrAppend(out, one.name);
  });
}

template <typename Named>
const Named* Find(const std::vector<Named>& all, absl::string_view name) {
  auto it = std::find_if(all.begin(), all.end(),
                         [&](const Named& one) { return name == one.name; });
  return it == all.end() ? nullptr : &*it;
}

absl::StatusOr<double> ValueOf(const PolicyParameter& parameter,
                               absl::string_view text) {
  double value;
  if (!absl::SimpleAtod(text, &value) || !std::isfinite(value)) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", text, "' is not a number"));
  }
  if (parameter.whole && value != std::floor(value)) {
    return absl::InvalidArgumentError(
        absl::StrCat(text, " is not a whole number"));
  }
  if (value < parameter.least || value > parameter.most) {
    return absl::InvalidArgumentError(
        std::isinf(parameter.most)
            ? absl::StrCat(text, " is below ", parameter.least)
            : absl::StrCat(text, " is not between ", parameter.least, " and ",
                           parameter.most));
  }
  return value;
}

}  // namespace

double PolicyParameters::operator[](absl::string_view name) const {
  auto it =
      std::find_if(values_.begin(), values_.end(),
                   [&](const auto& value) { return name == value.first; });
  TWOSTEP_CHECK(it != values_.end());
  return it->second;
}

std::vector<EvictionPolicyInfo> EvictionPolicies() {
  Registry& registry = TheRegistry();
  MutexLock lock(registry.mutex);
  return registry.policies;
}

absl::Status RegisterEvictionPolicy(EvictionPolicyInfo policy) {
  if (policy.name.empty() ||
      policy.name.find_first_of(":,= \t\n") != std::string::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", policy.name, "' is no name for an eviction policy"));
  }
  Registry& registry = TheRegistry();
  MutexLock lock(registry.mutex);
  if (Find(registry.policies, policy.name) != nullptr) {
    return absl::AlreadyExistsError(absl::StrCat(
        "there is an eviction policy named '", policy.name, "' already"));
  }
  registry.policies.push_back(std::move(policy));
  return absl::OkStatus();
}

absl::StatusOr<EvictionPolicyFactory> ParseEvictionPolicy(
    absl::string_view spec) {
  const std::pair<absl::string_view, absl::string_view> parts =
      absl::StrSplit(spec, absl::MaxSplits(':', 1));
  const std::vector<EvictionPolicyInfo> policies = EvictionPolicies();
  const EvictionPolicyInfo* policy = Find(policies, parts.first);
  if (policy == nullptr) {
    return absl::NotFoundError(absl::StrCat("no eviction policy is named '",
                                            parts.first,
                                            "'; there are: ", Names(policies)));
  }
  PolicyParameters parameters;
  for (const PolicyParameter& parameter : policy->parameters) {
    parameters.values_.emplace_back(parameter.name, parameter.fallback);
  }
  for (absl::string_view setting :
       absl::StrSplit(parts.second, ',', absl::SkipEmpty())) {
    const std::pair<absl::string_view, absl::string_view> named =
        absl::StrSplit(setting, absl::MaxSplits('=', 1));
    const PolicyParameter* parameter = Find(policy->parameters, named.first);
    if (parameter == nullptr) {
      return absl::NotFoundError(absl::StrCat(
          "the eviction policy '", policy->name, "' has no parameter '",
          named.first, "'; ",
          policy->parameters.empty()
              ? "it has none"
              : absl::StrCat("there are: ", Names(policy->parameters))));
    }
    absl::StatusOr<double> value = ValueOf(*parameter, named.second);
    if (!value.ok()) {
      return absl::InvalidArgumentError(absl::StrCat(
          policy->name, ":", named.first, ": ", value.status().message()));
    }
    parameters.values_[parameter - policy->parameters.data()].second = *value;
  }
  return EvictionPolicyFactory(
      [make = policy->make, parameters] { return make(parameters); });
}

absl::StatusOr<std::unique_ptr<EvictionPolicy>> MakeEvictionPolicy(
    absl::string_view spec) {
  absl::StatusOr<EvictionPolicyFactory> factory = ParseEvictionPolicy(spec);
  if (!factory.ok()) return factory.status();
  return (*factory)();
}

}  // namespace twostep
