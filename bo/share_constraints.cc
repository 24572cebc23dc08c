#include "twostep/bo/share_constraints.h"

#include <algorithm>
#include <bit>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "twostep/bo/error.h"
#include "twostep/bo/host.h"
#include "twostep/dma_types/dma_binder.h"

namespace twostep {
namespace {

// Those that cost least come first: nothing of their own that could run out, no
// copy, no neighbours to be found.
constexpr DmaType kTypes[] = {DmaType::kNone, DmaType::kDynamic,
                              DmaType::kCoherent, DmaType::kCma};

// A choice is a DMA type and what its devices see: the CPU's caches, or memory
// beside them. Bit 2 * type + view.
using Choices = uint32_t;
enum class View : uint8_t { kCaches, kMemory };

Choices Choice(int type, View view) {
  return Choices{1} << (2 * type + static_cast<int>(view));
}
Choices BothViews(int type) {
  return Choice(type, View::kCaches) | Choice(type, View::kMemory);
}

struct Demand {
  std::string what;  // "nic reaches only 24-bit addresses"
  Choices met_by = 0;
};

std::string SegmentsDemand(const SharingParty& party) {
  const SegmentLimits wants = party.limits();
  std::string text = absl::StrCat(party.name, " takes");
  if (wants.max_segments != SegmentLimits::kAny) {
    absl::StrAppend(&text, " at most ", wants.max_segments,
                    wants.max_segments == 1 ? " segment" : " segments");
  } else {
    absl::StrAppend(&text, " segments");
  }
  if (wants.max_bytes != SegmentLimits::kAny) {
    absl::StrAppend(&text, " of at most ", wants.max_bytes / kKiB, " KiB");
  }
  return text;
}

// At worst each page is a segment.
bool KeepsToAtWorst(uint64_t bytes, const SegmentLimits& limits,
                    bool contiguous) {
  const auto pages = static_cast<PageCount>(bytes >> kPageShift);
  return contiguous ? KeepsTo(pages, limits, PagesToBytes)
                    : pages <= limits.max_segments;
}

void AppendDemands(Host& host, uint64_t bytes, const SharingParty& party,
                   std::vector<Demand>* demands) {
  const DmaPort& port =
      host.JointPort(*party.port, party.highest(), party.port->limits());
  Demand reach{absl::StrCat(party.name, " reaches only ",
                            std::bit_width(party.highest()), "-bit addresses")};
  Demand segments{SegmentsDemand(party)};
  Demand view{absl::StrCat(party.name, port.coherent()
                                           ? " sees the CPU's caches"
                                           : " does not see the CPU's caches")};
  Demand at_once{
      absl::StrCat(party.name, " uses the pages at the same time as the CPU")};
  const ShareConstraints& wants = party.constraints;
  const SegmentLimits limits = party.limits();
  for (int i = 0; i < static_cast<int>(std::size(kTypes)); ++i) {
    const DmaBinder& binder = host.binder(kTypes[i]);
    if (binder.Reaches(port)) reach.met_by |= BothViews(i);
    if (KeepsToAtWorst(bytes, limits, binder.Contiguous(port))) {
      segments.met_by |= BothViews(i);
    }
    view.met_by |=
        binder.one_view()
            ? BothViews(i)
            : Choice(i, port.coherent() ? View::kCaches : View::kMemory);
    if (!binder.hands_over(port)) at_once.met_by |= BothViews(i);
  }
  demands->push_back(std::move(reach));
  demands->push_back(std::move(segments));
  demands->push_back(std::move(view));
  if (wants.ownership == ShareConstraints::Ownership::kAtOnce) {
    demands->push_back(std::move(at_once));
  }
}

// The fewest demands that clash, as far as that is one or two of them.
absl::Status Clash(const std::vector<Demand>& demands) {
  for (const Demand& demand : demands) {
    if (demand.met_by == 0) {
      return MakeError(ErrorKind::kNeverFits,
                       absl::StrCat(demand.what, ": no DMA type does"));
    }
  }
  for (size_t i = 0; i < demands.size(); ++i) {
    for (size_t j = 0; j < i; ++j) {
      if ((demands[i].met_by & demands[j].met_by) != 0) continue;
      return MakeError(ErrorKind::kNeverFits,
                       absl::StrCat(demands[j].what, ", and ", demands[i].what,
                                    ": no DMA type serves both"));
    }
  }
  return MakeError(
      ErrorKind::kNeverFits,
      absl::StrCat(absl::StrJoin(demands, ", ",
                                 [](std::string* out, const Demand& demand) {
                                   out->append(demand.what);
                                 }),
                   ": no DMA type serves all"));
}

}  // namespace

DmaAddress SharingParty::highest() const {
  return constraints.mask_bits >= 64
             ? port->highest()
             : std::min(port->highest(),
                        (DmaAddress{1} << constraints.mask_bits) - 1);
}

SegmentLimits SharingParty::limits() const {
  return port->limits().And({.max_bytes = constraints.max_segment_bytes,
                             .max_segments = constraints.max_segments});
}

absl::StatusOr<SuitableDmaTypes> Negotiate(
    Host& host, uint64_t size_bytes, absl::Span<const SharingParty> parties) {
  std::vector<Demand> demands;
  for (const SharingParty& party : parties) {
    AppendDemands(host, size_bytes, party, &demands);
  }
  Choices left = ~Choices{0};
  for (const Demand& demand : demands) left &= demand.met_by;
  SuitableDmaTypes types;
  for (int i = 0; i < static_cast<int>(std::size(kTypes)); ++i) {
    if ((left & BothViews(i)) != 0) types.push_back(kTypes[i]);
  }
  if (types.empty()) return Clash(demands);
  return types;
}

}  // namespace twostep
