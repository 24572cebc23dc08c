#include "twostep/eviction/known_bos.h"

#include <set>
#include <vector>

#include "gtest/gtest.h"

namespace twostep {
namespace {

TEST(KnownBos, AreFoundByTheirKeysWhileRemembered) {
  KnownBos bos;
  EXPECT_EQ(bos.Find(7), 0);
  const uint32_t seven = bos.Add(7);
  bos[seven].bytes = 70;
  EXPECT_NE(seven, 0);
  EXPECT_EQ(bos.Find(7), seven);
  EXPECT_EQ(bos.Find(8), 0);
  bos.Forget(seven);
  EXPECT_EQ(bos.Find(7), 0);
  EXPECT_EQ(bos[bos.Add(9)].bytes, 0);
}

TEST(KnownBos, KeepTheirNumbersAsMoreCome) {
  KnownBos bos;
  std::vector<uint32_t> numbers;
  for (uint64_t key = 0; key < 5000; ++key) {
    numbers.push_back(bos.Add(key << 20));
    bos[numbers.back()].bytes = key;
  }
  EXPECT_EQ(std::set<uint32_t>(numbers.begin(), numbers.end()).size(), 5000);
  for (uint64_t key = 0; key < 5000; ++key) {
    EXPECT_EQ(bos.Find(key << 20), numbers[key]);
    EXPECT_EQ(bos[numbers[key]].bytes, key);
  }
}

TEST(KnownBos, NumbersOfForgottenOnesAreUsedAgain) {
  KnownBos bos;
  for (uint64_t key = 0; key < 100000; ++key) {
    EXPECT_LT(bos.Add(key), 256);
    if (key >= 100) bos.Forget(bos.Find(key - 100));
  }
}

}  // namespace
}  // namespace twostep
