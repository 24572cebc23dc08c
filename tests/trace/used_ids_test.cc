#include "twostep/trace/used_ids.h"

#include <cstdint>
#include <random>
#include <set>

#include "gtest/gtest.h"

namespace twostep {
namespace {

TEST(UsedIds, CountingUpIsOneRange) {
  UsedIds ids;
  for (uint64_t id = 5; id < 10005; ++id) ASSERT_TRUE(ids.Insert(id));
  EXPECT_EQ(ids.ranges(), 1u);
  EXPECT_FALSE(ids.Contains(4));
  EXPECT_TRUE(ids.Contains(5));
  EXPECT_TRUE(ids.Contains(10004));
  EXPECT_FALSE(ids.Contains(10005));
  EXPECT_FALSE(ids.Insert(7000));
}

TEST(UsedIds, TheSmallestAndTheLargestNumberAreIds) {
  UsedIds ids;
  EXPECT_TRUE(ids.Insert(~uint64_t{0}));
  EXPECT_TRUE(ids.Insert(0));
  EXPECT_FALSE(ids.Insert(~uint64_t{0}));
  EXPECT_FALSE(ids.Insert(0));
  EXPECT_TRUE(ids.Insert(~uint64_t{0} - 1));
  EXPECT_EQ(ids.ranges(), 2u);
}

TEST(UsedIds, AgreesWithASetInAnyOrder) {
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937_64 random(seed);
    const uint64_t span = 1 + random() % 300;
    UsedIds ids;
    std::set<uint64_t> model;
    for (int i = 0; i < 400; ++i) {
      const uint64_t id = random() % span;
      ASSERT_EQ(ids.Contains(id), model.contains(id)) << id;
      ASSERT_EQ(ids.Insert(id), model.insert(id).second) << id;
      ASSERT_FALSE(ids.Forgotten(id));
      size_t ranges = 0;
      for (uint64_t used : model) {
        if (used == 0 || !model.contains(used - 1)) ++ranges;
      }
      ASSERT_EQ(ids.ranges(), ranges);
    }
  }
}

TEST(UsedIds, BeyondItsBoundItClosesTheLowestGapAndForgetsNoUse) {
  UsedIds ids(/*max_ranges=*/4);
  for (uint64_t id = 10; id <= 1000; id += 10) ASSERT_TRUE(ids.Insert(id));
  EXPECT_EQ(ids.ranges(), 4u);
  for (uint64_t id = 10; id <= 1000; id += 10) {
    EXPECT_TRUE(ids.Contains(id));
    EXPECT_FALSE(ids.Insert(id));
  }
  // The gaps below 970 are closed, those above it are not.
  EXPECT_FALSE(ids.Insert(15));
  EXPECT_TRUE(ids.Forgotten(15));
  EXPECT_FALSE(ids.Forgotten(995));
  EXPECT_TRUE(ids.Insert(995));
  // Below the lowest id ever used nothing was closed.
  EXPECT_TRUE(ids.Insert(5));
}

}  // namespace
}  // namespace twostep
