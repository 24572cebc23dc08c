#include "twostep/cli/checked_toml.h"

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
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

// What must not reach the parser, line by line: too many dots, and characters
// beyond ASCII, of which some are undefined behaviour in 3.3.0 (U+FF00). Those
// behind a # become a ?, since they are most likely in a comment.
std::optional<TomlError> FirstUnfitLine(const std::vector<size_t>& starts,
                                        std::string* text) {
  for (size_t i = 0; i + 1 < starts.size(); ++i) {
    bool behind_hash = false;
    for (size_t at = starts[i]; at < starts[i + 1]; ++at) {
      char& c = (*text)[at];
      behind_hash = behind_hash || c == '#';
      if (absl::ascii_isascii(static_cast<unsigned char>(c))) continue;
      if (!behind_hash) {
        return TomlError{i + 1, "expected ASCII outside of comments"};
      }
      c = '?';
    }
    // A line that begins with # holds no keys, in whatever it lies.
    const absl::string_view line = absl::StripLeadingAsciiWhitespace(
        absl::string_view(*text).substr(starts[i], starts[i + 1] - starts[i]));
    if (!line.empty() && line[0] == '#') continue;
    if (std::count(line.begin(), line.end(), '.') > kMaxDotsPerLine) {
      return TomlError{i + 1, absl::StrCat("more than ", kMaxDotsPerLine,
                                           " dots in a line")};
    }
  }
  return std::nullopt;
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

std::variant<toml::table, TomlError> ParseToml(absl::string_view original) {
  const std::vector<size_t> starts = LineStarts(original);
  std::string text(original);
  if (std::optional<TomlError> unfit = FirstUnfitLine(starts, &text)) {
    return *std::move(unfit);
  }
  // The only exceptions of this project: they end here.
  try {
    return toml::parse(text);
  } catch (const toml::parse_error& error) {
    return TomlError{
        error.source().begin.line,
        absl::StrCat("not TOML: ", Printable(error.description()))};
  } catch (const AssertionFailed&) {
    return TomlError{BreakingLine(text, starts),
                     "not TOML: expected a key, a table or a value"};
  }
}

}  // namespace twostep
