#include "twostep/dma_types/coherent_memory.h"

namespace twostep {

Shortage::Kind TakeCoherentMemory(Machine& machine, const DmaPort& port,
                                  PagePool::Owner owner, Caching caching,
                                  std::span<FrameNumber> frames) {
  PagePool& pool = machine.coherent_pool();
  for (const bool merged : {false, true}) {
    const Shortage::Kind kind = pool.Allocate(owner, caching, frames);
    if (kind != Shortage::Kind::kNone || port.domain().translated() ||
        port.CanUse(frames)) {
      return kind;
    }
    pool.Free(frames);
    // Pools keep blocks as they came back, in pieces.
    if (!merged) pool.GiveBack(pool.cached_frames());
  }
  return Shortage::Kind::kFragmented;
}

}  // namespace twostep
