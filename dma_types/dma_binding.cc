#include "twostep/dma_types/dma_binding.h"

#include "twostep/machine/swiotlb.h"

namespace twostep {

SegmentLimits DmaBinding::LimitsWithin(const SegmentLimits& limits) const {
  return bounce == nullptr || bounce->slots.empty() ? limits
                                                    : Swiotlb::LimitsOf(limits);
}

std::vector<DmaSegment> DmaBinding::SegmentsIn(
    const DmaDomain& domain, const Pages& pages,
    const SegmentLimits& limits) const {
  return CoalesceSegments(
      pages.count(), LimitsWithin(limits),
      [&](PageCount page) { return AddressIn(domain, pages, page); });
}

bool DmaBinding::KeepsTo(const DmaDomain& domain, const Pages& pages,
                         const SegmentLimits& limits) const {
  return twostep::KeepsTo(
      pages.count(), LimitsWithin(limits),
      [&](PageCount page) { return AddressIn(domain, pages, page); });
}

std::vector<FrameNumber> DmaBinding::Frames(const Pages& pages) const {
  std::vector<FrameNumber> frames(pages.count());
  for (PageCount page = 0; page < pages.count(); ++page) {
    frames[page] = Frame(pages, page);
  }
  return frames;
}

const DmaAlias* DmaBinding::AliasIn(const DmaDomain& domain) const {
  if (aliases == nullptr) return nullptr;
  for (const DmaAlias& alias : *aliases) {
    if (alias.domain == &domain) return &alias;
  }
  return nullptr;
}

DmaAddress DmaBinding::AddressIn(const DmaDomain& domain, const Pages& pages,
                                 PageCount page) const {
  if (addressing != Addressing::kIova || &port->domain() == &domain) {
    return Address(pages, page);
  }
  return (AliasIn(domain)->iova.start + page) << kPageShift;
}

}  // namespace twostep
