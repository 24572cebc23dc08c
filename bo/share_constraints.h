#ifndef BO_SHARE_CONSTRAINTS_H_
#define BO_SHARE_CONSTRAINTS_H_

// What the devices that share a bo ask of its pages, and which DMA types give
// all of them what they ask.

#include <cstdint>
#include <limits>
#include <string>

#include "absl/container/inlined_vector.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "twostep/machine/dma_port.h"
#include "twostep/placement/placement.h"

namespace twostep {

class Host;

// Beside what the device's port says: its mask, whether it sees the CPU's
// caches.
struct ShareConstraints {
  static constexpr uint64_t kAny = std::numeric_limits<uint64_t>::max();
  enum class Ownership : uint8_t {
    kHandedOver,  // pages may be the CPU's or the devices', in turns
    kAtOnce,      // CPU and devices use them at the same time
  };

  int mask_bits = 64;  // of the addresses, 24 to 64
  // Runs of neighbouring addresses: how many, and how long; at least a page.
  uint64_t max_segments = kAny;
  uint64_t max_segment_bytes = kAny;
  Ownership ownership = Ownership::kHandedOver;
};

// A device at the table.
struct SharingParty {
  std::string name;
  const DmaPort* port;
  ShareConstraints constraints;

  // The highest address that it takes, and the runs: its port's and its own.
  DmaAddress highest() const;
  SegmentLimits limits() const;
};

// The built-in DMA types that suit everybody, those that cost least first. A
// device's own types are for that device alone.
//   kOutOfRange (kNeverFits)  there is none: names two constraints that no DMA
//                             type meets both, and whose they are
using SuitableDmaTypes = absl::InlinedVector<DmaType, 4>;
absl::StatusOr<SuitableDmaTypes> Negotiate(
    Host& host, uint64_t size_bytes, absl::Span<const SharingParty> parties);

}  // namespace twostep

#endif  // BO_SHARE_CONSTRAINTS_H_
