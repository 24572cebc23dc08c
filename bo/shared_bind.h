#ifndef BO_SHARED_BIND_H_
#define BO_SHARED_BIND_H_

// What Mover::BindShared is asked for. Private to the library.

#include "absl/types/span.h"
#include "twostep/machine/dma_port.h"
#include "twostep/placement/placement.h"

namespace twostep {

class Device;

struct SharedBind {
  // Through whose domain, and seeing memory as whom, the bo is bound.
  Device& owner;
  // For whom it is mapped: through `port`, which is in its domain.
  Device& importer;
  DmaPort& port;
  absl::Span<const DmaType> types;  // best first
  // It is bound so already, but for the importer's domain.
  bool bound;
};

}  // namespace twostep

#endif  // BO_SHARED_BIND_H_
