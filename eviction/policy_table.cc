#include "twostep/eviction/policy_table.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/numbers.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "twostep/machine/check.h"

namespace twostep {
namespace {

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

absl::StatusOr<PolicyParameters> PolicyParameters::Parse(
    absl::string_view policy, const std::vector<PolicyParameter>& known,
    absl::string_view settings) {
  PolicyParameters parameters;
  for (const PolicyParameter& parameter : known) {
    parameters.values_.emplace_back(parameter.name, parameter.fallback);
  }
  for (absl::string_view setting :
       absl::StrSplit(settings, ',', absl::SkipEmpty())) {
    const std::pair<absl::string_view, absl::string_view> named =
        absl::StrSplit(setting, absl::MaxSplits('=', 1));
    auto it = std::find_if(
        known.begin(), known.end(),
        [&](const PolicyParameter& one) { return one.name == named.first; });
    if (it == known.end()) {
      const std::string names = absl::StrJoin(
          known, ", ", [](std::string* out, const PolicyParameter& one) {
            absl::StrAppend(out, one.name);
          });
      return absl::NotFoundError(absl::StrCat(
          "'", policy, "' has no parameter '", named.first, "'; ",
          known.empty() ? "it has none" : absl::StrCat("there are: ", names)));
    }
    absl::StatusOr<double> value = ValueOf(*it, named.second);
    if (!value.ok()) {
      return absl::InvalidArgumentError(absl::StrCat(
          policy, ":", named.first, ": ", value.status().message()));
    }
    parameters.values_[static_cast<size_t>(it - known.begin())].second = *value;
  }
  return parameters;
}

double PolicyParameters::operator[](absl::string_view name) const {
  auto it = std::find_if(values_.begin(), values_.end(),
                         [&](const auto& one) { return name == one.first; });
  TWOSTEP_CHECK(it != values_.end());
  return it->second;
}

bool IsPolicyName(absl::string_view name) {
  return !name.empty() &&
         name.find_first_of(":,= \t\n") == absl::string_view::npos;
}

std::vector<std::string> SplitPolicies(absl::string_view list) {
  std::vector<std::string> policies;
  for (absl::string_view part : absl::StrSplit(list, ',')) {
    const size_t equals = part.find('=');
    const bool goes_on = equals != absl::string_view::npos &&
                         part.find(':') > equals && !policies.empty();
    if (goes_on) {
      absl::StrAppend(&policies.back(), ",", part);
    } else {
      policies.emplace_back(part);
    }
  }
  return policies;
}

}  // namespace twostep
