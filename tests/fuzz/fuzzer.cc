// To libFuzzer a failed expectation is a crash: one that it knows of, which a
// breakpoint is not.

#include <cstdlib>

#include "gtest/gtest.h"

namespace {

class AbortOnFailure : public testing::EmptyTestEventListener {
 public:
  void OnTestPartResult(const testing::TestPartResult& result) override {
    if (result.failed()) std::abort();
  }
};

}  // namespace

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  // Behind the printer, and owned by the list.
  testing::UnitTest::GetInstance()->listeners().Append(new AbortOnFailure);
  return 0;
}
