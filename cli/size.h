#ifndef CLI_SIZE_H_
#define CLI_SIZE_H_

// Sizes as people write them, in machine files and on the command line.

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace twostep {

inline constexpr uint64_t kMaxSize = (uint64_t{1} << 63) - 1;

// "4096", "4096 B", "256 MiB" or "256MiB" (B, KiB, MiB, GiB, TiB) in bytes, at
// most kMaxSize. No signs, fractions, or units of 1000. kInvalidArgument says
// what is wrong with the text, and quotes it.
absl::StatusOr<uint64_t> ParseSize(absl::string_view text);

// The shortest exact text that ParseSize() gives back, e.g. "256 MiB".
std::string FormatSize(uint64_t bytes);

}  // namespace twostep

#endif  // CLI_SIZE_H_
