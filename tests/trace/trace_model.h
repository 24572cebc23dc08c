#ifndef TESTS_TRACE_TRACE_MODEL_H_
#define TESTS_TRACE_TRACE_MODEL_H_

#include <string>

namespace twostep {

// Whether `text` is a botrace 1, told in the plainest way: a second opinion
// for TraceReader. REQUIRES: no high bytes in comments (their UTF-8 is not
// looked at).
bool ModelAccepts(const std::string& text);

}  // namespace twostep

#endif  // TESTS_TRACE_TRACE_MODEL_H_
