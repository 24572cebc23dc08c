#include "twostep/cli/size.h"

#include <cstddef>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "twostep/trace/trace_text.h"

namespace twostep {
namespace {

constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB"};
constexpr int kUnitCount = 5;

absl::Status BadSize(absl::string_view text, absl::string_view reason) {
  return absl::InvalidArgumentError(
      absl::StrCat("size ", QuoteForError(text), ": ", reason));
}

// The power of 1024 that `unit` stands for; -1 if there is none.
int PowerOf(absl::string_view unit) {
  if (unit.empty()) return 0;
  for (int power = 0; power < kUnitCount; ++power) {
    if (unit == kUnits[power]) return power;
  }
  return -1;
}

}  // namespace

absl::StatusOr<uint64_t> ParseSize(absl::string_view text) {
  size_t digits = 0;
  while (digits < text.size() && absl::ascii_isdigit(text[digits])) ++digits;
  absl::string_view unit = text.substr(digits);
  if (digits == 0) {
    return BadSize(text,
                   "expected a whole number of bytes, or one with a unit "
                   "as in \"256 MiB\"");
  }
  if (unit.size() > 1 && unit[0] == ' ') unit.remove_prefix(1);
  const int power = PowerOf(unit);
  if (power < 0) {
    return BadSize(text,
                   "after a whole number, expected one of the units B, KiB, "
                   "MiB, GiB, TiB");
  }
  uint64_t number = 0;
  if (!absl::SimpleAtoi(text.substr(0, digits), &number) ||
      number > kMaxSize >> (10 * power)) {
    return BadSize(text, "2^63 bytes or more");
  }
  return number << (10 * power);
}

std::string FormatSize(uint64_t bytes) {
  int power = 0;
  while (power + 1 < kUnitCount && bytes != 0 && bytes % 1024 == 0) {
    bytes /= 1024;
    ++power;
  }
  return absl::StrCat(bytes, " ", kUnits[power]);
}

}  // namespace twostep
