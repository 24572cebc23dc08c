#include "twostep/eviction/lru_shadow.h"

#include <initializer_list>
#include <map>

#include "gtest/gtest.h"

namespace twostep {
namespace {

// A policy with room for eight bos of one byte, which holds what the test says.
class LruShadowTest : public testing::Test {
 protected:
  using Keys = std::initializer_list<uint64_t>;

  LruShadowTest() { log_.Grow(1024); }

  BoRecord& Known(uint64_t key) {
    const uint32_t number = bos_.Find(key);
    return bos_[number != 0 ? number : bos_.Add(key)];
  }
  // In, for `leaves`; 0: there is room.
  void Bring(uint64_t key, uint64_t leaves = 0) {
    if (leaves != 0) {
      shadow_.NoteFull();
      shadow_.Remove(Known(leaves), Departure::kEvicted);
      Known(leaves).in = nullptr;
    }
    shadow_.Insert(Known(key), 1);
    Known(key).in = &entry_;
  }
  void Log(uint64_t key) {
    Known(key);
    const UseLog::Position use = log_.head();
    log_.Append(bos_.Find(key),
                static_cast<uint32_t>(last_[key] == 0 ? 0 : use - last_[key]));
    last_[key] = use;
    log_.LinkNext();
  }
  void Submit(Keys keys) {
    for (const uint64_t key : keys) Log(key);
    shadow_.Submit();
  }
  // 1 to 8 are in and were used, each by itself.
  void Fill() {
    for (uint64_t key = 1; key <= 8; ++key) {
      Bring(key);
      Log(key);
    }
    shadow_.NoteFull();
    shadow_.Start();
  }
  // As LRU does, until `bytes` have moved.
  void DoAsLru(uint64_t bytes) {
    for (uint64_t moved = 0; moved < bytes; moved += 2) {
      Bring(next_ + 1, next_ - 7);
      Submit({++next_});
    }
  }

  UseLog log_;
  KnownBos bos_;
  LruShadow shadow_{log_, bos_};
  EvictionHook entry_;
  std::map<uint64_t, UseLog::Position> last_;
  uint64_t next_ = 8;
};

TEST_F(LruShadowTest, WhoDoesAsLruIsTrusted) {
  Fill();
  for (int i = 0; i < 100; ++i) {
    DoAsLru(2);
    EXPECT_TRUE(shadow_.trusts()) << i;
  }
}

TEST_F(LruShadowTest, WhoMovesWhatLruWouldHaveKeptIsNot) {
  Fill();
  Bring(9, 8);  // LRU gives up 1
  Submit({9});
  EXPECT_TRUE(shadow_.trusts());
  Bring(8, 9);  // LRU has it
  Submit({8});
  EXPECT_FALSE(shadow_.trusts());
}

TEST_F(LruShadowTest, WhatWasSavedBeforeMayBeLost) {
  Fill();
  Bring(9, 8);
  Submit({9});
  // LRU brings them back, each for the next.
  Submit({1});
  Submit({2});
  Bring(8, 9);
  Submit({8});
  EXPECT_TRUE(shadow_.trusts());
}

TEST_F(LruShadowTest, WhoMadeUpForItIsTrustedAgain) {
  Fill();
  Bring(9, 8);
  Submit({9});
  Bring(8, 9);
  Submit({8});
  ASSERT_FALSE(shadow_.trusts());
  // A hundred times what was lost, and what LRU had and the policy had not.
  next_ = 100;
  for (uint64_t key = 93; key <= 100; ++key) {
    Bring(key, key - 92);
    Submit({key});
  }
  DoAsLru(282);
  EXPECT_FALSE(shadow_.trusts());
  DoAsLru(2);
  EXPECT_TRUE(shadow_.trusts());
}

TEST_F(LruShadowTest, BosOfASubmissionDoNotMakeRoomForOneAnother) {
  Fill();
  // One by one each would push out the one that is used next.
  for (int i = 0; i < 10; ++i) {
    Bring(9, 8);
    Submit({9, 1, 2, 3, 4, 5, 6, 7});
    Bring(8, 9);
    Submit({8, 1, 2, 3, 4, 5, 6, 7});
  }
  Bring(9, 7);  // LRU gives up 8
  Submit({9});
  Bring(7, 9);
  Submit({7});
  EXPECT_FALSE(shadow_.trusts());
}

TEST_F(LruShadowTest, WhereNotAllFindRoomItIsTriedOutWhatLruMoves) {
  Fill();
  Submit({1, 2, 3, 4, 5, 6, 7, 8});
  EXPECT_TRUE(shadow_.trusts());
  Submit({9, 1, 2, 3, 4, 5, 6, 7, 8});
  EXPECT_FALSE(shadow_.trusts());
  DoAsLru(30);
  EXPECT_FALSE(shadow_.trusts());
  DoAsLru(2);
  EXPECT_TRUE(shadow_.trusts());
  // Not again so soon.
  Submit({8});
  EXPECT_TRUE(shadow_.trusts());
}

TEST_F(LruShadowTest, WhatIsNotUsedYetIsNotCounted) {
  Fill();
  Bring(9, 8);
  Submit({9});
  Bring(8, 9);
  EXPECT_TRUE(shadow_.trusts());
  Submit({8});
  EXPECT_FALSE(shadow_.trusts());
}

TEST_F(LruShadowTest, WhatIsDestroyedMakesRoom) {
  Fill();
  for (const uint64_t key : {2, 3, 4}) {
    shadow_.Remove(Known(key), Departure::kGone);
  }
  for (const uint64_t key : {9, 10, 11}) {
    Bring(key);
    Submit({key});
  }
  // LRU still has 1, too.
  Bring(12, 1);
  Bring(1, 12);
  Submit({1});
  EXPECT_FALSE(shadow_.trusts());
}

TEST_F(LruShadowTest, WhatIsPinnedStaysInBoth) {
  Fill();
  shadow_.Remove(Known(1), Departure::kAside);
  Known(1).in = nullptr;
  Bring(9, 2);
  Submit({9});
  Bring(10, 3);
  Submit({10});
  shadow_.Insert(Known(1), 1);
  Submit({1});
  EXPECT_TRUE(shadow_.trusts());
}

TEST_F(LruShadowTest, CanStartInTheMidst) {
  Fill();
  shadow_.Stop();
  for (const uint64_t key : {1, 2, 3, 4}) Log(key);
  shadow_.Start();
  Bring(9, 5);
  Submit({9});
  Bring(5, 6);
  Submit({5});
  EXPECT_TRUE(shadow_.trusts());
  Bring(6, 5);  // LRU gives up 7
  Submit({6});
  Bring(5, 6);
  Submit({5});
  EXPECT_FALSE(shadow_.trusts());
}

}  // namespace
}  // namespace twostep
