#include "twostep/eviction/use_log.h"

#include <map>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace twostep {
namespace {

using ::testing::ElementsAre;
using Position = UseLog::Position;

class UseLogTest : public testing::Test {
 protected:
  static constexpr size_t kCapacity = 1024;

  UseLogTest() { log_.Grow(kCapacity); }

  Position Use(uint32_t bo) {
    const Position use = log_.head();
    Position& last = last_[bo];
    log_.Append(bo, last == 0 ? 0 : static_cast<uint32_t>(use - last));
    last = use;
    if (log_.full()) Settle();
    return use;
  }
  // As a policy does before it chooses.
  void Settle() {
    while (log_.linked() != log_.head()) log_.LinkNext();
    log_.ForgetOldest([this](uint32_t bo) {
      forgotten_.push_back(bo);
      last_[bo] = 0;
    });
  }

  UseLog log_;
  std::map<uint32_t, Position> last_;
  std::vector<uint32_t> forgotten_;
};

TEST_F(UseLogTest, UsesOfABoAreLinkedBothWays) {
  const Position first = Use(1);
  Use(2);
  const Position second = Use(1);
  const Position third = Use(1);
  Settle();
  EXPECT_EQ(log_.Next(first), second);
  EXPECT_EQ(log_.Next(second), third);
  EXPECT_EQ(log_.Next(third), 0);
  EXPECT_TRUE(log_.IsLast(third));
  EXPECT_FALSE(log_.IsLast(second));
  EXPECT_EQ(log_.Previous(third), second);
  EXPECT_EQ(log_.Previous(first), 0);
}

TEST_F(UseLogTest, TheFirstUseAfterAPlaceIsFoundFromAnyLaterOne) {
  std::vector<Position> uses;
  for (int i = 0; i < 5; ++i) {
    uses.push_back(Use(1));
    Use(2);
  }
  Settle();
  for (const size_t from : {2, 3, 4}) {
    EXPECT_EQ(log_.FirstAfter(uses[1], uses[from]), uses[2]);
  }
  EXPECT_EQ(log_.FirstAfter(uses[1] - 1, uses[4]), uses[1]);
  EXPECT_EQ(log_.FirstAfter(0, uses[4]), uses[0]);
}

TEST_F(UseLogTest, AContextIsRecognizedWhereItCameLast) {
  for (const uint32_t bo : {1, 2, 3}) Use(bo);
  const Position four = Use(4);
  const Position other = (Use(9), Use(4));
  for (const uint32_t bo : {1, 2, 3}) Use(bo);
  Settle();
  EXPECT_EQ(log_.SameContext(other, log_.head()), four);
  EXPECT_EQ(log_.SameContext(last_[9], log_.head()), 0);
  Use(3);
  EXPECT_EQ(log_.SameContext(other, log_.head()), 0);
}

TEST_F(UseLogTest, TheOldestAreForgottenInBatches) {
  for (uint32_t bo = 0; bo < kCapacity; ++bo) Use(bo % 600);
  Settle();
  EXPECT_EQ(log_.head() - log_.oldest(), kCapacity - UseLog::kBatch);
  // All that were in it are used again later, or are still in it.
  EXPECT_THAT(forgotten_, testing::IsEmpty());
  EXPECT_EQ(log_.Previous(log_.head() - 1), log_.head() - 601);
  EXPECT_EQ(log_.Previous(log_.oldest() + 1), 0);
  for (uint32_t i = 0; i < kCapacity; ++i) Use(5000);
  Settle();
  EXPECT_EQ(forgotten_.size(), 600);
}

TEST_F(UseLogTest, GrowingKeepsWhatItHolds) {
  for (uint32_t i = 0; i < 3000; ++i) Use(i % 40);
  Settle();
  const Position oldest = log_.oldest();
  const Position seen = log_.SameContext(last_[0], log_.head());
  ASSERT_NE(seen, 0);
  log_.Grow(4 * kCapacity);
  EXPECT_EQ(log_.oldest(), oldest);
  EXPECT_EQ(log_.SameContext(last_[0], log_.head()), seen);
  EXPECT_EQ(log_.Next(oldest), oldest + 40);
  EXPECT_EQ(log_.bo(oldest), (oldest - 1) % 40);
  for (uint32_t i = 0; i < 3000; ++i) Use(i % 40);
  EXPECT_EQ(log_.oldest(), oldest);
  EXPECT_EQ(log_.Previous(oldest + 3000), oldest + 2960);
}

}  // namespace
}  // namespace twostep
