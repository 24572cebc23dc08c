#ifndef DMA_TYPES_DMA_BINDING_H_
#define DMA_TYPES_DMA_BINDING_H_

// What step 1 produced: where a device finds the pages of a bo, and, for types
// whose pages change hands, who owns each page now. Filled in by a DmaBinder.
// Thread-compatible.

#include <memory>
#include <vector>

#include "twostep/machine/dma_misuse.h"
#include "twostep/machine/dma_port.h"
#include "twostep/machine/pages.h"
#include "twostep/machine/space.h"
#include "twostep/machine/types.h"

namespace twostep {

// Where the pages of a binding are found in a domain other than its own.
struct DmaAlias {
  DmaDomain* domain;
  SpaceBlock iova;  // IOVA page numbers, where the binding itself has some
};

// What a device sees in place of a bo's own frames.
struct BouncePages {
  explicit BouncePages(PageCount count)
      : frames(std::make_unique_for_overwrite<FrameNumber[]>(count)) {}
  FrameNumber& operator[](PageCount page) const { return frames[page]; }

  std::unique_ptr<FrameNumber[]> frames;  // one a page, or kNoFrame
  // Of the SWIOTLB: what is behind them, one block a mapping.
  std::vector<SpaceBlock> slots;
};

struct DmaBinding {
  // How the address of a page is found.
  enum class Addressing : uint8_t {
    kIova,     // contiguous from iova.start on
    kFrames,   // the frame's direct address
    kNone,     // given up: no device reaches the pages
    kBounced,  // of the bounce page, or of the frame where there is none
  };

  DmaPort* port = nullptr;
  Addressing addressing = Addressing::kFrames;
  // Which way bytes go; DoBind may say less than both. What the device may only
  // read is not copied back from it, what it may only write is handed to it
  // without the bytes that the CPU has written since.
  DmaDirection direction = DmaDirection::kBoth;
  // Pages in the hands of the CPU; all others are the device's. Zero bits of a
  // map that is absent mean the device's, too.
  PageCount cpu_owned_pages = 0;
  std::unique_ptr<uint64_t[]> cpu_owned;
  SpaceBlock iova;     // IOVA page numbers, kIova only
  SpaceBlock storage;  // a binder's own memory or window
  // Null where there are none.
  std::unique_ptr<BouncePages> bounce;
  std::unique_ptr<std::vector<DmaAlias>> aliases;

  bool has_addresses() const { return addressing != Addressing::kNone; }

  // What the device puts on the bus for `page`.
  DmaAddress Address(const Pages& pages, PageCount page) const {
    switch (addressing) {
      case Addressing::kIova:
        return (iova.start + page) << kPageShift;
      case Addressing::kBounced:
        if ((*bounce)[page] != kNoFrame) {
          return port->domain().DirectAddress((*bounce)[page]);
        }
        [[fallthrough]];
      case Addressing::kFrames:
        break;
      case Addressing::kNone:
        return kNoDmaAddress;
    }
    return port->domain().DirectAddress(pages.frames()[page]);
  }

  // The frame behind that address, and those of all pages.
  FrameNumber Frame(const Pages& pages, PageCount page) const {
    return addressing == Addressing::kBounced && (*bounce)[page] != kNoFrame
               ? (*bounce)[page]
               : pages.frames()[page];
  }

  // The limits that segments of it keep to, for those of a port.
  SegmentLimits LimitsWithin(const SegmentLimits& limits) const;
  std::vector<FrameNumber> Frames(const Pages& pages) const;

  // Null when `domain` has none.
  const DmaAlias* AliasIn(const DmaDomain& domain) const;
  // Whether devices in `domain` reach the pages, and at which address.
  bool ReachableIn(const DmaDomain& domain) const {
    return &port->domain() == &domain || AliasIn(domain) != nullptr;
  }
  // REQUIRES: ReachableIn(domain).
  DmaAddress AddressIn(const DmaDomain& domain, const Pages& pages,
                       PageCount page) const;

  // The pages as the device's scatter/gather table: neighbours on the bus are
  // one segment, within the limits of its port. In another domain:
  // REQUIRES ReachableIn(domain).
  std::vector<DmaSegment> Segments(const Pages& pages) const {
    return SegmentsIn(port->domain(), pages, port->limits());
  }
  std::vector<DmaSegment> SegmentsIn(const DmaDomain& domain,
                                     const Pages& pages,
                                     const SegmentLimits& limits) const;
  // Whether a device with these limits can use the pages where they are.
  bool KeepsTo(const DmaDomain& domain, const Pages& pages,
               const SegmentLimits& limits) const;

  bool CpuOwns(PageCount page) const {
    return cpu_owned_pages != 0 && (cpu_owned[page / 64] >> (page % 64) & 1);
  }
};

}  // namespace twostep

#endif  // DMA_TYPES_DMA_BINDING_H_
