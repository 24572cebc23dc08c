#ifndef CLI_NUMBER_OPTION_H_
#define CLI_NUMBER_OPTION_H_

// What an option that is a number takes. Without these the parser takes signs,
// wraps what is below 0, and cuts what is too large, silently.

#include <cstdint>

#include "CLI/CLI.hpp"

namespace twostep {

// Digits alone: from `least` to `most`. To be a transform() of its option, as
// the parser would read leading zeros as octal.
CLI::Validator WholeNumber(uint64_t least, uint64_t most = UINT64_MAX);

// From 0 to a thousand years.
CLI::Validator Seconds();

}  // namespace twostep

#endif  // CLI_NUMBER_OPTION_H_
