#include "twostep/cli/command.h"

#include <cstdio>
#include <string>

namespace twostep {

ExitCode BadInput(const absl::Status& status) {
  std::fprintf(stderr, "twostep: %s\n", std::string(status.message()).c_str());
  return kExitBadInput;
}

}  // namespace twostep
