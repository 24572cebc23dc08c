#include "twostep/cli/terminal_text.h"

#include <algorithm>
#include <cstddef>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "twostep/trace/trace_text.h"

namespace twostep {
namespace {

// The length of the character that `text` begins with; 0 if it must not be
// shown.
size_t PlainCharacter(absl::string_view text) {
  for (size_t length = 1; length <= std::min<size_t>(4, text.size());
       ++length) {
    if (IsPlainText(text.substr(0, length))) return length;
  }
  return 0;
}

}  // namespace

std::string ForTerminal(absl::string_view text) {
  std::string shown;
  while (!text.empty()) {
    const size_t length = PlainCharacter(text);
    if (length == 0) {
      absl::StrAppend(
          &shown, "\\x",
          absl::Hex(static_cast<unsigned char>(text[0]), absl::kZeroPad2));
    } else {
      absl::StrAppend(&shown, text.substr(0, length));
    }
    text.remove_prefix(std::max<size_t>(length, 1));
  }
  return shown;
}

std::string LinesForTerminal(absl::string_view text) {
  return absl::StrJoin(absl::StrSplit(text, '\n'), "\n",
                       [](std::string* out, absl::string_view line) {
                         absl::StrAppend(out, ForTerminal(line));
                       });
}

}  // namespace twostep
