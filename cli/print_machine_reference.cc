// Prints docs/machine-files.md; with --schema,
// docs/schemas/machine-file.schema.json.

#include <cstdio>
#include <cstring>

#include "twostep/cli/machine_file.h"

int main(int argc, char** argv) {
  const bool schema = argc == 2 && std::strcmp(argv[1], "--schema") == 0;
  const std::string text =
      schema ? twostep::MachineFileSchema() : twostep::MachineFileReference();
  std::fputs(text.c_str(), stdout);
  return 0;
}
