#ifndef TESTS_MACHINE_SPACE_MODEL_H_
#define TESTS_MACHINE_SPACE_MODEL_H_

// A space so plain that it cannot be wrong: one byte a unit. Tests ask it where
// a request could go, by trying every address, and compare.

#include <algorithm>
#include <bit>
#include <cstdint>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "twostep/machine/space.h"
#include "twostep/machine/space_search.h"

namespace twostep {

class SpaceModel {
 public:
  SpaceModel(uint64_t start, uint64_t size) : start_(start), used_(size) {}

  // Every address: whether the request could be served by one run there.
  bool HasPlaceFor(const SpaceRequest& request) const {
    return CanHold(used_, request);
  }
  bool EmptyHasPlaceFor(const SpaceRequest& request) const {
    return CanHold(std::vector<uint8_t>(used_.size()), request);
  }
  // Whether segments could serve it: multiples of the alignment and a tail.
  bool CanSplit(const SpaceRequest& request) const {
    return CanSplitIn(used_, request);
  }
  bool EmptyCanSplit(const SpaceRequest& request) const {
    return CanSplitIn(std::vector<uint8_t>(used_.size()), request);
  }

  void Take(uint64_t start, uint64_t size) {
    ASSERT_GE(start, start_);
    ASSERT_LE(start - start_ + size, used_.size());
    for (uint64_t i = start - start_; i < start - start_ + size; ++i) {
      ASSERT_EQ(used_[i], 0) << "granted twice: " << start_ + i;
      used_[i] = 1;
    }
  }
  void Return(uint64_t start, uint64_t size) {
    for (uint64_t i = start - start_; i < start - start_ + size; ++i) {
      ASSERT_EQ(used_[i], 1);
      used_[i] = 0;
    }
  }
  bool IsUsed(uint64_t address) const { return used_[address - start_] != 0; }
  uint64_t free() const {
    return std::count(used_.begin(), used_.end(), uint8_t{0});
  }
  uint64_t largest_hole() const {
    uint64_t largest = 0, run = 0;
    for (const uint8_t used : used_) {
      run = used ? 0 : run + 1;
      largest = std::max(largest, run);
    }
    return largest;
  }

 private:
  bool CanHold(const std::vector<uint8_t>& used,
               const SpaceRequest& request) const {
    if (request.boundary != 0 && request.size > request.boundary) return false;
    uint64_t run = 0;  // free units that end with unit i
    for (uint64_t i = 0; i < used.size(); ++i) {
      const uint64_t address = start_ + i;
      const bool in =
          !used[i] && address >= request.first && address < request.end;
      run = in ? run + 1 : 0;
      if (run < request.size) continue;
      const uint64_t at = address + 1 - request.size;
      if (at % request.alignment != 0) continue;
      if (request.boundary == 0 ||
          at / request.boundary == address / request.boundary) {
        return true;
      }
    }
    return false;
  }
  bool CanSplitIn(const std::vector<uint8_t>& used,
                  const SpaceRequest& request) const {
    if (request.boundary != 0 && request.boundary < request.alignment) {
      return CanHold(used, request);
    }
    const uint64_t needed = request.size / request.alignment;
    const uint64_t tail = request.size % request.alignment;
    uint64_t wholes = 0;
    bool tail_fits = tail == 0;
    const auto fits = [&](uint64_t at, uint64_t size) {
      for (uint64_t a = at; a < at + size; ++a) {
        if (a < start_ || a - start_ >= used.size() || a < request.first ||
            a >= request.end || used[a - start_]) {
          return false;
        }
      }
      return true;
    };
    for (uint64_t at = start_ / request.alignment * request.alignment;
         at < start_ + used.size(); at += request.alignment) {
      if (fits(at, request.alignment)) {
        ++wholes;
      } else if (tail != 0 && fits(at, tail)) {
        tail_fits = true;
      }
    }
    return wholes >= needed + (tail_fits ? 0 : 1);
  }

  const uint64_t start_;
  std::vector<uint8_t> used_;
};

// Draws requests, blocks to free and sub-ranges, and holds an allocator to the
// model at each step. `Draws` gives the next number as a call.
template <typename Allocator, typename Draws = std::mt19937_64>
class AgainstModel {
 public:
  // `draws` is what `Draws` is made from: a seed.
  template <typename From>
  AgainstModel(uint64_t start, uint64_t size, From draws, bool can_split)
      : start_(start),
        size_(size),
        can_split_(can_split),
        random_(draws),
        space_(start, size),
        model_(start, size) {}

  void Run(int steps, uint64_t largest) {
    for (int step = 0; step < steps && !testing::Test::HasFatalFailure();
         ++step) {
      // Filled and drained in turn: both ends of the occupancy are seen.
      const bool filling = (step / 400) % 2 == 0;
      if (!live_.empty() && Below(10) < (filling ? 3u : 6u)) {
        FreeOne();
      } else {
        AllocateOne(Draw(largest));
      }
      ASSERT_EQ(space_.free(), model_.free());
      ASSERT_EQ(space_.used() + space_.free(), space_.capacity());
      if (step % 16 == 0) Audit();
    }
    while (!live_.empty() && !testing::Test::HasFatalFailure()) FreeOne();
    Audit();
    EXPECT_EQ(space_.largest_hole(), size_) << "all freed: one hole again";
  }

