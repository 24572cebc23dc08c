#ifndef CLI_HTML_REPORT_H_
#define CLI_HTML_REPORT_H_

// A report as a page: one file that needs no network. docs/reports.md says what
// is in it.

#include <string>

#include "absl/status/status.h"
#include "nlohmann/json.hpp"

namespace twostep {

// `data`: an object that names its `kind`, as cli/report/main.js expects it.
// Goes in as JSON, with nothing in it that could end the element it is in.
std::string HtmlReport(const nlohmann::ordered_json& data);

// Does nothing where `path` is empty. kInvalidArgument naming --report where it
// cannot be written.
absl::Status WriteHtmlReport(const std::string& path,
                             const nlohmann::ordered_json& data);

}  // namespace twostep

#endif  // CLI_HTML_REPORT_H_
