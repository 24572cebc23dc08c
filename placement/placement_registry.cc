#include "twostep/placement/placement_registry.h"

#include <utility>

#include "twostep/placement/costed_placement.h"
#include "twostep/placement/listed_placement.h"
#include "twostep/placement/throttled_placement.h"

namespace twostep {
namespace {

struct Short {
  absl::string_view name;
  absl::string_view spec;
};
constexpr Short kShorts[] = {
    {"vram-tt", "fixed"}, {"vram", "fixed:tt=0"}, {"tt", "fixed:vram=0"}};

std::vector<PlacementPolicyInfo> BuiltIn() {
  return {
      {"fixed",
       "VRAM, evicting; TT where that fails, to stay there until VRAM has room "
       "(short: vram-tt, vram, tt)",
       [](const PlacementSite& site, const PolicyParameters& parameters) {
         return std::make_unique<ListedPlacement>(
             FixedPlacement(site, AllowedMemory{.vram = parameters["vram"] != 0,
                                                .tt = parameters["tt"] != 0}));
       },
       {{"vram", "1: VRAM is allowed", 1, 0, 1, true},
        {"tt", "1: TT is allowed", 1, 0, 1, true}}},
      {"machine",
       "as fixed, with NONE as the DMA type, or COHERENT where all is bounced",
       [](const PlacementSite& site, const PolicyParameters&) {
         return std::make_unique<ListedPlacement>(MachinePlacement(site));
       }},
      {"ttm-like",
       "VRAM at every use, whoever has to leave it; TT only where that fails",
       [](const PlacementSite& site, const PolicyParameters&) {
         return std::make_unique<ListedPlacement>(TtmLikePlacement(site));
       }},
      {"throttled",
       "as ttm-like while a budget of moved bytes lasts, else over the bus",
       [](const PlacementSite& site, const PolicyParameters& parameters) {
         return std::make_unique<ThrottledPlacement>(
             site,
             ThrottledPlacement::Options{.mib_per_s = parameters["mib_per_s"],
                                         .burst_ms = parameters["burst_ms"]});
       },
       {{"mib_per_s", "bytes that accrue with time", 8},
        {"burst_ms", "of how much time at most", 200}}},
      {"costed",
       "to VRAM once use over the bus has cost as much as the moves, and only "
       "for what is worth less there",
       [](const PlacementSite& site, const PolicyParameters& parameters) {
         return std::make_unique<CostedPlacement>(
             site,
             CostedPlacement::Options{.patience = parameters["patience"]});
       },
       {{"patience", "how many times the bus must have cost them", 1}}},
  };
}

// The one table of names: a name must mean the same in options, programs and on
// the command line, without each of them being handed a table.
PolicyTable<PlacementPolicyInfo>& TheTable() {
  static PolicyTable<PlacementPolicyInfo> table("placement policy", BuiltIn());
  return table;
}

}  // namespace

std::vector<PlacementPolicyInfo> PlacementPolicies() {
  return TheTable().All();
}

absl::Status RegisterPlacementPolicy(PlacementPolicyInfo policy) {
  for (const Short& known : kShorts) {
    if (policy.name == known.name) {
      return absl::AlreadyExistsError(
          absl::StrCat("'", policy.name, "' is short for the placement policy ",
                       known.spec));
    }
  }
  return TheTable().Add(std::move(policy));
}

absl::StatusOr<PlacementPolicyFactory> ParsePlacementPolicy(
    absl::string_view spec) {
  for (const Short& known : kShorts) {
    if (spec == known.name) spec = known.spec;
  }
  auto parsed = TheTable().Parse(spec);
  if (absl::IsNotFound(parsed.status()) &&
      spec.find(':') == absl::string_view::npos) {
    return absl::NotFoundError(
        absl::StrCat(parsed.status().message(), ", vram-tt, vram, tt"));
  }
  if (!parsed.ok()) return parsed.status();
  return PlacementPolicyFactory(
      [make = std::move(parsed->first.make),
       parameters = std::move(parsed->second)](const PlacementSite& site) {
        return make(site, parameters);
      });
}

}  // namespace twostep
