#include "twostep/machine/buddy_allocator.h"

#include <cstdint>
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
SpaceRequest Order(int order) {
  SpaceRequest request = Units(uint64_t{1} << order);
  request.alignment = request.size;
  return request;
}
SpaceRequest Split(uint64_t size) {
  SpaceRequest request = Units(size);
  request.contiguous = false;
  return request;
}
SpaceBlock MustAllocate(BuddyAllocator& space, const SpaceRequest& request) {
  SpaceBlock block{};
  EXPECT_EQ(space.Allocate(request, &block), Kind::kNone);
  return block;
}
int SegmentsOf(const BuddyAllocator& space, uint32_t node) {
  int segments = 0;
  space.ForEachSegment(node, [&](uint64_t, uint64_t) { ++segments; });
  return segments;
}

// B11: each order once fits exactly and then is full; freed, it merges up to
// the largest order.
TEST(BuddyAllocator, EachOrderOnceFitsExactlyAndMergesBack) {
  constexpr int kOrders = 12;
  BuddyAllocator space(0, (uint64_t{1} << kOrders) - 1);
  for (int round = 0; round < 2; ++round) {
    std::vector<uint32_t> nodes;
    for (int order = 0; order < kOrders; ++order) {
      nodes.push_back(MustAllocate(space, Order(order)).node);
    }
    EXPECT_EQ(space.free(), 0u);
    SpaceBlock block{};
    EXPECT_EQ(space.Allocate(Order(0), &block), Kind::kFull);
    for (const uint32_t node : nodes) space.Free(node);
  }
  EXPECT_EQ(MustAllocate(space, Order(kOrders - 1)).start, 0u);
}

// B11: freeing pairs merges up to the largest order.
TEST(BuddyAllocator, FreedPairsMergeUpToTheLargestOrder) {
  constexpr int kOrder = 10;
  for (const int stride : {1, 3, 7, 1023}) {
    BuddyAllocator space(0, uint64_t{1} << kOrder);
    std::vector<uint32_t> nodes;
    for (int i = 0; i < 1 << kOrder; ++i) {
      nodes.push_back(MustAllocate(space, Units(1)).node);
    }
    SpaceBlock block{};
    for (int i = 0; i < 1 << kOrder; ++i) {
      EXPECT_NE(space.Allocate(Order(kOrder), &block), Kind::kNone);
      space.Free(nodes[(i * stride) % (1 << kOrder)]);
    }
    EXPECT_EQ(MustAllocate(space, Order(kOrder)).start, 0u);
  }
}

// B11: whittled-down space refuses any larger order.
TEST(BuddyAllocator, WhittledDownSpaceRefusesAnyLargerOrder) {
  constexpr int kOrder = 10;
  BuddyAllocator space(0, uint64_t{1} << kOrder);
  std::vector<uint32_t> nodes;
  for (int i = 0; i < 1 << kOrder; ++i) {
    nodes.push_back(MustAllocate(space, Units(1)).node);
  }
  for (int i = 0; i < 1 << kOrder; i += 2) space.Free(nodes[i]);
  EXPECT_EQ(space.largest_hole(), 1u);
  SpaceBlock block{};
  for (int order = 1; order <= kOrder - 1; ++order) {
    EXPECT_EQ(space.Allocate(Order(order), &block), Kind::kFragmented);
    EXPECT_EQ(space.Allocate(Units(uint64_t{1} << order), &block),
              Kind::kFragmented);
  }
  EXPECT_EQ(space.Allocate(Order(kOrder), &block), Kind::kFull);
  // Half of the space is free all the same, to whoever takes it in pieces.
  const SpaceBlock pieces = MustAllocate(space, Split(1 << (kOrder - 1)));
  EXPECT_EQ(SegmentsOf(space, pieces.node), 1 << (kOrder - 1));
  EXPECT_EQ(space.free(), 0u);
  space.Free(pieces.node);
  EXPECT_EQ(space.free(), uint64_t{1} << (kOrder - 1));
}

// B11: CONTIGUOUS refused unless contiguous, also sizes that are no power of
// two.
TEST(BuddyAllocator, ContiguousIsRefusedUnlessContiguous) {
  BuddyAllocator space(0, 64);
  std::vector<uint32_t> nodes;
  for (int i = 0; i < 64; ++i) {
    nodes.push_back(MustAllocate(space, Units(1)).node);
  }
  for (const int i : {4, 5, 6, 10, 11, 30}) space.Free(nodes[i]);
  SpaceBlock block{};
  EXPECT_EQ(space.Allocate(Units(4), &block), Kind::kFragmented);
  EXPECT_EQ(space.Allocate(Units(6), &block), Kind::kFragmented);
  EXPECT_EQ(MustAllocate(space, Units(3)).start, 4u);
  EXPECT_EQ(SegmentsOf(space, MustAllocate(space, Split(3)).node), 2);
  EXPECT_EQ(space.free(), 0u);
}

