#include "twostep/eviction/lru_shadow.h"

#include <map>

#include "gtest/gtest.h"

namespace twostep {
namespace {

// A policy with room for four bos of one byte, which holds what the test says.
class LruShadowTest : public testing::Test {
 protected:
  LruShadowTest() {
    log_.Grow(1024);
    shadow_.SetCapacity(4);
  }

  KnownBo& Known(uint64_t key) {
    const uint32_t number = bos_.Find(key);
    return bos_[number != 0 ? number : bos_.Add(key)];
  }
  UseLog::Position Last(uint64_t key) { return last_[key]; }
  void Insert(uint64_t key) { shadow_.Insert(Known(key), Last(key), 1); }
  void Remove(uint64_t key, Departure why) {
    shadow_.Remove(Known(key), Last(key), why);
  }
  void Use(uint64_t key) {
    const UseLog::Position use = log_.head();
    log_.Append(bos_.Find(key),
                last_[key] == 0 ? 0 : static_cast<uint32_t>(use - last_[key]));
    last_[key] = use;
    shadow_.Use(log_.LinkNext());
  }
  // In, for `leaves`, and used.
  void Swap(uint64_t key, uint64_t leaves) {
    Remove(leaves, Departure::kEvicted);
    Insert(key);
    Use(key);
  }

  UseLog log_;
  KnownBos bos_;
  LruShadow shadow_{log_, bos_};
  std::map<uint64_t, UseLog::Position> last_;
};

TEST_F(LruShadowTest, ItsOwnOrderIsNoDebt) {
  for (const uint64_t key : {1, 2, 3, 4}) {
    Insert(key);
    Use(key);
  }
  for (uint64_t key = 5; key < 50; ++key) {
    Swap(1 + (key - 1) % 5, 1 + key % 5);
    EXPECT_FALSE(shadow_.in_debt());
  }
}

TEST_F(LruShadowTest, WhatLruWouldHaveKeptIsADebt) {
  for (const uint64_t key : {1, 2, 3, 4}) {
    Insert(key);
    Use(key);
  }
  EXPECT_FALSE(shadow_.in_debt());
  Swap(5, 4);  // LRU gives up 1
  EXPECT_FALSE(shadow_.in_debt());
  Swap(4, 5);  // LRU has it
  EXPECT_TRUE(shadow_.in_debt());
}

TEST_F(LruShadowTest, ADebtIsPaidByWhatLruMovesMore) {
  for (const uint64_t key : {1, 2, 3, 4}) {
    Insert(key);
    Use(key);
  }
  Swap(5, 4);
  Swap(4, 5);
  ASSERT_TRUE(shadow_.in_debt());
  // 1 was kept; LRU brings it back, and gives up 2.
  Use(1);
  EXPECT_FALSE(shadow_.in_debt());
}

TEST_F(LruShadowTest, WhatIsNotUsedYetIsNotCounted) {
  for (const uint64_t key : {1, 2, 3, 4}) {
    Insert(key);
    Use(key);
  }
  for (const uint64_t key : {1, 2, 3, 4}) Remove(key, Departure::kEvicted);
  for (const uint64_t key : {5, 6, 7, 8}) Insert(key);
  EXPECT_FALSE(shadow_.in_debt());
  for (const uint64_t key : {5, 6, 7, 8}) Use(key);
  EXPECT_FALSE(shadow_.in_debt());
}

TEST_F(LruShadowTest, WhatIsDestroyedMakesRoom) {
  for (const uint64_t key : {1, 2, 3, 4}) {
    Insert(key);
    Use(key);
  }
  for (const uint64_t key : {2, 3, 4}) Remove(key, Departure::kGone);
  for (const uint64_t key : {5, 6, 7}) {
    Insert(key);
    Use(key);
  }
  // LRU still has 1, too.
  Remove(1, Departure::kEvicted);
  Insert(1);
  Use(1);
  EXPECT_TRUE(shadow_.in_debt());
}

TEST_F(LruShadowTest, CanStartInTheMidst) {
  shadow_.SetCapacity(2);
  for (const uint64_t key : {1, 2, 3, 4}) {
    Insert(key);
    Use(key);
  }
  shadow_.StartAt(log_.head());
  for (int i = 0; i < 10; ++i) {
    Swap(3, 4);
    Swap(4, 3);
  }
  EXPECT_TRUE(shadow_.in_debt());
}

}  // namespace
}  // namespace twostep
