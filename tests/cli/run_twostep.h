#ifndef TESTS_CLI_RUN_TWOSTEP_H_
#define TESTS_CLI_RUN_TWOSTEP_H_

// Runs the twostep command, which a test has among its data.

#include <string>

namespace twostep {

struct Ran {
  int code = -1;
  std::string output;  // both streams
};

Ran Twostep(const std::string& arguments);
// With standard output going to `file`: `output` is what it says on standard
// error.
Ran TwostepInto(const std::string& file, const std::string& arguments);

}  // namespace twostep

#endif  // TESTS_CLI_RUN_TWOSTEP_H_
