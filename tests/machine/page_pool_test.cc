// B3 to B6 and S10: coherent memory, and the pools of blocks in front of it.

#include "twostep/machine/page_pool.h"

#include <cstring>
#include <map>
#include <random>
#include <set>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "twostep/machine/machine.h"

namespace twostep {
namespace {

using ::testing::Each;
using ::testing::Eq;

// Coherent memory of `bytes`, starting at a multiple of 2 MiB.
MachineConfig Config(uint64_t bytes) {
  MachineConfig config;
  config.dma32_bytes = bytes + 4 * kMiB;
  config.normal_bytes = 0;
  config.coherent_bytes = bytes;
  config.cma_bytes = 0;
  config.swap_bytes = 0;
  config.swiotlb.bytes = 0;
  return config;
}

class PagePools : public ::testing::Test {
 protected:
  explicit PagePools(uint64_t bytes = 8 * kMiB)
      : machine_(*Machine::Create(Config(bytes),
                                  {Backing::kBacked, Clock::Kind::kVirtual})) {}
  PagePool& pool() { return machine_->coherent_pool(); }
  uint64_t now() { return machine_->clock().now_ns(); }

  std::vector<FrameNumber> Take(size_t pages, Caching caching,
                                PagePool::Owner owner) {
    std::vector<FrameNumber> frames(pages);
    EXPECT_EQ(pool().Allocate(owner, caching, frames), Shortage::Kind::kNone);
    return frames;
  }
  std::vector<FrameNumber> Take(size_t pages,
                                Caching caching = Caching::kCached) {
    return Take(pages, caching, &device_);
  }
  // Lengths of the runs of neighbouring frames.
  static std::vector<size_t> Runs(const std::vector<FrameNumber>& frames) {
    std::vector<size_t> runs;
    for (size_t i = 0; i < frames.size(); ++i) {
      if (i == 0 || frames[i] != frames[i - 1] + 1) runs.push_back(0);
      ++runs.back();
    }
    return runs;
  }

