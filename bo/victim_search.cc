#include "twostep/bo/victim_search.h"

#include "twostep/bo/bo_hooks.h"
#include "twostep/machine/hole_scan.h"

namespace twostep {

BufferObject& VictimSearch::BoOf(EvictionHook& hook) const {
  return which_ == Order::kMemory ? BoHooks::BoOfMemoryHook(hook)
                                  : BoHooks::BoOfDmaHook(hook);
}

VictimSearch::Victims VictimSearch::First(
    absl::FunctionRef<bool(const BufferObject&)> accept) {
  Victims victims;
  for (EvictionOrder* order : orders_) {
    order->Visit([&](EvictionHook& hook) {
      BufferObject& bo = BoOf(hook);
      if (!bo.TryReserve()) return true;
      if (!accept(bo)) {
        bo.lock_.Unlock();
        return true;
      }
      victims.push_back(&bo);
      return false;
    });
    if (!victims.empty()) break;
  }
  return victims;
}

VictimSearch::Victims VictimSearch::ForHole(
    RangeAllocator& space, const SpaceRequest& request,
    absl::FunctionRef<uint32_t(const BufferObject&)> node_of) {
  Victims candidates;
  HoleScan scan(space, request);
  bool found = false;
  for (EvictionOrder* order : orders_) {
    order->Visit([&](EvictionHook& hook) {
      BufferObject& bo = BoOf(hook);
      if (!bo.TryReserve()) return true;
      const uint32_t node = node_of(bo);
      if (node == 0) {
        bo.lock_.Unlock();
        return true;
      }
      candidates.push_back(&bo);
      found = scan.Free(node);
      return !found;
    });
    if (found) break;
  }
  Victims victims;
  for (BufferObject* bo : candidates) {
    if (found && scan.Needs(node_of(*bo))) {
      victims.push_back(bo);
    } else {
      bo->lock_.Unlock();
    }
  }
  return victims;
}

}  // namespace twostep
