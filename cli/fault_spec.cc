#include "twostep/cli/fault_spec.h"

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "twostep/cli/nearest.h"

namespace twostep {
namespace {

constexpr char kAll[] = "all";

std::vector<std::string> KindNames() {
  std::vector<std::string> names;
  for (int i = 0; i < kFaultKinds; ++i) {
    names.emplace_back(NameOf(static_cast<FaultKind>(i)));
  }
  names.emplace_back(kAll);
  return names;
}

absl::Status Wrong(absl::string_view part, absl::string_view why) {
  return absl::InvalidArgumentError(
      absl::StrCat("--faults: '", part, "': ", why));
}

// Of `how`, what is behind the colon.
absl::Status ParseHow(absl::string_view how, FaultPart* part) {
  absl::string_view rest = how;
  if (absl::ConsumeSuffix(&rest, "%")) {
    double percent = 0;
    if (!absl::SimpleAtod(rest, &percent) || !(percent > 0 && percent < 100)) {
      // What always fails leaves nobody a way out: threads would make way for
      // ever.
      return absl::InvalidArgumentError("not a percentage above 0, below 100");
    }
    part->how = FaultPart::How::kRate;
    part->rate = percent / 100;
    return absl::OkStatus();
  }
  if (absl::ConsumePrefix(&rest, "every")) {
    part->how = FaultPart::How::kEvery;
    if (rest.empty()) return absl::OkStatus();
    if (absl::ConsumePrefix(&rest, "/") &&
        absl::SimpleAtoi(rest, &part->stride) && part->stride != 0) {
      return absl::OkStatus();
    }
    return absl::InvalidArgumentError("'every' or 'every/K', K above 0");
  }
  part->how = FaultPart::How::kNth;
  if (absl::SimpleAtoi(how, &part->nth) && part->nth != 0) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      "after the kind comes 'every', 'every/K', a number above 0, or a "
      "percentage, as in frame:every, iova:7, swap:1%");
}

}  // namespace

absl::StatusOr<FaultPlan> ParseFaults(absl::string_view spec) {
  FaultPlan plan;
  for (const absl::string_view text : absl::StrSplit(spec, ',')) {
    const std::vector<std::string> halves =
        absl::StrSplit(text, absl::MaxSplits(':', 1));
    const std::optional<FaultKind> kind = FaultKindNamed(halves[0]);
    if (!kind.has_value() && halves[0] != kAll) {
      const std::vector<std::string> names = KindNames();
      return Wrong(text,
                   absl::StrCat("no kind of fault is called '", halves[0], "'",
                                NearToIt(halves[0], names), "; there are ",
                                absl::StrJoin(names, ", ")));
    }
    FaultPart part;
    absl::Status parsed = ParseHow(halves.size() < 2 ? "" : halves[1], &part);
    if (!parsed.ok()) return Wrong(text, parsed.message());
    for (int i = 0; i < kFaultKinds; ++i) {
      part.kind = static_cast<FaultKind>(i);
      if (kind.has_value() && part.kind != *kind) continue;
      plan.erase(std::remove_if(plan.begin(), plan.end(),
                                [&](const FaultPart& known) {
                                  return known.kind == part.kind;
                                }),
                 plan.end());
      plan.push_back(part);
    }
  }
  return plan;
}

}  // namespace twostep
