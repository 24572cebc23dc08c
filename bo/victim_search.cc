#include "twostep/bo/victim_search.h"

#include <algorithm>

#include "twostep/bo/bo_hooks.h"
#include "twostep/bo/host.h"
#include "twostep/machine/hole_scan.h"

namespace twostep {

using Verdict = EvictionOrder::Verdict;

VictimSearch::Orders VictimSearch::OrdersWithFrames(Host& host) {
  Orders orders{&host.system_manager().order()};
  for (MemoryManager* manager : host.Managers(MemoryManager::Kind::kAperture)) {
    orders.push_back(&manager->order());
  }
  return orders;
}

BufferObject& VictimSearch::BoOf(EvictionHook& hook) const {
  return which_ == Order::kMemory ? BoHooks::BoOfMemoryHook(hook)
                                  : BoHooks::BoOfDmaHook(hook);
}

bool VictimSearch::IsAwaited(const BufferObject& bo) const {
  return std::any_of(
      awaited_.begin(), awaited_.end(),
      [&](const BoRef& awaited) { return awaited.get() == &bo; });
}

bool VictimSearch::TryTake(BufferObject& bo) {
  if (bo.TryReserve() || IsAwaited(bo)) return true;
  if (passed_over_ != nullptr || bo.lock_.HeldByMe()) return false;
  // It stands in the order, so it exists; but its last reference may be gone,
  // and then it is leaving by itself.
  if (bo.TryAddReference()) {
    passed_over_ = BoRef(&bo, /*add_ref=*/false);
  } else {
    leaving_ = true;
  }
  return false;
}

void VictimSearch::GiveBack(BufferObject& bo) {
  if (!IsAwaited(bo)) bo.lock_.Unlock();
}

VictimSearch::Victims VictimSearch::First(
    absl::FunctionRef<bool(const BufferObject&)> accept) {
  Victims victims;
  for (EvictionOrder* order : orders_) {
    left_ += order->Visit(asker_, [&](EvictionHook& hook) {
      BufferObject& bo = BoOf(hook);
      if (!TryTake(bo)) return Verdict::kAside;
      if (!accept(bo)) {
        GiveBack(bo);
        return Verdict::kNext;
      }
      victims.push_back(&bo);
      return Verdict::kStop;
    });
    if (!victims.empty()) break;
  }
  return victims;
}

VictimSearch::Victims VictimSearch::ForHole(
    RangeAllocator& space, const SpaceRequest& request,
    absl::FunctionRef<uint32_t(const BufferObject&)> node_of, bool* found) {
  Victims candidates;
  HoleScan scan(space, request);
  *found = false;
  for (EvictionOrder* order : orders_) {
    left_ += order->Visit(asker_, [&](EvictionHook& hook) {
      BufferObject& bo = BoOf(hook);
      if (!TryTake(bo)) return Verdict::kAside;
      const uint32_t node = node_of(bo);
      if (node == 0) {
        GiveBack(bo);
        return Verdict::kNext;
      }
      candidates.push_back(&bo);
      *found = scan.Free(node);
      return *found ? Verdict::kStop : Verdict::kNext;
    });
    if (*found) break;
  }
  Victims victims;
  for (BufferObject* bo : candidates) {
    if (*found && scan.Needs(node_of(*bo))) {
      victims.push_back(bo);
    } else {
      GiveBack(*bo);
    }
  }
  return victims;
}

}  // namespace twostep
