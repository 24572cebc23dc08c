#include "twostep/machine/hole_scan.h"

#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <vector>

#include "gtest/gtest.h"

namespace twostep {
namespace {

constexpr uint64_t kPages = 256;

// A space in pages, each of which knows its block, 0 for a hole.
class Space {
 public:
  explicit Space(uint64_t seed) : random_(seed), owner_(kPages, 0) {
    SpaceBlock block;
    for (;;) {
      const uint64_t size = 1 + random_() % 8;
      if (allocator.Allocate(SpaceRequest{.size = size}, &block) !=
          Shortage::Kind::kNone) {
        break;
      }
      blocks.push_back(block.node);
      for (uint64_t i = 0; i < size; ++i) owner_[block.start + i] = block.node;
    }
    std::shuffle(blocks.begin(), blocks.end(), random_);
    for (size_t n = blocks.size() / 8; n > 0; --n) {
      allocator.Free(blocks.back());
      Forget(blocks.back());
      blocks.pop_back();
    }
  }

  void Forget(uint32_t node) {
    for (uint32_t& owner : owner_) {
      if (owner == node) owner = 0;
    }
  }
  bool Fits(const SpaceRequest& request) const {
    for (uint64_t at = 0; at + request.size <= kPages; ++at) {
      if (FitsAt(request, at)) return true;
    }
    return false;
  }
  bool FitsAt(const SpaceRequest& request, uint64_t at) const {
    if (at % request.alignment != 0 || at < request.first ||
        at + request.size > request.end) {
      return false;
    }
    for (uint64_t i = 0; i < request.size; ++i) {
      if (owner_[at + i] != 0) return false;
    }
    return true;
  }

  uint32_t owner(uint64_t at) const { return owner_[at]; }

  RangeAllocator allocator{0, kPages};
  std::vector<uint32_t> blocks;  // in random order

 private:
  std::mt19937_64 random_;
  std::vector<uint32_t> owner_;
};

TEST(HoleScan, FindsAHoleWithTheFirstBlockThatMakesOneAndNamesWhatIsInIt) {
  for (uint64_t seed = 0; seed < 2000; ++seed) {
    Space space(seed);
    SpaceRequest request{.size = 2 + seed % 40,
                         .alignment = uint64_t{1} << (seed / 40 % 4)};
    if (seed % 3 == 0) request.first = 100;
    if (seed % 5 == 0) request.end = 200;
    if (space.Fits(request)) continue;
    std::vector<uint32_t> needed;
    {
      Space after = Space(seed);
      HoleScan scan(space.allocator, request);
      for (const uint32_t node : space.blocks) {
        after.Forget(node);
        const bool found = scan.Free({node});
        ASSERT_EQ(found, after.Fits(request)) << "seed " << seed;
        if (found) break;
      }
      for (const uint32_t node : space.blocks) {
        if (scan.Needs({node})) needed.push_back(node);
      }
    }
    for (const uint32_t node : needed) {
      ASSERT_FALSE(space.Fits(request)) << "more than it needs, seed " << seed;
      space.allocator.Free(node);
      space.Forget(node);
    }
    SpaceBlock block;
    ASSERT_EQ(space.allocator.Allocate(request, &block), Shortage::Kind::kNone)
        << "seed " << seed;
  }
}

// Owners of several blocks each: the hole is one that the fewest stand in.
TEST(HoleScan, AnOwnerOfSeveralBlocksCountsOnce) {
  constexpr size_t kNever = ~size_t{0};
  int several = 0;
  for (uint64_t seed = 0; seed < 300; ++seed) {
    Space space(seed);
    const SpaceRequest request{.size = 4 + seed % 30,
                               .alignment = uint64_t{1} << (seed / 30 % 4)};
    if (space.Fits(request)) continue;
    std::vector<std::vector<uint32_t>> owners;
    std::map<uint32_t, size_t> owner_of{{0, kNever}};
    for (size_t i = 0; i < space.blocks.size();) {
      const size_t end = std::min(i + 1 + seed % 4, space.blocks.size());
      owners.emplace_back();
      for (; i < end; ++i) {
        owner_of[space.blocks[i]] = owners.size() - 1;
        owners.back().push_back(space.blocks[i]);
      }
    }
    std::vector<size_t> owner_at;
    for (uint64_t i = 0; i < kPages; ++i) {
      owner_at.push_back(owner_of[space.owner(i)]);
    }
    // When only the first `freed` may go.
    const auto fewest = [&](size_t freed) {
      size_t best = kNever;
      for (uint64_t at = 0; at + request.size <= kPages;
           at += request.alignment) {
        std::set<size_t> in_the_way(&owner_at[at],
                                    &owner_at[at] + request.size);
        in_the_way.erase(kNever);
        if (in_the_way.empty() || *in_the_way.rbegin() < freed) {
          best = std::min(best, in_the_way.size());
        }
      }
      return best;
    };
    HoleScan scan(space.allocator, request);
    size_t freed = 0;
    bool found = false;
    while (!found && freed < owners.size()) {
      found = scan.Free(owners[freed++]);
      ASSERT_EQ(found, fewest(freed) != kNever) << "seed " << seed;
    }
    if (!found) continue;
    size_t needed = 0;
    for (size_t o = 0; o < freed; ++o) needed += scan.Needs(owners[o]);
    EXPECT_EQ(needed, fewest(freed)) << "seed " << seed;
    several += needed > 1;
  }
  EXPECT_GT(several, 50);
}

TEST(HoleScan, LeavesNoTraceForTheNextOne) {
  Space space(1);
  const SpaceRequest request{.size = 30};
  for (int again = 0; again < 3; ++again) {
    HoleScan scan(space.allocator, request);
    size_t freed = 0;
    while (!scan.Free({space.blocks[freed]})) ++freed;
    static size_t first_time;
    if (again == 0) first_time = freed;
    EXPECT_EQ(freed, first_time);
    EXPECT_GT(freed, 5);
  }
}

}  // namespace
}  // namespace twostep
