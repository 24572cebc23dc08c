#include "twostep/eviction/use_log.h"

#include <vector>

#include "gtest/gtest.h"

namespace twostep {
namespace {

// As AdaptivePolicy does for entries that stay.
UseLog::Position Append(UseLog& log, uint64_t key) {
  const UseLog::Position use = log.Append(key, 7, log.LastUse(key));
  log.Remember(use);
  return use;
}

TEST(UseLog, UsesOfABoAreLinkedBothWays) {
  UseLog log;
  log.Grow(64);
  const UseLog::Position first = Append(log, 1);
  Append(log, 2);
  const UseLog::Position second = Append(log, 1);
  const UseLog::Position third = Append(log, 1);
  EXPECT_EQ(log.Next(first), second);
  EXPECT_EQ(log.Next(second), third);
  EXPECT_EQ(log.Next(third), 0);
  EXPECT_EQ(log.Previous(third), second);
  EXPECT_EQ(log.Previous(first), 0);
  EXPECT_EQ(log.First(third), first);
  EXPECT_EQ(log.kind(third), 7);
  EXPECT_EQ(log.LastUse(1), third);
  EXPECT_EQ(log.LastUse(3), 0);
}

TEST(UseLog, TheFirstUseAfterAPlaceIsFoundFromEitherSide) {
  UseLog log;
  log.Grow(64);
  std::vector<UseLog::Position> uses;
  for (int i = 0; i < 5; ++i) {
    uses.push_back(Append(log, 1));
    Append(log, 2);
  }
  for (const UseLog::Position from : uses) {
    EXPECT_EQ(log.FirstAfter(uses[1], from), uses[2]);
  }
  EXPECT_EQ(log.FirstAfter(uses[4], uses[0]), 0);
}

TEST(UseLog, AContextIsRecognizedWhereItCameLast) {
  UseLog log;
  log.Grow(64);
  for (const uint64_t key : {1, 2, 3}) Append(log, key);
  const UseLog::Position four = Append(log, 4);
  for (const uint64_t key : {9, 1, 2, 3}) Append(log, key);
  EXPECT_EQ(log.SeenBefore(4), four);
  EXPECT_EQ(log.SeenBefore(9), 0);
  Append(log, 3);
  EXPECT_EQ(log.SeenBefore(4), 0);
}

TEST(UseLog, AFullLogForgetsTheOldest) {
  UseLog log;
  log.Grow(64);
  for (uint64_t key = 0; key < 65; ++key) Append(log, key);
  EXPECT_EQ(log.LastUse(0), 0);
  EXPECT_EQ(log.LastUse(1), log.oldest());
  Append(log, 1);
  EXPECT_EQ(log.Previous(log.LastUse(1)), 0);
  EXPECT_FALSE(log.Holds(log.First(log.LastUse(1))));
}

TEST(UseLog, GrowingKeepsWhatItHolds) {
  UseLog log;
  log.Grow(256);
  for (uint64_t key = 0; key < 300; ++key) Append(log, key % 40);
  const UseLog::Position oldest = log.oldest();
  const UseLog::Position last = log.LastUse(10);
  const UseLog::Position seen = log.SeenBefore(300 % 40);
  ASSERT_NE(seen, 0);
  log.Grow(1024);
  EXPECT_EQ(log.oldest(), oldest);
  EXPECT_EQ(log.LastUse(10), last);
  EXPECT_EQ(log.SeenBefore(300 % 40), seen);
  EXPECT_EQ(log.key(oldest), (oldest - 1) % 40);
}

}  // namespace
}  // namespace twostep
