#ifndef PLACEMENT_THROTTLED_PLACEMENT_H_
#define PLACEMENT_THROTTLED_PLACEMENT_H_

// TtmLikePlacement with a budget for moves, after the one that amdgpu gives
// each submission (amdgpu_cs_get_threshold_for_moves, Linux 6.12): bytes accrue
// with time, up to a burst; while there are some, a submission may move bos to
// VRAM, the last one whatever its size, which can leave a debt. Without any,
// bos go to VRAM only where it has room, and are used over the bus otherwise.
// While VRAM has much room, a part of it may be filled in any case.

#include <cstdint>

#include "twostep/placement/placement_policy.h"
#include "twostep/placement/vram_lists.h"

namespace twostep {

class ThrottledPlacement final : public PlacementPolicy {
 public:
  struct Options {
    // amdgpu's: 8 MB/s, of which 200 ms may accrue.
    double mib_per_s = 8;
    double burst_ms = 200;
  };

  ThrottledPlacement(const PlacementSite& site, const Options& options);

  void Begin(const PlacementMoment& moment) override;
  PlacementList Choose(const PlacementFacts& bo,
                       const PlacementMoment& moment) override;
  PlacementList EvictTo(const PlacementFacts& bo) override;
  void End(const PlacementMoment& moment) override;

 private:
  const VramLists lists_;
  const uint64_t vram_bytes_;
  const double bytes_per_ns_;
  const double most_bytes_;
  double budget_bytes_;
  uint64_t last_ns_ = 0;
};

}  // namespace twostep

#endif  // PLACEMENT_THROTTLED_PLACEMENT_H_
