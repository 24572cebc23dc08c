#include "twostep/cli/html_report.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "twostep/cli/json_text.h"
#include "twostep/cli/outputs.h"
#include "twostep/cli/report_page.h"

namespace twostep {

std::string HtmlReport(const nlohmann::ordered_json& data) {
  // Whatever ends or begins a script element or a comment has one of these.
  return absl::StrCat(kReportHead,
                      absl::StrReplaceAll(JsonLine(data), {{"<", "\\u003c"}}),
                      kReportTail);
}

absl::Status WriteHtmlReport(const std::string& path,
                             const nlohmann::ordered_json& data) {
  if (path.empty()) return absl::OkStatus();
  return WriteFile({"--report", path}, HtmlReport(data));
}

}  // namespace twostep
