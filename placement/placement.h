#ifndef PLACEMENT_PLACEMENT_H_
#define PLACEMENT_PLACEMENT_H_

// Where a bo may be: a DMA type for step 1, a memory type for step 2, and how
// much the driver likes it. Plain values.

#include <cstdint>

#include "absl/types/span.h"
#include "twostep/machine/space.h"
#include "twostep/machine/types.h"

namespace twostep {

// How pages become reachable for a device. Values from kFirstRegistered on are
// given out by Device::RegisterDmaType.
enum class DmaType : uint8_t {
  kNone = 0,      // the frames as they are
  kDynamic = 1,   // streaming: mapped or bounced, the CPU shut out meanwhile
  kCoherent = 2,  // moved into memory that CPU and device see alike
  kCma = 3,       // the same, contiguous
  kFirstRegistered = 4,
};
inline constexpr int kMaxDmaTypes = 16;

// Where the GPU sees a bo. Values from kFirstRegistered on are given out by
// Device::RegisterMemoryType.
enum class MemoryType : uint8_t {
  kSystem = 0,  // nowhere
  kTt = 1,      // an aperture over system pages
  kVram = 2,    // memory of its own: needs no step 1
  kFirstRegistered = 3,
};
inline constexpr int kMaxMemoryTypes = 16;

struct Placement {
  // In which pass of a validation it counts.
  enum class Use : uint8_t {
    kAlways,      // as it is, and by evicting others if need be
    kDesired,     // only where no bo has to leave it
    kFallback,    // only once evicting is allowed, or where it already is
    kLastResort,  // only once evicting has not helped the places before it
  };

  // Ignored for fixed memory types, which need no step 1.
  DmaType dma = DmaType::kNone;
  MemoryType memory = MemoryType::kSystem;
  Use use = Use::kAlways;
  // Pages [first_page, end_page) of the memory type; end_page 0: no limit.
  PageCount first_page = 0;
  PageCount end_page = 0;
  Direction direction = Direction::kBottomUp;
  // One run of pages, where the memory type could also give several.
  bool contiguous = false;
};

// Acceptable places, best first. Empty: the contents may be given up.
using PlacementList = absl::Span<const Placement>;

}  // namespace twostep

#endif  // PLACEMENT_PLACEMENT_H_
