#ifndef DMA_TYPES_COHERENT_MEMORY_H_
#define DMA_TYPES_COHERENT_MEMORY_H_

#include <span>

#include "twostep/machine/dma_port.h"
#include "twostep/machine/machine.h"

namespace twostep {

// Coherent memory that the device behind `port` can use where it is, for
// `owner`, as PagePool::Allocate: in whatever pieces where an IOMMU makes
// neighbours of them. kFragmented when there is enough, but not in few enough
// pieces, nor in aligned blocks; blocks that wait in pools are merged first.
Shortage::Kind TakeCoherentMemory(Machine& machine, const DmaPort& port,
                                  PagePool::Owner owner, Caching caching,
                                  std::span<FrameNumber> frames);

}  // namespace twostep

#endif  // DMA_TYPES_COHERENT_MEMORY_H_
