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

// The hole in the run that needs the fewest blocks. Sliding a hole down until
// it would touch one block more costs nothing, so some best one starts as low
// as it can behind the start of the run or the end of a block.
void HoleScan::Choose(const Extent& run) {
  absl::InlinedVector<Extent, 8> blocks;
  for (const Extent& block : freed_) {
    if (block.start >= run.start && block.end <= run.end) {
      blocks.push_back(block);
    }
  }
  std::sort(blocks.begin(), blocks.end(),
            [](const Extent& a, const Extent& b) { return a.start < b.start; });
  SpaceRequest request = request_;
  request.direction = Direction::kBottomUp;
  size_t fewest = ~size_t{0};
  for (size_t i = 0; i <= blocks.size(); ++i) {
    const uint64_t low = i == 0 ? run.start : blocks[i - 1].end;
    uint64_t place;
    if (!internal::PlaceInHole(low, run.end, request, &place)) break;
    const Extent hole{place, place + request.size};
    const auto first = std::partition_point(
        blocks.begin(), blocks.end(),
        [&](const Extent& block) { return block.end <= hole.start; });
    const auto past = std::partition_point(
        first, blocks.end(),
        [&](const Extent& block) { return block.start < hole.end; });
    const auto needed = static_cast<size_t>(past - first);
    if (needed < fewest) {
      fewest = needed;
      hole_ = hole;
    }
  }
}

bool HoleScan::Needs(uint32_t node) const {
  const RangeAllocator::Surroundings around = space_.Around(node);
  return Overlap(around.start, around.end, hole_.start, hole_.end);
}

}  // namespace twostep
