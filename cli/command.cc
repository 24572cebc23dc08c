#include "twostep/cli/command.h"

#include <cstdio>
#include <string>

#include "twostep/cli/terminal_text.h"

namespace twostep {

ExitCode BadInput(const absl::Status& status) {
  std::fprintf(stderr, "twostep: %s\n",
               LinesForTerminal(status.message()).c_str());
  return kExitBadInput;
}

ExitCode AfterWriting(ExitCode code, const std::vector<absl::Status>& written) {
  for (const absl::Status& status : written) {
    if (!status.ok()) code = BadInput(status);
  }
  return code;
}

void PrintLines(const std::string& text) {
  std::printf("%s", LinesForTerminal(text).c_str());
}

}  // namespace twostep
