#ifndef CLI_REPORT_PAGE_H_
#define CLI_REPORT_PAGE_H_

// The page of a report, but for its data. tools/embed_page.py makes the source
// of cli/report and third_party/uplot.

namespace twostep {

// Data goes between the two, as JSON in a script element.
extern const char kReportHead[];
extern const char kReportTail[];

}  // namespace twostep

#endif  // CLI_REPORT_PAGE_H_
