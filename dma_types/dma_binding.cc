#include "twostep/dma_types/dma_binding.h"

namespace twostep {

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
