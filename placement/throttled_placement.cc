#include "twostep/placement/throttled_placement.h"

#include <algorithm>

#include "twostep/machine/types.h"

namespace twostep {
namespace {

// amdgpu's: so much room is much room, whatever the size of VRAM.
constexpr uint64_t kMuchRoomBytes = 128 * kMiB;
constexpr uint64_t kMuchRoomPart = 8;
// Of it may be filled at once.
constexpr uint64_t kFillPart = 4;

}  // namespace

ThrottledPlacement::ThrottledPlacement(const PlacementSite& site,
                                       const Options& options)
    : lists_(site),
      vram_bytes_(site.vram_bytes),
      bytes_per_ns_(options.mib_per_s * kMiB / 1e9),
      most_bytes_(bytes_per_ns_ * options.burst_ms * 1e6),
      budget_bytes_(most_bytes_) {}

void ThrottledPlacement::Begin(const PlacementMoment& moment) {
  const uint64_t passed_ns = moment.now_ns - std::min(last_ns_, moment.now_ns);
  last_ns_ = std::max(last_ns_, moment.now_ns);
  budget_bytes_ =
      std::min(budget_bytes_ + static_cast<double>(passed_ns) * bytes_per_ns_,
               most_bytes_);
  if (moment.free_vram_bytes >= kMuchRoomBytes ||
      moment.free_vram_bytes >= vram_bytes_ / kMuchRoomPart) {
    budget_bytes_ = std::max(
        budget_bytes_, static_cast<double>(moment.free_vram_bytes / kFillPart));
  }
}

PlacementList ThrottledPlacement::Choose(const PlacementFacts&,
                                         const PlacementMoment& moment) {
  return static_cast<double>(moment.moved_bytes) < budget_bytes_
             ? lists_.make_room
             : lists_.if_free;
}

PlacementList ThrottledPlacement::EvictTo(const PlacementFacts&) {
  return lists_.evict_to;
}

void ThrottledPlacement::End(const PlacementMoment& moment) {
  budget_bytes_ -= static_cast<double>(moment.moved_bytes);
}

}  // namespace twostep
