#ifndef PLACEMENT_VRAM_LISTS_H_
#define PLACEMENT_VRAM_LISTS_H_

// The lists between which policies choose that weigh VRAM against TT.

#include <vector>

#include "twostep/placement/placement_policy.h"

namespace twostep {

struct VramLists {
  explicit VramLists(const PlacementSite& site) {
    const bool vram = site.vram_bytes != 0;
    Placement in_vram{.memory = MemoryType::kVram};
    Placement in_tt{.dma = site.dma, .memory = MemoryType::kTt};
    if (vram) {
      make_room.push_back(in_vram);
      if_free.push_back(in_vram);
      if_free.back().use = Placement::Use::kDesired;
    }
    if (site.aperture_bytes != 0) {
      evict_to.push_back(in_tt);
      over_bus.push_back(in_tt);
      if (vram) in_tt.use = Placement::Use::kFallback;
      if_free.push_back(in_tt);
      if (vram) in_tt.use = Placement::Use::kLastResort;
      make_room.push_back(in_tt);
      // What fits must be placed, though it costs what the policy would not
      // have spent.
      in_vram.use = Placement::Use::kLastResort;
      if (vram) over_bus.push_back(in_vram);
      if (vram) if_free.push_back(in_vram);
    } else {
      // Without TT there is nothing to weigh.
      if (!vram) make_room.push_back(Placement{});
      if_free = over_bus = make_room;
    }
    evict_to.push_back(Placement{});
  }

  // VRAM whoever has to leave it; TT where even that does not help.
  std::vector<Placement> make_room;
  // VRAM if nobody has to leave it, else TT; VRAM in any way where that fails.
  std::vector<Placement> if_free;
  // TT, to be used over the bus; VRAM where that fails.
  std::vector<Placement> over_bus;
  // TT, then SYSTEM.
  std::vector<Placement> evict_to;
};

}  // namespace twostep

#endif  // PLACEMENT_VRAM_LISTS_H_
