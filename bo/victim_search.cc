#include "twostep/bo/victim_search.h"

#include "boost/intrusive/parent_from_member.hpp"
#include "twostep/machine/hole_scan.h"

namespace twostep {

BufferObject& VictimSearch::BoOf(EvictionHook& hook) const {
  return *boost::intrusive::get_parent_from_member(
      &hook, which_ == Order::kMemory ? &BufferObject::memory_hook_
                                      : &BufferObject::dma_hook_);
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
    const RangeAllocator& space, const SpaceRequest& request,
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
