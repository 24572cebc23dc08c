#ifndef BO_BO_HOOKS_H_
#define BO_BO_HOOKS_H_

// From an eviction hook to the bo that it is part of, and what policies may
// know of the bo.

#include "twostep/bo/buffer_object.h"
#include "twostep/eviction/eviction_policy.h"

namespace twostep {

class BoHooks {
 public:
  static BufferObject& BoOfMemoryHook(EvictionHook& hook);
  static BufferObject& BoOfDmaHook(EvictionHook& hook);

  // For the order of a memory type, of a DMA binder. The key is the bo's id.
  static EvictionOwner OwnerOf(const MemoryManager& manager);
  static EvictionOwner OwnerOf(const DmaBinder& binder);
  // REQUIRES: the bo is reserved.
  static EvictionFacts MemoryFacts(const BufferObject& bo,
                                   const MemoryManager& manager);
};

}  // namespace twostep

#endif  // BO_BO_HOOKS_H_
