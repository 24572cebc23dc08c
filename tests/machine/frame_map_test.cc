#include "twostep/machine/frame_map.h"

#include <memory>
#include <random>
#include <set>
#include <vector>

#include "gtest/gtest.h"

namespace twostep {
namespace {

class FrameMapTest : public testing::Test {
 protected:
  std::unique_ptr<ExchangePool> pool_ = *ExchangePool::Create(8 * kMiB);
};

// Over zones, block edges and all: no two neighbours are neighbours there.
TEST_F(FrameMapTest, NeighboursAreNotNeighboursOnTheBus) {
  FrameMap map(*pool_);
  for (const FrameNumber start : {FrameNumber{0}, FrameNumber{1} << 20}) {
    std::set<FrameNumber> seen;
    for (FrameNumber frame = start; frame < start + 4096; ++frame) {
      const FrameNumber bus = map.BusOf(frame);
      EXPECT_NE(bus + 1, map.BusOf(frame + 1));
      EXPECT_NE(bus, map.BusOf(frame + 1) + 1);
      EXPECT_EQ(map.FrameAt(bus), frame);
      EXPECT_TRUE(seen.insert(bus).second);
      // A mask of 24 bits or more cuts both alike.
      EXPECT_EQ(bus / 512, frame / 512);
    }
  }
}

TEST_F(FrameMapTest, AnExchangeMakesNeighboursBelowFourGiBAndGivesTheRestUp) {
  FrameMap map(*pool_);
  const FrameNumber first = 1024;
  const FrameNumber was = map.BusOf(first + 3);
  ASSERT_TRUE(map.Exchange(first, 5));
  const FrameNumber bus = map.BusOf(first);
  EXPECT_EQ(bus % 32, 0);
  EXPECT_LE(bus + 31, map.highest_exchanged());
  EXPECT_LT(PagesToBytes(bus + 31), 4 * kGiB);
  for (FrameNumber i = 0; i < 32; ++i) {
    EXPECT_EQ(map.BusOf(first + i), bus + i);
    EXPECT_EQ(map.FrameAt(bus + i), first + i);
  }
  // The old place is the hypervisor's, and the next frame where it was.
  EXPECT_EQ(map.FrameAt(was), kNoFrame);
  EXPECT_EQ(map.FrameAt(map.BusOf(first + 32)), first + 32);
  EXPECT_EQ(map.exchanged_frames(), 32);
  EXPECT_EQ(pool_->used_frames(), 32);
  map.Return(first);
  EXPECT_EQ(map.BusOf(first + 3), was);
  EXPECT_EQ(map.FrameAt(was), first + 3);
  EXPECT_EQ(map.FrameAt(bus), kNoFrame);
  EXPECT_EQ(pool_->used_frames(), 0);
}

TEST_F(FrameMapTest, GuestsShareThePoolAndAreRefusedWhenItIsOut) {
  FrameMap a(*pool_);
  FrameMap b(*pool_);
  EXPECT_TRUE(a.Exchange(0, FrameMap::kMaxOrder));
  EXPECT_TRUE(a.Exchange(512, FrameMap::kMaxOrder));
  EXPECT_TRUE(b.Exchange(0, FrameMap::kMaxOrder));
  EXPECT_TRUE(b.Exchange(512, FrameMap::kMaxOrder));
  const FrameNumber before = b.BusOf(1024);
  EXPECT_FALSE(b.Exchange(1024, 0));
  EXPECT_EQ(b.BusOf(1024), before);
  EXPECT_EQ(b.FrameAt(before), 1024);
  // What is one guest's there is not the other's.
  EXPECT_EQ(a.FrameAt(b.BusOf(0)), kNoFrame);
  EXPECT_EQ(b.FrameAt(a.BusOf(0)), kNoFrame);
  a.Return(512);
  EXPECT_TRUE(b.Exchange(1024, 3));
  a.Return(0);
  for (const FrameNumber first : {0, 512, 1024}) b.Return(first);
  EXPECT_EQ(pool_->used_frames(), 0);
}

TEST_F(FrameMapTest, TheMapIsOneToOneAfterAnyExchanges) {
  FrameMap map(*pool_);
  std::mt19937 random(3);
  constexpr FrameNumber kFrames = 4096;
  std::vector<int> order(kFrames, -1);  // of what is exchanged there
  std::vector<bool> taken(kFrames);
  for (int step = 0; step < 400; ++step) {
    const int o = static_cast<int>(random() % 7);
    const FrameNumber size = FrameNumber{1} << o;
    const FrameNumber first = random() % (kFrames / size) * size;
    if (order[first] >= 0) {
      for (FrameNumber i = 0; i < FrameNumber{1} << order[first]; ++i) {
        taken[first + i] = false;
      }
      map.Return(first);
      order[first] = -1;
    } else {
      bool free = true;
      for (FrameNumber i = 0; i < size; ++i) free &= !taken[first + i];
      if (!free || !map.Exchange(first, o)) continue;
      order[first] = o;
      for (FrameNumber i = 0; i < size; ++i) taken[first + i] = true;
    }
  }
  EXPECT_GT(map.exchanged_frames(), 0);
  std::set<FrameNumber> seen;
  for (FrameNumber frame = 0; frame < kFrames; ++frame) {
    EXPECT_TRUE(seen.insert(map.BusOf(frame)).second);
    EXPECT_EQ(map.FrameAt(map.BusOf(frame)), frame);
  }
  for (FrameNumber frame = 0; frame < kFrames; ++frame) {
    if (order[frame] >= 0) map.Return(frame);
  }
}

TEST(ExchangePoolTest, ASizeThatMakesNoSenseIsRefused) {
  for (const uint64_t bytes : {uint64_t{0}, kMiB, 4 * kGiB}) {
    EXPECT_EQ(ExchangePool::Create(bytes).status().code(),
              absl::StatusCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace twostep
