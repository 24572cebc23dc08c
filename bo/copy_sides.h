#ifndef BO_COPY_SIDES_H_
#define BO_COPY_SIDES_H_

// What a copy engine is told of the two places of a bo's contents. Private to
// the library.

#include "twostep/bo/buffer_object.h"
#include "twostep/machine/copy_engine.h"
#include "twostep/mem_types/memory_manager.h"

namespace twostep {

// The `pages` of a block of fixed memory.
CopySide FixedSide(MemoryManager& manager, const SpaceBlock& block,
                   PageCount pages, const CopyEngine& engine);
// The pages of `bo`, by their DMA addresses where it is bound; zeros if it has
// none.
CopySide PagesSide(const BufferObject& bo, const CopyEngine& engine);

}  // namespace twostep

#endif  // BO_COPY_SIDES_H_
