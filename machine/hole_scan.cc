#include "twostep/machine/hole_scan.h"

#include <algorithm>

namespace twostep {
namespace {

bool Overlap(uint64_t a_start, uint64_t a_end, uint64_t b_start,
             uint64_t b_end) {
  return a_start < b_end && b_start < a_end;
}

}  // namespace

HoleScan::~HoleScan() {
  for (const Freed& freed : freed_) space_.SetFarEnd(freed.node, 0);
}

bool HoleScan::Free(absl::Span<const uint32_t> nodes) {
  bool fits = false;
  for (const uint32_t node : nodes) {
    freed_.push_back({node, owners_});
    // Where several are in one run the last one sees all of it.
    fits |= Join(node);
  }
  ++owners_;
  return fits;
}

bool HoleScan::Join(uint32_t node) {
  if (freed_.size() == 1) {
    space_.SetFarEnd(node, node);
    const RangeAllocator::Surroundings around = space_.Around(node);
    if (!internal::PlaceInHole(around.hole_start, around.hole_end, request_,
                               &hole_start_)) {
      return false;
    }
    hole_end_ = hole_start_ + request_.size;
    fewest_ = 1;
    return true;
  }
  const uint32_t before = space_.BlockBefore(node);
  const uint32_t after = space_.BlockAfter(node);
  uint32_t first = node;
  uint32_t last = node;
  if (before != 0 && space_.far_end(before) != 0) {
    first = space_.far_end(before);
  }
  if (after != 0 && space_.far_end(after) != 0) last = space_.far_end(after);
  // Inside a run it only has to be marked.
  space_.SetFarEnd(node, node);
  space_.SetFarEnd(first, last);
  space_.SetFarEnd(last, first);
  const uint64_t start = space_.Around(first).hole_start;
  const uint64_t end = space_.Around(last).hole_end;
  uint64_t place;
  if (!internal::PlaceInHole(start, end, request_, &place)) return false;
  Choose(start, end);
  return true;
}

// The hole in the run that needs the fewest owners. Sliding a hole down until
// it would touch one block more costs nothing, so some best one starts as low
// as it can behind the start of the run or the end of a block. As it slides up,
// blocks come in above and go out below.
void HoleScan::Choose(uint64_t start, uint64_t end) {
  struct Extent {
    uint64_t start;
    uint64_t end;
    uint32_t owner;
  };
  absl::InlinedVector<Extent, 8> blocks;
  for (const Freed& freed : freed_) {
    const RangeAllocator::Surroundings around = space_.Around(freed.node);
    if (around.start >= start && around.end <= end) {
      blocks.push_back(Extent{around.start, around.end, freed.owner});
    }
  }
  std::sort(blocks.begin(), blocks.end(),
            [](const Extent& a, const Extent& b) { return a.start < b.start; });
  SpaceRequest request = request_;
  request.direction = Direction::kBottomUp;
  absl::InlinedVector<uint32_t, 8> blocks_of(owners_ + 1, 0);
  uint32_t needed = 0;
  size_t below = 0;
  size_t above = 0;
  for (size_t i = 0; i <= blocks.size(); ++i) {
    const uint64_t low = i == 0 ? start : blocks[i - 1].end;
    uint64_t place;
    if (!internal::PlaceInHole(low, end, request, &place)) break;
    const uint64_t past_place = place + request.size;
    while (above < blocks.size() && blocks[above].start < past_place) {
      if (blocks_of[blocks[above++].owner]++ == 0) ++needed;
    }
    while (below < above && blocks[below].end <= place) {
      if (--blocks_of[blocks[below++].owner] == 0) --needed;
    }
    if (needed < fewest_) {
      fewest_ = needed;
      hole_start_ = place;
      hole_end_ = past_place;
    }
  }
}

bool HoleScan::Needs(absl::Span<const uint32_t> nodes) const {
  return std::any_of(nodes.begin(), nodes.end(), [this](uint32_t node) {
    const RangeAllocator::Surroundings around = space_.Around(node);
    return Overlap(around.start, around.end, hole_start_, hole_end_);
  });
}

}  // namespace twostep
