#include "twostep/explore/schedule.h"

#include <charconv>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace twostep::explore {
namespace {

constexpr absl::string_view kFirstLine = "twostep schedule 1";

template <typename T>
bool ParseNumber(absl::string_view text, T* value, int base = 10) {
  const char* const end = text.data() + text.size();
  const auto result = std::from_chars(text.data(), end, *value, base);
  return result.ec == std::errc() && result.ptr == end;
}

// at FIBER.STEP run NEXT
bool ParseSwitch(absl::string_view line, Switch* out) {
  const std::vector<absl::string_view> words = absl::StrSplit(line, ' ');
  if (words.size() != 4 || words[0] != "at" || words[2] != "run") return false;
  const std::vector<absl::string_view> place = absl::StrSplit(words[1], '.');
  return place.size() == 2 && ParseNumber(place[0], &out->fiber) &&
         ParseNumber(place[1], &out->step) &&
         ParseNumber(words[3], &out->next) && out->fiber >= 0 &&
         out->fiber < kMaxFibers && out->next >= 0 && out->next < kMaxFibers;
}

}  // namespace

std::string Print(const Script& script) {
  std::string text = absl::StrCat(kFirstLine, "\ncase ", script.case_name);
  for (const Switch& at : script.switches) {
    absl::StrAppend(&text, "\nat ", at.fiber, ".", at.step, " run ", at.next);
  }
  if (script.trace != 0) {
    absl::StrAppendFormat(&text, "\ntrace %016x", script.trace);
  }
  return text + "\n";
}

absl::StatusOr<Script> Parse(absl::string_view text) {
  Script script;
  bool first = true;
  int number = 0;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    ++number;
    line = absl::StripSuffix(line, "\r");
    if (line.empty() || absl::StartsWith(line, "#")) continue;
    Switch at;
    bool understood = true;
    if (first) {
      understood = line == kFirstLine;
      first = false;
    } else if (absl::ConsumePrefix(&line, "case ")) {
      script.case_name = std::string(line);
    } else if (absl::ConsumePrefix(&line, "trace ")) {
      understood = ParseNumber(line, &script.trace, 16);
    } else if (ParseSwitch(line, &at)) {
      script.switches.push_back(at);
    } else {
      understood = false;
    }
    if (!understood) {
      return absl::InvalidArgumentError(
          absl::StrCat("line ", number, ": not understood: ", line));
    }
  }
  if (first || script.case_name.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("a script begins with '", kFirstLine, "' and a case"));
  }
  return script;
}

int Decision::Default() const {
  if (can_stay) return fiber;
  const uint32_t after = eligible & ~((uint32_t{2} << fiber) - 1);
  return __builtin_ctz(after != 0 ? after : eligible);
}

std::vector<Switch> SwitchesOf(absl::Span<const Decision> decisions) {
  std::vector<Switch> switches;
  for (const Decision& decision : decisions) {
    if (decision.next == decision.Default()) continue;
    switches.push_back({decision.fiber, decision.step, decision.next});
  }
  return switches;
}

}  // namespace twostep::explore
