#include "twostep/placement/listed_placement.h"

namespace twostep {
namespace {

constexpr Placement kVram{.memory = MemoryType::kVram};
constexpr Placement kSystem{};

Placement Tt(DmaType dma, Placement::Use use) {
  return Placement{.dma = dma, .memory = MemoryType::kTt, .use = use};
}

}  // namespace

ListedPlacement FixedPlacement(const PlacementSite& site,
                               const AllowedMemory& allowed) {
  using Use = Placement::Use;
  std::vector<Placement> places;
  std::vector<Placement> evict_to;
  if (allowed.vram) places.push_back(kVram);
  if (allowed.tt) {
    places.push_back(
        Tt(site.dma, allowed.vram ? Use::kFallback : Use::kAlways));
    evict_to.push_back(Tt(site.dma, Use::kAlways));
  }
  evict_to.push_back(kSystem);
  return ListedPlacement(std::move(places), std::move(evict_to));
}

ListedPlacement MachinePlacement(const PlacementSite& site) {
  using Use = Placement::Use;
  std::vector<DmaType> types;
  if (!site.bounces) {
    types = {DmaType::kNone};
  } else if (site.coherent_bytes != 0) {
    types = {DmaType::kCoherent, DmaType::kDynamic};
  } else {
    types = {DmaType::kDynamic};
  }
  const bool vram = site.vram_bytes != 0;
  std::vector<Placement> places;
  std::vector<Placement> evict_to;
  if (vram) places.push_back(kVram);
  for (const DmaType type : types) {
    if (site.aperture_bytes == 0) break;
    places.push_back(Tt(type, vram ? Use::kFallback : Use::kAlways));
    evict_to.push_back(Tt(type, Use::kAlways));
  }
  if (places.empty()) places.push_back(kSystem);
  evict_to.push_back(kSystem);
  return ListedPlacement(std::move(places), std::move(evict_to));
}

ListedPlacement TtmLikePlacement(const PlacementSite& site) {
  using Use = Placement::Use;
  const bool vram = site.vram_bytes != 0;
  std::vector<Placement> places;
  std::vector<Placement> evict_to;
  if (vram) places.push_back(kVram);
  if (site.aperture_bytes != 0) {
    places.push_back(Tt(site.dma, vram ? Use::kLastResort : Use::kAlways));
    evict_to.push_back(Tt(site.dma, Use::kAlways));
  }
  if (places.empty()) places.push_back(kSystem);
  evict_to.push_back(kSystem);
  return ListedPlacement(std::move(places), std::move(evict_to));
}

}  // namespace twostep