 private:
  struct Live {
    uint32_t node;
    SpaceRequest request;
  };

  uint64_t Below(uint64_t limit) { return random_() % limit; }

  SpaceRequest Draw(uint64_t largest) {
    SpaceRequest request;
    const uint64_t cap = uint64_t{1} << Below(std::bit_width(largest));
    request.size = 1 + Below(std::min(cap, largest));
    if (Below(3) == 0) request.alignment = uint64_t{1} << Below(8);
    if (Below(4) == 0) {
      request.first = start_ + Below(size_);
      request.end = request.first + 1 + Below(size_);
    }
    if (Below(4) == 0) request.boundary = uint64_t{1} << Below(9);
    if (Below(2) == 0) request.direction = Direction::kTopDown;
    request.contiguous = !can_split_ || Below(2) == 0;
    return request;
  }

  void AllocateOne(const SpaceRequest& request) {
    const bool split = can_split_ && !request.contiguous;
    const bool possible =
        split ? model_.CanSplit(request) : model_.HasPlaceFor(request);
    const bool ever = split ? model_.EmptyCanSplit(request)
                            : model_.EmptyHasPlaceFor(request);
    const Shortage::Kind expected = possible ? Shortage::Kind::kNone
                                    : !ever  ? Shortage::Kind::kNeverFits
                                    : request.size > model_.free()
                                        ? Shortage::Kind::kFull
                                        : Shortage::Kind::kFragmented;
    const Shortage before = space_.Describe(request);
    ASSERT_EQ(before.kind, expected) << Print(request);
    ASSERT_EQ(before.free, model_.free());
    ASSERT_EQ(before.largest_hole, model_.largest_hole());
    SpaceBlock block{};
    ASSERT_EQ(space_.Allocate(request, &block), expected) << Print(request);
    if (expected != Shortage::Kind::kNone) return;
    ASSERT_EQ(space_.BlockSize(block.node), request.size);
    CheckSegments(request, block);
    live_.push_back({block.node, request});
  }

  void CheckSegments(const SpaceRequest& request, const SpaceBlock& block) {
    uint64_t total = 0;
    int count = 0;
    space_.ForEachSegment(block.node, [&](uint64_t start, uint64_t size) {
      if (count++ == 0) {
        EXPECT_EQ(start, block.start);
      }
      EXPECT_EQ(total % request.alignment, 0u) << "only the last may be short";
      EXPECT_EQ(start % request.alignment, 0u);
      EXPECT_GE(start, request.first);
      EXPECT_LE(start + size, request.end);
      if (request.boundary != 0) {
        EXPECT_EQ(start / request.boundary,
                  (start + size - 1) / request.boundary);
      }
      total += size;
      model_.Take(start, size);
    });
    ASSERT_EQ(total, request.size);
    if (request.contiguous || !can_split_) {
      ASSERT_EQ(count, 1);
    }
  }

  void FreeOne() {
    std::swap(live_[Below(live_.size())], live_.back());
    space_.ForEachSegment(
        live_.back().node,
        [&](uint64_t start, uint64_t size) { model_.Return(start, size); });
    space_.Free(live_.back().node);
    live_.pop_back();
  }

  void Audit() {
    uint64_t at = start_;
    bool after_hole = false;
    space_.ForEachBlock([&](uint64_t start, uint64_t size, bool used) {
      ASSERT_EQ(start, at);
      ASSERT_GT(size, 0u);
      ASSERT_FALSE(after_hole && !used) << "two holes side by side at " << at;
      after_hole = !used;
      for (uint64_t i = 0; i < size; ++i) {
        ASSERT_EQ(model_.IsUsed(start + i), used);
      }
      at += size;
    });
    ASSERT_EQ(at, start_ + size_);
    ASSERT_EQ(space_.largest_hole(), model_.largest_hole());
  }

  static std::string Print(const SpaceRequest& r) {
    return "size " + std::to_string(r.size) + " alignment " +
           std::to_string(r.alignment) + " in [" + std::to_string(r.first) +
           ", " + std::to_string(r.end) + ") boundary " +
           std::to_string(r.boundary) +
           (r.direction == Direction::kTopDown ? " top down" : " bottom up") +
           (r.contiguous ? " contiguous" : " split");
  }

  const uint64_t start_;
  const uint64_t size_;
  const bool can_split_;
  Draws random_;
  Allocator space_;
  SpaceModel model_;
  std::vector<Live> live_;
};

}  // namespace twostep

#endif  // TESTS_MACHINE_SPACE_MODEL_H_
