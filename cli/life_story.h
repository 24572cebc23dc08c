#ifndef CLI_LIFE_STORY_H_
#define CLI_LIFE_STORY_H_

// The life of one bo in a recorded run, in plain sentences: where it went, and
// why.

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"

namespace twostep {

// Lines of text; with `frame`, where the bo is when that begins, and what
// happens to it until it ends. Errors are RecordedRun's, and kNotFound when the
// run has no such bo, or no such frame.
absl::StatusOr<std::string> LifeStory(const std::string& run, uint64_t bo,
                                      std::optional<uint64_t> frame);

}  // namespace twostep

#endif  // CLI_LIFE_STORY_H_