TEST(BuddyAllocator, SizesThatAreNoPowerOfTwoFitExactly) {
  for (const uint64_t capacity : {1u, 3u, 7u, 100u, 1000u, 1023u, 1025u}) {
    for (const uint64_t start : {uint64_t{0}, uint64_t{5}, uint64_t{1} << 40}) {
      BuddyAllocator space(start, capacity);
      EXPECT_EQ(space.largest_hole(), capacity);
      const SpaceBlock all = MustAllocate(space, Units(capacity));
      EXPECT_EQ(all.start, start);
      EXPECT_EQ(space.free(), 0u);
      space.Free(all.node);
      EXPECT_EQ(space.largest_hole(), capacity);
      SpaceBlock block{};
      EXPECT_EQ(space.Allocate(Units(capacity + 1), &block), Kind::kNeverFits);
    }
  }
}

TEST(BuddyAllocator, BothDirectionsStartAtTheirEnd) {
  BuddyAllocator space(0, 1024);
  SpaceRequest down = Order(4);
  down.direction = Direction::kTopDown;
  EXPECT_EQ(MustAllocate(space, Order(4)).start, 0u);
  EXPECT_EQ(MustAllocate(space, Order(4)).start, 16u);
  EXPECT_EQ(MustAllocate(space, down).start, 1008u);
  EXPECT_EQ(MustAllocate(space, down).start, 992u);
}

TEST(BuddyAllocator, SubRangeIsFilledAndNeverLeft) {
  for (const bool contiguous : {true, false}) {
    BuddyAllocator space(0, 1024);
    SpaceRequest request = Units(contiguous ? 8 : 90);
    request.contiguous = contiguous;
    request.first = 101;
    request.end = 201;
    const SpaceBlock first = MustAllocate(space, request);
    space.ForEachSegment(first.node, [](uint64_t start, uint64_t size) {
      EXPECT_GE(start, 101u);
      EXPECT_LE(start + size, 201u);
    });
    request.size = contiguous ? 93 : 11;
    SpaceBlock block{};
    EXPECT_EQ(space.Allocate(request, &block), Kind::kFragmented);
    EXPECT_EQ(space.Allocate(request, &block), Kind::kFragmented);
    space.Free(first.node);
    MustAllocate(space, request);
  }
}

TEST(BuddyAllocator, RefusedSplitLeavesEverythingAsItWas) {
  BuddyAllocator space(0, 1024);
  std::vector<uint32_t> nodes;
  for (int i = 0; i < 1024; ++i) {
    nodes.push_back(MustAllocate(space, Units(1)).node);
  }
  for (int i = 0; i < 512; i += 2) space.Free(nodes[i]);
  for (int i = 512; i < 1024; ++i) space.Free(nodes[i]);
  SpaceRequest request = Split(256 + 1);
  request.end = 512;
  SpaceBlock block{};
  EXPECT_EQ(space.Allocate(request, &block), Kind::kFragmented);
  EXPECT_EQ(space.free(), 768u);
  EXPECT_EQ(space.largest_hole(), 512u);
  space.Free(nodes[1]);
  EXPECT_EQ(space.Allocate(request, &block), Kind::kNone);
}

TEST(BuddyAllocatorDeathTest, FreeingTwiceStops) {
  BuddyAllocator space(0, 100);
  const uint32_t node = MustAllocate(space, Units(10)).node;
  space.Free(node);
  EXPECT_DEATH(space.Free(node), "CHECK|kFirst");
}

TEST(BuddyAllocator, AgreesWithABruteForceModel) {
  for (uint64_t seed = 0; seed < 12; ++seed) {
    SCOPED_TRACE(seed);
    AgainstModel<BuddyAllocator> small(seed * 37, 300 + seed * 13, seed, true);
    small.Run(4000, 40);
    AgainstModel<BuddyAllocator> wide(seed * 1001, 3000, seed, true);
    wide.Run(2500, 700);
    if (HasFatalFailure()) return;
  }
}

}  // namespace
}  // namespace twostep
