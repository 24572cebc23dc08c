// Prints docs/machine-files.md.

#include <cstdio>

#include "twostep/cli/machine_file.h"

int main() {
  std::fputs(twostep::MachineFileReference().c_str(), stdout);
  return 0;
}
