#ifndef DMA_TYPES_BINDER_STATS_H_
#define DMA_TYPES_BINDER_STATS_H_

#include <cstdint>

#include "twostep/machine/sync.h"

namespace twostep {

// What a DMA binder counts, since it was made unless it says "now".
struct BinderStats {
  Atomic<uint64_t> binds{0};
  Atomic<uint64_t> evictions{0};
  Atomic<uint64_t> pages_synced_for_device{0};
  Atomic<uint64_t> pages_synced_for_cpu{0};
  Atomic<uint64_t> bounced_bytes{0};
  Atomic<uint64_t> copied_back_bytes{0};  // by unbinding
  Atomic<uint64_t> bound_pages{0};        // now
  Atomic<uint64_t> pinned_pages{0};       // now
};

}  // namespace twostep

#endif  // DMA_TYPES_BINDER_STATS_H_
