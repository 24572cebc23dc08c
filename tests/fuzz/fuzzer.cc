// To libFuzzer a failed expectation is a crash.

#include "gtest/gtest.h"

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  GTEST_FLAG_SET(break_on_failure, true);
  return 0;
}
