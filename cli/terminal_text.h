#ifndef CLI_TERMINAL_TEXT_H_
#define CLI_TERMINAL_TEXT_H_

// Names and messages that may hold any bytes, fit for a terminal.

#include <string>

#include "absl/strings/string_view.h"

namespace twostep {

// `text` whole, with `\xNN` for each byte that is no part of valid UTF-8 or is
// one of a control character, so that nothing in it can drive the terminal.
std::string ForTerminal(absl::string_view text);
// The same for several lines, which stay.
std::string LinesForTerminal(absl::string_view text);

}  // namespace twostep

#endif  // CLI_TERMINAL_TEXT_H_
