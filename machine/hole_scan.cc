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
  if (freed_.size() == 1) {
    hole_start_ = place;
    hole_end_ = place + request_.size;
  } else {
    Choose(start, end);
  }
  return true;
}

// The hole could lie at either end of the run: the end that needs fewer blocks.
void HoleScan::Choose(uint64_t start, uint64_t end) {
  size_t fewest = ~size_t{0};
  for (const Direction direction :
       {Direction::kBottomUp, Direction::kTopDown}) {
    SpaceRequest request = request_;
    request.direction = direction;
    uint64_t place;
    if (!internal::PlaceInHole(start, end, request, &place)) continue;
    const size_t blocks = BlocksIn(place, place + request.size);
    if (blocks < fewest) {
      fewest = blocks;
      hole_start_ = place;
      hole_end_ = place + request.size;
    }
  }
}

size_t HoleScan::BlocksIn(uint64_t start, uint64_t end) const {
  return std::count_if(freed_.begin(), freed_.end(), [&](uint32_t node) {
    const RangeAllocator::Surroundings around = space_.Around(node);
    return Overlap(around.start, around.end, start, end);
  });
}

bool HoleScan::Needs(uint32_t node) const {
  const RangeAllocator::Surroundings around = space_.Around(node);
  return Overlap(around.start, around.end, hole_start_, hole_end_);
}

}  // namespace twostep
