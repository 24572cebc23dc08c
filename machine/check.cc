#include "twostep/machine/check.h"

#include <cstdio>
#include <cstdlib>

namespace twostep::internal {

void CheckFailed(const char* file, int line, const char* what) {
  std::fprintf(stderr, "%s:%d: check failed: %s\n", file, line, what);
  std::fflush(stderr);
  std::abort();
}

}  // namespace twostep::internal
