#include "tests/cli/run_twostep.h"

#include <sys/wait.h>

#include <cstdio>

#include "absl/strings/str_cat.h"

namespace twostep {
namespace {

Ran Shell(const std::string& command) {
  Ran ran;
  FILE* pipe = popen(command.c_str(), "r");
  char buffer[4096];
  while (size_t read = fread(buffer, 1, sizeof(buffer), pipe)) {
    ran.output.append(buffer, read);
  }
  const int status = pclose(pipe);
  ran.code = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  return ran;
}

}  // namespace

Ran Twostep(const std::string& arguments) {
  return Shell(absl::StrCat("cli/twostep ", arguments, " 2>&1"));
}

Ran TwostepInto(const std::string& file, const std::string& arguments) {
  return Shell(absl::StrCat("cli/twostep ", arguments, " 2>&1 >", file));
}

}  // namespace twostep
