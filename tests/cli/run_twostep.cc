#include "tests/cli/run_twostep.h"

#include <sys/wait.h>

#include <cstdio>

#include "absl/strings/str_cat.h"

namespace twostep {

Ran Twostep(const std::string& arguments) {
  Ran ran;
  FILE* pipe =
      popen(absl::StrCat("cli/twostep ", arguments, " 2>&1").c_str(), "r");
  char buffer[4096];
  while (size_t read = fread(buffer, 1, sizeof(buffer), pipe)) {
    ran.output.append(buffer, read);
  }
  const int status = pclose(pipe);
  ran.code = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  return ran;
}

}  // namespace twostep
