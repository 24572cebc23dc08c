#include "twostep/cli/number_option.h"

#include <algorithm>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace twostep {
namespace {

constexpr uint64_t kMostSeconds = 1000ull * 365 * 24 * 60 * 60;

}  // namespace

CLI::Validator WholeNumber(uint64_t least, uint64_t most) {
  return CLI::Validator(
      [least, most](std::string& text) -> std::string {
        uint64_t number = 0;
        if (text.empty() ||
            !std::all_of(text.begin(), text.end(), absl::ascii_isdigit) ||
            !absl::SimpleAtoi(text, &number) || number < least ||
            number > most) {
          return absl::StrCat("'", text, "' is no whole number from ", least,
                              " to ", most);
        }
        text = absl::StrCat(number);
        return "";
      },
      "");
}

CLI::Validator Seconds() {
  return CLI::Validator(
      [](std::string& text) -> std::string {
        double seconds = 0;
        // Not a number is not in the range either.
        if (absl::SimpleAtod(text, &seconds) && seconds >= 0 &&
            seconds <= kMostSeconds) {
          return "";
        }
        return absl::StrCat("'", text, "' is no number of seconds from 0 to ",
                            kMostSeconds);
      },
      "");
}

}  // namespace twostep
