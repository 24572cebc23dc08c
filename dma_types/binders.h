#ifndef DMA_TYPES_BINDERS_H_
#define DMA_TYPES_BINDERS_H_

// The built-in DMA types.

#include <memory>

#include "twostep/dma_types/dma_binder.h"
#include "twostep/eviction/eviction_policy.h"
#include "twostep/machine/machine.h"

namespace twostep {

// NONE: the frames as they are, at their physical addresses. Frames beyond the
// device's mask are replaced by copies below it. Never runs out of anything of
// its own, so it keeps no bo in its order.
std::unique_ptr<DmaBinder> MakeNoneBinder(
    Machine& machine, std::unique_ptr<EvictionPolicy> policy);

// DYNAMIC: streaming mappings. Behind a translating IOMMU the frames get IOVAs;
// elsewhere frames that the device cannot reach, or all of them where bouncing
// is forced, get bounce pages. Pages are handed over, never shared.
std::unique_ptr<DmaBinder> MakeDynamicBinder(
    Machine& machine, std::unique_ptr<EvictionPolicy> policy);

// COHERENT: the contents move into coherent memory, and back when unbound.
std::unique_ptr<DmaBinder> MakeCoherentBinder(
    Machine& machine, std::unique_ptr<EvictionPolicy> policy);

// CMA: the same, with neighbouring frames from the CMA area.
std::unique_ptr<DmaBinder> MakeCmaBinder(
    Machine& machine, std::unique_ptr<EvictionPolicy> policy);

}  // namespace twostep

#endif  // DMA_TYPES_BINDERS_H_
