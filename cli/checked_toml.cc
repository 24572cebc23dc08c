#include "twostep/cli/checked_toml.h"

#include <algorithm>
#include <cstddef>
#include <string_view>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace twostep {
namespace {

// The parser takes dotted keys of any depth, and frees them by recursion.
// Values it nests to 256 itself: together they stay far from a stack's end.
constexpr int kMaxDotsPerLine = 32;
constexpr size_t kMaxReason = 200;

struct AssertionFailed {};

// Where each line begins, and at the end where one more would.
std::vector<size_t> LineStarts(absl::string_view text) {
  std::vector<size_t> starts = {0};
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\n') starts.push_back(i + 1);
  }
  if (starts.back() != text.size()) starts.push_back(text.size());
  return starts;
}

// The number of the first line with too many dots, or 0.
uint64_t FirstDeepLine(absl::string_view text,
                       const std::vector<size_t>& starts) {
  for (size_t i = 0; i + 1 < starts.size(); ++i) {
    // A line that begins with # holds no keys, in whatever it lies.
    const absl::string_view line = absl::StripLeadingAsciiWhitespace(
        text.substr(starts[i], starts[i + 1] - starts[i]));
    if (!line.empty() && line[0] == '#') continue;
    if (std::count(line.begin(), line.end(), '.') > kMaxDotsPerLine) {
      return i + 1;
    }
  }
  return 0;
}

bool BreaksAnAssertion(absl::string_view text) {
  try {
    static_cast<void>(toml::parse(std::string_view(text.data(), text.size())));
  } catch (const toml::parse_error&) {
  } catch (const AssertionFailed&) {
    return true;
  }
  return false;
}

// The parser reads forward only, so the lines up to the bad one suffice to
// break it, and fewer do not.
uint64_t BreakingLine(absl::string_view text,
                      const std::vector<size_t>& starts) {
  size_t good = 0;
  size_t bad = starts.size() - 1;
  while (bad - good > 1) {
    const size_t middle = good + (bad - good) / 2;
    (BreaksAnAssertion(text.substr(0, starts[middle])) ? bad : good) = middle;
  }
  return bad;
}

std::string Printable(std::string_view description) {
  std::string why(description.substr(0, kMaxReason));
  for (char& c : why) {
    if (!absl::ascii_isprint(static_cast<unsigned char>(c))) c = '?';
  }
  if (description.size() > kMaxReason) why += "...";
  return why;
}

}  // namespace

void internal::TomlAssertionFailed() { throw AssertionFailed(); }

std::variant<toml::table, TomlError> ParseToml(absl::string_view text) {
  const std::vector<size_t> starts = LineStarts(text);
  const uint64_t deep = FirstDeepLine(text, starts);
  if (deep != 0) {
    return TomlError{
        deep, absl::StrCat("more than ", kMaxDotsPerLine, " dots in a line")};
  }
  // The only exceptions of this project: they end here.
  try {
    return toml::parse(std::string_view(text.data(), text.size()));
  } catch (const toml::parse_error& error) {
    return TomlError{error.source().begin.line, Printable(error.description())};
  } catch (const AssertionFailed&) {
    return TomlError{BreakingLine(text, starts),
                     "expected a key, a table or a value"};
  }
}

}  // namespace twostep
