#ifndef TRACE_TRACE_TEXT_H_
#define TRACE_TRACE_TEXT_H_

#include <string>

#include "absl/strings/string_view.h"

namespace twostep {

// `text` in double quotes, shortened to about 40 bytes and with everything but
// printable ASCII escaped: fit for a terminal, whatever a file held.
std::string QuoteForError(absl::string_view text);

// Valid UTF-8 without control characters (a tab is one too).
bool IsPlainText(absl::string_view text);

}  // namespace twostep

#endif  // TRACE_TRACE_TEXT_H_