  const int device_ = 0;
  const int other_device_ = 0;
  std::unique_ptr<Machine> machine_;
};

TEST_F(PagePools, B3_OnePageSeveralAndMoreThanTheLargestOrder) {
  EXPECT_EQ(Take(1).size(), 1);
  EXPECT_EQ(pool().used_frames(), 1);
  // 1 + 2 + 4: the largest orders first, then the rest.
  const auto seven = Take(7);
  EXPECT_EQ(seven[0] % 4, 0);
  EXPECT_EQ(seven[3], seven[0] + 3);
  EXPECT_EQ(seven[4] % 2, 0);
  EXPECT_EQ(pool().used_frames(), 8);
  // 2 MiB twice, then 256 KiB, then a page.
  const uint64_t misses = pool().stats().misses;
  const auto large = Take(512 + 512 + 64 + 1);
  EXPECT_EQ(pool().stats().misses - misses, 4);
  for (const size_t first : {0, 512, 1024}) {
    EXPECT_EQ(large[first] % 64, 0) << first;
    for (size_t i = 1; i < 64; ++i) {
      ASSERT_EQ(large[first + i], large[first] + i) << first;
    }
  }
  EXPECT_EQ(std::set<FrameNumber>(large.begin(), large.end()).size(),
            large.size());
}

TEST_F(PagePools, B3_TheWholeMemoryCanBeHadAndNotAPageMore) {
  const auto all = Take(pool().frames());
  EXPECT_EQ(std::set<FrameNumber>(all.begin(), all.end()).size(),
            pool().frames());
  FrameNumber more;
  EXPECT_EQ(pool().Allocate(&device_, Caching::kCached, {&more, 1}),
            Shortage::Kind::kFull);
  EXPECT_EQ(pool().Describe(1).kind, Shortage::Kind::kFull);
  std::vector<FrameNumber> too_many(pool().frames() + 1);
  EXPECT_EQ(pool().Allocate(&device_, Caching::kCached, too_many),
            Shortage::Kind::kNeverFits);
  EXPECT_EQ(pool().used_frames(), pool().frames());
  pool().Free(all);
  EXPECT_EQ(pool().used_frames(), 0);
}

TEST_F(PagePools, B5_ABlockOfTheSameOrderAndModeIsUsedAgain) {
  for (const Caching caching :
       {Caching::kCached, Caching::kWriteCombined, Caching::kUncached}) {
    const auto block = Take(16, caching);
    pool().Free(block);
    EXPECT_EQ(pool().cached_blocks(&device_, caching, 4), 1);
    EXPECT_EQ(pool().cached_frames(), 16);
    EXPECT_EQ(pool().used_frames(), 0);
    const uint64_t hits = pool().stats().hits;
    EXPECT_EQ(Take(16, caching), block);
    EXPECT_EQ(pool().stats().hits, hits + 1);
    EXPECT_EQ(pool().cached_frames(), 0);
    pool().Free(block);
    pool().GiveBack(16);
  }
}

TEST_F(PagePools, B5_OfAnotherModeItIsNot) {
  const auto block = Take(16, Caching::kWriteCombined);
  pool().Free(block);
  for (const Caching caching : {Caching::kCached, Caching::kUncached}) {
    EXPECT_NE(Take(16, caching), block);
  }
  EXPECT_EQ(pool().stats().hits, 0);
  EXPECT_EQ(pool().cached_blocks(&device_, Caching::kWriteCombined, 4), 1);
}

TEST_F(PagePools, S10_OfAnotherDeviceItIsNot) {
  const auto block = Take(16);
  pool().Free(block);
  EXPECT_NE(Take(16, Caching::kCached, &other_device_), block);
  EXPECT_EQ(pool().stats().hits, 0);
  EXPECT_EQ(Take(16), block);
}

TEST_F(PagePools, B5_ALargerOrderIsNotSplit) {
  const auto large = Take(64);
  pool().Free(large);
  const auto small = Take(32);
  EXPECT_EQ(pool().stats().hits, 0);
  EXPECT_EQ(pool().cached_blocks(&device_, Caching::kCached, 6), 1);
  for (const FrameNumber frame : small) {
    EXPECT_FALSE(frame >= large.front() && frame <= large.back()) << frame;
  }
  // Smaller ones serve a part of a larger request only where its order ends.
  pool().Free(small);
  Take(96);
  EXPECT_EQ(pool().stats().hits, 2);
}

TEST_F(PagePools, B6_EachBlockReturnsToThePoolOfItsOrderAndMode) {
  const auto mixed = Take(512 + 8 + 1, Caching::kUncached);
  const auto cached = Take(8);
  pool().Free(mixed);
  pool().Free(cached);
  for (int order = 0; order <= PagePool::kMaxOrder; ++order) {
    EXPECT_EQ(pool().cached_blocks(&device_, Caching::kUncached, order),
              order == 9 || order == 3 || order == 0)
        << order;
    EXPECT_EQ(pool().cached_blocks(&device_, Caching::kCached, order),
              order == 3)
        << order;
    EXPECT_EQ(pool().cached_blocks(&device_, Caching::kWriteCombined, order),
              0);
  }
}

TEST_F(PagePools, B6_TeardownOfAnOwnerEmptiesItsPoolsAlsoOfWhatComesLate) {
  const auto early = Take(512, Caching::kUncached);
  const auto late = Take(16);
  const auto others = Take(16, Caching::kCached, &other_device_);
  pool().Free(early);
  pool().Forget(&device_);
  EXPECT_EQ(pool().cached_frames(), 0);
  pool().Free(late);
  EXPECT_EQ(pool().cached_frames(), 0);
  pool().Free(others);
  EXPECT_EQ(pool().cached_frames(), 16);
  EXPECT_EQ(pool().used_frames(), 0);
  // All blocks have merged again.
  pool().Forget(&other_device_);
  EXPECT_THAT(Runs(Take(pool().frames())), ::testing::SizeIs(1));
}

TEST_F(PagePools, S10_CachedBlocksAreGivenBackBeforeTheMemoryIsFull) {
  std::vector<std::vector<FrameNumber>> singles;
  for (uint64_t i = 0; i < pool().frames(); ++i) {
    singles.push_back(Take(1, Caching::kUncached));
  }
  for (const auto& single : singles) pool().Free(single);
  EXPECT_EQ(pool().cached_frames(), pool().frames());
  // Another device, another mode, another order: all of it must be had.
  const auto all = Take(pool().frames(), Caching::kCached, &other_device_);
  EXPECT_EQ(pool().cached_frames(), 0);
  EXPECT_EQ(pool().stats().given_back_pages, pool().frames());
  pool().Free(all);
}

TEST_F(PagePools, S10_GiveBackTakesFromEachPoolInTurnAndNoMoreThanAsked) {
  std::vector<std::vector<FrameNumber>> blocks;
  for (int i = 0; i < 8; ++i) {
    blocks.push_back(Take(16, Caching::kCached));
    blocks.push_back(Take(16, Caching::kUncached));
    blocks.push_back(Take(16, Caching::kCached, &other_device_));
  }
  for (const auto& block : blocks) pool().Free(block);
  EXPECT_EQ(pool().GiveBack(3 * 16), 3 * 16);
  EXPECT_EQ(pool().cached_blocks(&device_, Caching::kCached, 4), 7);
  EXPECT_EQ(pool().cached_blocks(&device_, Caching::kUncached, 4), 7);
  EXPECT_EQ(pool().cached_blocks(&other_device_, Caching::kCached, 4), 7);
  EXPECT_EQ(pool().GiveBack(0), 0);
  EXPECT_EQ(pool().GiveBack(1), 16);  // whole blocks
  EXPECT_EQ(pool().GiveBack(~uint64_t{0}), 20 * 16);
  EXPECT_EQ(pool().GiveBack(1), 0);
}

TEST_F(PagePools, S10_SettingAModeCostsAndAHitDoesNot) {
  const CostModel& cost = machine_->cost();
  const uint64_t once = cost.set_caching_ns + 16 * cost.set_caching_page_ns;
  uint64_t before = now();
  const auto uncached = Take(16, Caching::kUncached);
  EXPECT_EQ(now() - before, once);
  before = now();
  pool().Free(uncached);
  EXPECT_EQ(Take(16, Caching::kUncached), uncached);
  EXPECT_EQ(now() - before, 0);
  pool().Free(uncached);
  pool().GiveBack(16);
  EXPECT_EQ(now() - before, once);
  // Fresh frames are cached as they are.
  before = now();
  pool().Free(Take(16));
  pool().GiveBack(16);
  EXPECT_EQ(now() - before, 0);
}

// Random requests against a model of who has which frame.
TEST_F(PagePools, RandomRequestsNeverShareAFrameAndTheAccountsAddUp) {
  std::mt19937_64 random(7);
  const PagePool::Owner owners[] = {&device_, &other_device_, &random};
  std::vector<std::vector<FrameNumber>> live;
  std::map<FrameNumber, int> taken;
  uint64_t used = 0;
  for (int step = 0; step < 20'000; ++step) {
    if (random() % 2 == 0 || live.empty()) {
      std::vector<FrameNumber> frames(1 + random() % (random() % 8 ? 40 : 700));
      const Shortage::Kind kind = pool().Allocate(
          owners[random() % 3], static_cast<Caching>(random() % 3), frames);
      ASSERT_EQ(kind == Shortage::Kind::kNone,
                used + frames.size() <= pool().frames());
      if (kind != Shortage::Kind::kNone) continue;
      for (const FrameNumber frame : frames) {
        ASSERT_TRUE(pool().Contains(frame));
        ASSERT_EQ(taken[frame]++, 0) << frame;
      }
      used += frames.size();
      live.push_back(std::move(frames));
    } else {
      std::swap(live[random() % live.size()], live.back());
      for (const FrameNumber frame : live.back()) --taken[frame];
      used -= live.back().size();
      pool().Free(live.back());
      live.pop_back();
    }
    if (random() % 500 == 0) pool().GiveBack(random() % 1000);
    if (random() % 1000 == 0) pool().Forget(owners[random() % 3]);
    ASSERT_EQ(pool().used_frames(), used);
    ASSERT_LE(used + pool().cached_frames(), pool().frames());
  }
  for (const auto& frames : live) pool().Free(frames);
  EXPECT_EQ(pool().used_frames(), 0);
  pool().GiveBack(~uint64_t{0});
  EXPECT_THAT(Runs(Take(pool().frames())), Each(Eq(pool().frames())));
}

}  // namespace
}  // namespace twostep
