#ifndef PLACEMENT_LISTED_PLACEMENT_H_
#define PLACEMENT_LISTED_PLACEMENT_H_

// Policies that give every bo the same list, made once from the site.

#include <utility>
#include <vector>

#include "twostep/placement/placement_policy.h"

namespace twostep {

class ListedPlacement final : public PlacementPolicy {
 public:
  // Both lists as PlacementPolicy asks for them.
  ListedPlacement(std::vector<Placement> places,
                  std::vector<Placement> evict_to)
      : places_(std::move(places)), evict_to_(std::move(evict_to)) {}

  PlacementList Choose(const PlacementFacts&, const PlacementMoment&) override {
    return places_;
  }
  PlacementList EvictTo(const PlacementFacts&) override { return evict_to_; }

 private:
  const std::vector<Placement> places_;
  const std::vector<Placement> evict_to_;
};

// Memory types that a driver may allow.
struct AllowedMemory {
  bool vram = true;
  bool tt = true;
};

// VRAM, by evicting if need be; with TT as well, what is in TT stays there
// until VRAM has room, and what VRAM evicts goes there. A memory type that the
// site lacks is left in, so that using it is an error and not another policy.
ListedPlacement FixedPlacement(const PlacementSite& site,
                               const AllowedMemory& allowed);

// FixedPlacement with the DMA type that suits the machine: NONE where the
// device reaches the frames as they are; COHERENT where all else would bounce
// (Xen PV), and DYNAMIC behind it for what finds no room there.
ListedPlacement MachinePlacement(const PlacementSite& site);

// What drivers over the kernel's TTM ask for, nouveau and radeon among them:
// each use brings the bo to VRAM, whoever has to leave it; TT is for what is
// evicted and for what finds no room even so.
ListedPlacement TtmLikePlacement(const PlacementSite& site);

}  // namespace twostep

#endif  // PLACEMENT_LISTED_PLACEMENT_H_
