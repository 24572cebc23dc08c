#include "twostep/eviction/ghost_keys.h"

#include <algorithm>
#include <deque>
#include <random>

#include "gtest/gtest.h"

namespace twostep {
namespace {

TEST(GhostKeys, RemembersNothingUntilToldHowMany) {
  GhostKeys ghosts;
  EXPECT_FALSE(ghosts.Take(1).has_value());
  EXPECT_EQ(ghosts.Add({.key = 1, .bytes = 5})->key, 1);
  EXPECT_TRUE(ghosts.empty());
  ghosts.Reset(0);
  EXPECT_EQ(ghosts.Add({.key = 1, .bytes = 5})->key, 1);
  EXPECT_FALSE(ghosts.Take(1).has_value());
  EXPECT_EQ(ghosts.bytes(), 0);
}

TEST(GhostKeys, TheOldestMakesRoom) {
  GhostKeys ghosts;
  ghosts.Reset(2);
  EXPECT_FALSE(ghosts.Add({.key = 1, .bytes = 5, .tag = 9}).has_value());
  EXPECT_FALSE(ghosts.Add({.key = 2, .bytes = 6}).has_value());
  EXPECT_EQ(ghosts.Add({.key = 3, .bytes = 7})->tag, 9);
  EXPECT_EQ(ghosts.bytes(), 13);
  EXPECT_FALSE(ghosts.Take(1).has_value());
  EXPECT_EQ(ghosts.Take(3)->bytes, 7);
  EXPECT_EQ(ghosts.TakeOldest().key, 2);
  EXPECT_TRUE(ghosts.empty());
}

TEST(GhostKeys, IsAQueueInWhichKeysAreFound) {
  for (const uint32_t most : {1, 3, 64}) {
    GhostKeys ghosts;
    ghosts.Reset(most);
    std::deque<GhostKeys::Ghost> model;
    std::mt19937_64 random(most);
    for (int step = 0; step < 20000; ++step) {
      // Neighbours, and keys that differ in high bits only.
      const uint64_t key = (random() % 50) << (random() % 2 * 40);
      const auto at = std::find_if(model.begin(), model.end(),
                                   [&](auto& one) { return one.key == key; });
      if (random() % 3 == 0 && !model.empty()) {
        ASSERT_EQ(ghosts.TakeOldest().key, model.front().key);
        model.pop_front();
      } else if (at != model.end()) {
        const auto taken = ghosts.Take(key);
        ASSERT_TRUE(taken.has_value());
        ASSERT_EQ(taken->bytes, at->bytes);
        model.erase(at);
      } else {
        ASSERT_FALSE(ghosts.Take(key).has_value());
        const GhostKeys::Ghost ghost{.key = key, .bytes = random() % 100};
        const auto forgotten = ghosts.Add(ghost);
        model.push_back(ghost);
        ASSERT_EQ(forgotten.has_value(), model.size() > most);
        if (forgotten.has_value()) {
          ASSERT_EQ(forgotten->key, model.front().key);
          model.pop_front();
        }
      }
      uint64_t bytes = 0;
      for (const auto& one : model) bytes += one.bytes;
      ASSERT_EQ(ghosts.bytes(), bytes);
      ASSERT_EQ(ghosts.empty(), model.empty());
    }
  }
}

}  // namespace
}  // namespace twostep
