#include "twostep/machine/range_allocator.h"

#include <cmath>
#include <cstdint>
#include <random>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "tests/machine/space_model.h"

namespace twostep {
namespace {

using Kind = Shortage::Kind;

SpaceRequest Units(uint64_t size) {
  SpaceRequest request;
  request.size = size;
  return request;
}
SpaceRequest FromTop(uint64_t size) {
  SpaceRequest request = Units(size);
  request.direction = Direction::kTopDown;
  return request;
}
SpaceBlock MustAllocate(RangeAllocator& space, const SpaceRequest& request) {
  SpaceBlock block{};
  EXPECT_EQ(space.Allocate(request, &block), Kind::kNone);
  return block;
}

// B10: first from the bottom, TOPDOWN from the top.
TEST(RangeAllocator, FreshSpaceIsTakenFromTheBottomAndFromTheTop) {
  RangeAllocator space(100, 1000);
  EXPECT_EQ(MustAllocate(space, Units(10)).start, 100u);
  EXPECT_EQ(MustAllocate(space, Units(20)).start, 110u);
  EXPECT_EQ(MustAllocate(space, FromTop(30)).start, 1070u);
  EXPECT_EQ(MustAllocate(space, FromTop(40)).start, 1030u);
  EXPECT_EQ(MustAllocate(space, Units(900)).start, 130u);
  EXPECT_EQ(space.free(), 0u);
  EXPECT_EQ(space.largest_hole(), 0u);
}

// B10: among holes that fit alike, the lowest, TOPDOWN the highest.
TEST(RangeAllocator, EqualHolesAreTakenInTheDirectionOfTheRequest) {
  for (const Direction direction :
       {Direction::kBottomUp, Direction::kTopDown}) {
    RangeAllocator space(0, 60);
    std::vector<uint32_t> nodes;
    for (int i = 0; i < 6; ++i) {
      nodes.push_back(MustAllocate(space, Units(10)).node);
    }
    for (const int i : {2, 4, 0}) space.Free(nodes[i]);
    SpaceRequest request = Units(10);
    request.direction = direction;
    EXPECT_EQ(MustAllocate(space, request).start,
              direction == Direction::kBottomUp ? 0u : 40u);
  }
}

// B10: a hole between two allocations is found.
TEST(RangeAllocator, HoleBetweenTwoBlocksIsFound) {
  RangeAllocator space(0, 300);
  MustAllocate(space, Units(100));
  const SpaceBlock middle = MustAllocate(space, Units(100));
  MustAllocate(space, Units(100));
  space.Free(middle.node);
  EXPECT_EQ(MustAllocate(space, Units(100)).start, 100u);
}

// B10: every power-of-two alignment up to the top of the address space.
TEST(RangeAllocator, EveryAlignmentUpToTheTopOfTheAddressSpaceIsServed) {
  for (const Direction direction :
       {Direction::kBottomUp, Direction::kTopDown}) {
    for (int bit = 0; bit < 64; ++bit) {
      const uint64_t alignment = uint64_t{1} << bit;
      RangeAllocator space(1, ~uint64_t{0} - 1);
      SpaceRequest request = Units(1);
      request.alignment = alignment;
      request.direction = direction;
      SpaceBlock block{};
      ASSERT_EQ(space.Allocate(request, &block), Kind::kNone) << bit;
      EXPECT_EQ(block.start % alignment, 0u);
      EXPECT_NE(block.start, 0u);
      EXPECT_EQ(block.start, direction == Direction::kBottomUp
                                 ? alignment
                                 : (~uint64_t{0} - 1) / alignment * alignment);
      space.Free(block.node);
      EXPECT_EQ(space.largest_hole(), space.capacity());
      // With only that address left it is still found.
      RangeAllocator narrow(alignment - (bit > 0 ? 1 : 0), bit > 0 ? 2 : 1);
      ASSERT_EQ(narrow.Allocate(request, &block), Kind::kNone) << bit;
      EXPECT_EQ(block.start, alignment);
      EXPECT_NE(narrow.Allocate(request, &block), Kind::kNone);
    }
  }
}

TEST(RangeAllocator, WholeAddressSpaceIsOneBlock) {
  RangeAllocator space(0, ~uint64_t{0});
  const SpaceBlock all = MustAllocate(space, Units(~uint64_t{0}));
  EXPECT_EQ(space.free(), 0u);
  SpaceBlock block{};
  EXPECT_EQ(space.Allocate(Units(1), &block), Kind::kFull);
  space.Free(all.node);
  EXPECT_EQ(space.largest_hole(), ~uint64_t{0});
}

// B10: sub-ranges (fpfn, lpfn) never left.
TEST(RangeAllocator, SubRangeIsFilledAndNeverLeft) {
  RangeAllocator space(0, 1000);
  SpaceRequest request = Units(7);
  request.first = 100;
  request.end = 200;
  SpaceBlock block{};
  int served = 0;
  while (space.Allocate(request, &block) == Kind::kNone) {
    EXPECT_GE(block.start, 100u);
    EXPECT_LE(block.start + 7, 200u);
    request.direction =
        ++served % 2 == 0 ? Direction::kBottomUp : Direction::kTopDown;
  }
  EXPECT_EQ(served, 14);
  EXPECT_EQ(space.Allocate(request, &block), Kind::kFragmented);
  request.size = 101;
  EXPECT_EQ(space.Allocate(request, &block), Kind::kNeverFits);
}

TEST(RangeAllocator, ShortagesHaveTheirOwnNames) {
  RangeAllocator space(0, 100);
  std::vector<uint32_t> nodes;
  for (int i = 0; i < 10; ++i) {
    nodes.push_back(MustAllocate(space, Units(10)).node);
  }
  SpaceBlock block{};
  EXPECT_EQ(space.Allocate(Units(1), &block), Kind::kFull);
  EXPECT_EQ(space.Allocate(Units(101), &block), Kind::kNeverFits);
  space.Free(nodes[2]);
  space.Free(nodes[6]);
  EXPECT_EQ(space.Allocate(Units(20), &block), Kind::kFragmented);
  EXPECT_EQ(space.Allocate(Units(21), &block), Kind::kFull);
  const Shortage shortage = space.Describe(Units(20));
  EXPECT_EQ(shortage.kind, Kind::kFragmented);
  EXPECT_EQ(shortage.free, 20u);
  EXPECT_EQ(shortage.largest_hole, 10u);
}

// What eviction relies on: refused again and again, served once it fits.
TEST(RangeAllocator, RefusedRequestIsServedOnceAHoleGrowsToFit) {
  RangeAllocator space(0, 1 << 16);
  std::vector<uint32_t> nodes;
  for (int i = 0; i < 1 << 12; ++i) {
    nodes.push_back(MustAllocate(space, Units(16)).node);
  }
  SpaceRequest request = Units(48);
  request.alignment = 32;
  SpaceBlock block{};
  // 1 and 2 join to 32 units at 16, 3 makes 48 at 16, 4 makes 48 at 32.
  for (const int i : {1, 2, 3}) {
    space.Free(nodes[i]);
    EXPECT_NE(space.Allocate(request, &block), Kind::kNone);
    EXPECT_NE(space.Allocate(request, &block), Kind::kNone);
  }
  space.Free(nodes[4]);
  ASSERT_EQ(space.Allocate(request, &block), Kind::kNone);
  EXPECT_EQ(block.start, 32u);
}

TEST(RangeAllocator, ManyHolesOfOneBinAreAllSearched) {
  // Holes of 1000 and one of 1005 share a bin; only the last can serve 1004.
  constexpr int kHoles = 500;
  RangeAllocator space(0, 1001 * kHoles + 5);
  std::vector<uint32_t> nodes;
  for (int i = 0; i < kHoles; ++i) {
    nodes.push_back(MustAllocate(space, Units(i == 250 ? 1005 : 1000)).node);
    MustAllocate(space, Units(1));
  }
  space.Free(nodes[250]);
  for (int i = 0; i < kHoles; ++i) {
    if (i != 250) space.Free(nodes[i]);
  }
  EXPECT_EQ(space.largest_hole(), 1005u);
  EXPECT_EQ(MustAllocate(space, Units(1004)).start, 250u * 1001);
  SpaceBlock block{};
  EXPECT_EQ(space.Allocate(Units(1004), &block), Kind::kFragmented);
}

// Ten thousand blocks of all sizes from a page to 64 MiB come and go in a space
// that stays full to 90 %: none is refused, and a part of what is free stays in
// one piece.
TEST(RangeAllocator, KeepsALargeHoleAmongBlocksOfAllSizes) {
  constexpr uint64_t kSpace = 18'700'000;
  constexpr int kSettled = 200'000;  // after each was replaced twenty times
  constexpr int kSteps = 300'000;
  for (const Direction direction :
       {Direction::kBottomUp, Direction::kTopDown}) {
    RangeAllocator space(0, kSpace);
    std::mt19937_64 random(7);
    std::uniform_real_distribution<double> log(0, 14);
    std::vector<uint32_t> live;
    double share = 0;
    for (int step = 0; step < kSteps;) {
      if (space.used() < kSpace / 10 * 9) {
        SpaceRequest request =
            Units(static_cast<uint64_t>(std::exp2(log(random))));
        request.direction = direction;
        SpaceBlock block{};
        ASSERT_EQ(space.Allocate(request, &block), Kind::kNone) << step;
        live.push_back(block.node);
        continue;
      }
      std::swap(live[random() % live.size()], live.back());
      space.Free(live.back());
      live.pop_back();
      if (++step <= kSettled) continue;
      share += static_cast<double>(space.largest_hole()) /
               static_cast<double>(space.free());
    }
    EXPECT_GE(share / (kSteps - kSettled), 0.15);
  }
}

TEST(RangeAllocatorDeathTest, FreeingTwiceStops) {
  RangeAllocator space(0, 100);
  const uint32_t node = MustAllocate(space, Units(10)).node;
  space.Free(node);
  EXPECT_DEATH(space.Free(node), "CHECK|kBlock");
}

TEST(RangeAllocator, AgreesWithABruteForceModel) {
  for (uint64_t seed = 0; seed < 12; ++seed) {
    SCOPED_TRACE(seed);
    AgainstModel<RangeAllocator> small(seed * 37, 300 + seed * 13, seed, false);
    small.Run(4000, 40);
    AgainstModel<RangeAllocator> wide(seed * 1001, 3000, seed, false);
    wide.Run(2500, 700);
    if (HasFatalFailure()) return;
  }
}

}  // namespace
}  // namespace twostep
