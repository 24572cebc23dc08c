#ifndef EVICTION_POLICY_TABLE_H_
#define EVICTION_POLICY_TABLE_H_

// Policies of one kind by name, with their parameters: what the tables of
// eviction policies and of placement policies have in common. A policy is
// spelled "name" or "name:parameter=value,...".

#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "twostep/machine/sync.h"

namespace twostep {

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
  // The fallbacks, and what `settings` ("parameter=value,...") says otherwise.
  // kNotFound listing the parameters that there are, kInvalidArgument for a
  // value that is no number or out of range; both name the policy.
  static absl::StatusOr<PolicyParameters> Parse(
      absl::string_view policy, const std::vector<PolicyParameter>& known,
      absl::string_view settings);

  // REQUIRES: the policy has a parameter of this name.
  double operator[](absl::string_view name) const;

 private:
  absl::InlinedVector<std::pair<std::string, double>, 4> values_;
};

// Whether a policy can be spelled by it: not empty, no ':', ',', '=' or blank.
bool IsPolicyName(absl::string_view name);

// A list of policies as people write it, "lru,s3fifo:small=0.1,ghost=0.9,fifo",
// one by one: what has a '=' and no ':' before it goes on with the parameters
// of the one before it.
std::vector<std::string> SplitPolicies(absl::string_view list);

// Info has a `name` and `parameters`. Thread-safe.
template <typename Info>
class PolicyTable {
 public:
  // `kind` is for messages: "eviction policy".
  PolicyTable(std::string kind, std::vector<Info> built_in)
      : kind_(std::move(kind)), all_(std::move(built_in)) {}

  std::vector<Info> All() const {
    MutexLock lock(mutex_);
    return all_;
  }

  // kAlreadyExists when the name is taken, kInvalidArgument for a bad one.
  absl::Status Add(Info info) {
    if (!IsPolicyName(info.name)) {
      return absl::InvalidArgumentError(
          absl::StrCat("'", info.name, "' is no name for a policy"));
    }
    MutexLock lock(mutex_);
    for (const Info& one : all_) {
      if (one.name == info.name) {
        return absl::AlreadyExistsError(
            absl::StrCat("there is a policy named '", info.name, "' already"));
      }
    }
    all_.push_back(std::move(info));
    return absl::OkStatus();
  }

  // kNotFound listing the names that there are; else as PolicyParameters.
  absl::StatusOr<std::pair<Info, PolicyParameters>> Parse(
      absl::string_view spec) const {
    const size_t colon = spec.find(':');
    const absl::string_view name = spec.substr(0, colon);
    const absl::string_view settings = colon == absl::string_view::npos
                                           ? absl::string_view()
                                           : spec.substr(colon + 1);
    std::string names;
    for (Info& one : All()) {
      if (one.name == name) {
        auto parameters =
            PolicyParameters::Parse(one.name, one.parameters, settings);
        if (!parameters.ok()) return parameters.status();
        return std::make_pair(std::move(one), *std::move(parameters));
      }
      absl::StrAppend(&names, names.empty() ? "" : ", ", one.name);
    }
    return absl::NotFoundError(absl::StrCat("no ", kind_, " is named '", name,
                                            "'; there are: ", names));
  }

 private:
  const std::string kind_;
  mutable Mutex mutex_;
  std::vector<Info> all_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace twostep

#endif  // EVICTION_POLICY_TABLE_H_
