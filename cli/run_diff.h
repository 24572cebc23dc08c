#ifndef CLI_RUN_DIFF_H_
#define CLI_RUN_DIFF_H_

// What changed between two runs: their figures, and where recorded runs part.

#include <string>

#include "absl/status/statusor.h"

namespace twostep {

// Two files of figures, as --json of `twostep replay` and `twostep compare`
// writes them, or two recorded runs. A table: those that matter most first, and
// of what the host did last. Errors name the file: kNotFound,
// kInvalidArgument.
absl::StatusOr<std::string> RunDiff(const std::string& before,
                                    const std::string& after);

}  // namespace twostep

#endif  // CLI_RUN_DIFF_H_
