#include "twostep/machine/hole_scan.h"

#include <algorithm>

namespace twostep {
namespace {

bool Overlap(uint64_t a_start, uint64_t a_end, uint64_t b_start,
             uint64_t b_end) {
  return a_start < b_end && b_start < a_end;
}

}  // namespace

bool HoleScan::Free(uint32_t node) {
  const RangeAllocator::Surroundings around = space_.Around(node);
  freed_.push_back(Extent{around.start, around.end});
  // A run reaches up to the next block that is in use, so it already holds any
  // hole between itself and this block.
  Extent run{around.hole_start, around.hole_end};
  if (auto it = start_of_run_.find(around.start); it != start_of_run_.end()) {
    run.start = it->second;
    end_of_run_.erase(run.start);
    start_of_run_.erase(it);
  }
  if (auto it = end_of_run_.find(around.end); it != end_of_run_.end()) {
    run.end = it->second;
    start_of_run_.erase(run.end);
    end_of_run_.erase(it);
  }
  uint64_t place;
  if (internal::PlaceInHole(run.start, run.end, request_, &place)) {
    Choose(run);
    return true;
  }
  end_of_run_[run.start] = run.end;
  start_of_run_[run.end] = run.start;
  return false;
}

// The hole could lie at either end of the run: the end that needs fewer blocks.
void HoleScan::Choose(const Extent& run) {
  size_t fewest = ~size_t{0};
  for (const Direction direction :
       {Direction::kBottomUp, Direction::kTopDown}) {
    SpaceRequest request = request_;
    request.direction = direction;
    uint64_t place;
    if (!internal::PlaceInHole(run.start, run.end, request, &place)) continue;
    const Extent hole{place, place + request.size};
    const size_t blocks = BlocksIn(hole);
    if (blocks < fewest) {
      fewest = blocks;
      hole_ = hole;
    }
  }
}

size_t HoleScan::BlocksIn(const Extent& hole) const {
  return std::count_if(freed_.begin(), freed_.end(), [&](const Extent& block) {
    return Overlap(block.start, block.end, hole.start, hole.end);
  });
}

bool HoleScan::Needs(uint32_t node) const {
  const RangeAllocator::Surroundings around = space_.Around(node);
  return Overlap(around.start, around.end, hole_.start, hole_.end);
}

}  // namespace twostep
