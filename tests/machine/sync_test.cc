#include "twostep/machine/sync.h"

#include <vector>

#include "gtest/gtest.h"

namespace twostep {
namespace {

TEST(SpinLock, TwoThreadsNeverInsideAtOnce) {
  SpinLock lock;
  int counter = 0;
  {
    std::vector<Thread> threads;
    for (int t = 0; t < 2; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i < 10000; ++i) {
          SpinLockHolder hold(lock);
          ++counter;
        }
      });
    }
  }
  EXPECT_EQ(counter, 20000);
}

}  // namespace
}  // namespace twostep
