#include "twostep/cli/command.h"

#include <cstdio>
#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"

namespace twostep {

ExitCode BadInput(const absl::Status& status) {
  std::fprintf(stderr, "twostep: %s\n", std::string(status.message()).c_str());
  return kExitBadInput;
}

absl::Status WriteFile(absl::string_view option, const std::string& path,
                       const std::string& text) {
  std::ofstream file(path);
  file << text;
  file.close();
  return file ? absl::OkStatus()
              : absl::InvalidArgumentError(
                    absl::StrCat(option, ": cannot write ", path));
}

}  // namespace twostep
