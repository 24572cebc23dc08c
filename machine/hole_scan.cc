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
  for (const uint32_t node : freed_) space_.SetFarEnd(node, 0);
}

bool HoleScan::Free(uint32_t node) {
  freed_.push_back(node);
  if (freed_.size() == 1) {
    const RangeAllocator::Surroundings around = space_.Around(node);
    if (internal::PlaceInHole(around.hole_start, around.hole_end, request_,
                              &hole_start_)) {
      hole_end_ = hole_start_ + request_.size;
      return true;
    }
    space_.SetFarEnd(node, node);
    return false;
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

// The hole in the run that needs the fewest blocks. Sliding a hole down until
// it would touch one block more costs nothing, so some best one starts as low
// as it can behind the start of the run or the end of a block.
void HoleScan::Choose(uint64_t start, uint64_t end) {
  struct Extent {
    uint64_t start;
    uint64_t end;
  };
  absl::InlinedVector<Extent, 8> blocks;
  for (const uint32_t node : freed_) {
    const RangeAllocator::Surroundings around = space_.Around(node);
    if (around.start >= start && around.end <= end) {
      blocks.push_back(Extent{around.start, around.end});
    }
  }
  std::sort(blocks.begin(), blocks.end(),
            [](const Extent& a, const Extent& b) { return a.start < b.start; });
  SpaceRequest request = request_;
  request.direction = Direction::kBottomUp;
  size_t fewest = ~size_t{0};
  for (size_t i = 0; i <= blocks.size(); ++i) {
    const uint64_t low = i == 0 ? start : blocks[i - 1].end;
    uint64_t place;
    if (!internal::PlaceInHole(low, end, request, &place)) break;
    const uint64_t past_place = place + request.size;
    const auto first = std::partition_point(
        blocks.begin(), blocks.end(),
        [&](const Extent& block) { return block.end <= place; });
    const auto past = std::partition_point(
        first, blocks.end(),
        [&](const Extent& block) { return block.start < past_place; });
    const auto needed = static_cast<size_t>(past - first);
    if (needed < fewest) {
      fewest = needed;
      hole_start_ = place;
      hole_end_ = past_place;
    }
  }
}

bool HoleScan::Needs(uint32_t node) const {
  const RangeAllocator::Surroundings around = space_.Around(node);
  return Overlap(around.start, around.end, hole_start_, hole_end_);
}

}  // namespace twostep
