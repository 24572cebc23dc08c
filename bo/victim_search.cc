#include "twostep/bo/victim_search.h"

#include <algorithm>
#include <utility>

#include "twostep/bo/bo_hooks.h"
#include "twostep/bo/host.h"
#include "twostep/machine/hole_scan.h"

namespace twostep {

using Verdict = EvictionOrder::Verdict;

class VictimSearch::Takings {
 public:
  explicit Takings(const VictimSearch& search) : search_(search) {}

  // Counts `bo` as taken. False, and it is not: its client would be left with
  // less than its min.
  bool Take(const BufferObject& bo) {
    const EvictionAccount* const account = search_.TakesFrom(bo);
    if (account == nullptr) return true;
    auto known =
        std::find_if(taken_.begin(), taken_.end(),
                     [&](const auto& one) { return one.first == account; });
    if (known == taken_.end())
      known = taken_.insert(taken_.end(), {account, 0});
    const uint64_t pages = known->second + bo.page_count();
    if (!account->CanLose(pages)) return false;
    known->second = pages;
    return true;
  }

 private:
  const VictimSearch& search_;
  absl::InlinedVector<std::pair<const EvictionAccount*, uint64_t>, 4> taken_;
};

VictimSearch::Orders VictimSearch::OrdersWithFrames(Host& host) {
  // Of SYSTEM's orders the longest comes first: its devices have the most there
  // that they do not use.
  absl::InlinedVector<std::pair<size_t, EvictionOrder*>, 8> by_size;
  MemoryManager& system = host.system_manager();
  for (uint8_t i = 0; i < system.orders(); ++i) {
    by_size.emplace_back(system.order(i).size(), &system.order(i));
  }
  std::stable_sort(
      by_size.begin(), by_size.end(),
      [](const auto& a, const auto& b) { return a.first > b.first; });
  Orders orders;
  for (const auto& [size, order] : by_size) orders.push_back(order);
  for (MemoryManager* manager : host.Managers(MemoryManager::Kind::kAperture)) {
    orders.push_back(&manager->order());
  }
  return orders;
}

BufferObject& VictimSearch::BoOf(EvictionHook& hook) const {
  return which_ == Order::kMemory ? BoHooks::BoOfMemoryHook(hook)
                                  : BoHooks::BoOfDmaHook(hook);
}

bool VictimSearch::IsAmong(absl::Span<const BoRef> bos,
                           const BufferObject& bo) {
  return std::any_of(bos.begin(), bos.end(),
                     [&](const BoRef& one) { return one.get() == &bo; });
}

bool VictimSearch::TryTake(BufferObject& bo) {
  if (bo.TryReserve() || IsAmong(awaited_, bo)) return true;
  if (bo.lock_.HeldByMe()) {
    ++skipped_.mine;
    return false;
  }
  ++skipped_.reserved;
  if (passed_over_ != nullptr) return false;
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
  if (!IsAmong(awaited_, bo)) bo.lock_.Unlock();
}

size_t VictimSearch::ProtectedNow() const {
  size_t bos = 0;
  for (const EvictionOrder* order : orders_) {
    bos += order->ProtectedFrom(asker_);
  }
  return bos;
}

const EvictionAccount* VictimSearch::TakesFrom(const BufferObject& bo) const {
  if (!given_.has_value() || bo.client() == nullptr) return nullptr;
  const EvictionAccount& account = bo.client()->account(*given_);
  return account.budget().min_pages == 0 || &account == asker_.account
             ? nullptr
             : &account;
}

VictimSearch::Victims VictimSearch::First(
    absl::FunctionRef<bool(const BufferObject&)> accept,
    EvictionOrder::Asides asides) {
  Victims victims;
  const auto look = [&](EvictionHook& hook) {
    BufferObject& bo = BoOf(hook);
    if (!TryTake(bo)) return Verdict::kAside;
    if (!accept(bo) || !Takings(*this).Take(bo)) {
      ++skipped_.unhelpful;
      GiveBack(bo);
      return Verdict::kNext;
    }
    victims.push_back(&bo);
    return Verdict::kStop;
  };
  for (EvictionOrder* order : orders_) {
    left_ += order->Visit(asker_, look, asides);
    if (!victims.empty()) break;
  }
  return victims;
}

VictimSearch::Nodes VictimSearch::NodesIn(const RangeAllocator& space,
                                          BindOutcome::Scarce scarce,
                                          const DmaBinding& binding,
                                          const DmaPort& port) {
  Nodes nodes;
  const auto add = [&](const SpaceBlock& block) {
    if (block.node != 0) nodes.push_back(block.node);
  };
  if (scarce == BindOutcome::Scarce::kUnit) {
    add(binding.storage);
    if (binding.bounce == nullptr) return nodes;
    for (const SpaceBlock& slots : binding.bounce->slots) {
      if (space.Contains(slots.start)) add(slots);
    }
  } else if (binding.addressing == DmaBinding::Addressing::kIova) {
    if (&binding.port->domain() == &port.domain()) {
      add(binding.iova);
    } else if (const DmaAlias* alias = binding.AliasIn(port.domain())) {
      add(alias->iova);
    }
  }
  return nodes;
}

VictimSearch::Victims VictimSearch::ScanForHole(
    RangeAllocator& space, const SpaceRequest& request,
    absl::FunctionRef<Nodes(const BufferObject&)> nodes_of,
    absl::Span<BufferObject* const> spared, bool sparing, bool* found) {
  Victims victims;
  HoleScan scan(space, request);
  Takings takings(*this);
  *found = false;
  left_ = 0;
  for (EvictionOrder* order : orders_) {
    left_ += order->Visit(asker_, [&](EvictionHook& hook) {
      BufferObject& bo = BoOf(hook);
      if (std::find(spared.begin(), spared.end(), &bo) != spared.end())
        return Verdict::kNext;
      if (!TryTake(bo)) return Verdict::kAside;
      const Nodes nodes = nodes_of(bo);
      if (nodes.empty() || (sparing && !takings.Take(bo))) {
        ++skipped_.unhelpful;
        GiveBack(bo);
        return Verdict::kNext;
      }
      victims.push_back(&bo);
      *found = scan.Free(nodes);
      return *found ? Verdict::kStop : Verdict::kNext;
    });
    if (*found) break;
  }
  victims.erase(std::remove_if(victims.begin(), victims.end(),
                               [&](BufferObject* bo) {
                                 if (*found && scan.Needs(nodes_of(*bo))) {
                                   return false;
                                 }
                                 ++skipped_.unhelpful;
                                 GiveBack(*bo);
                                 return true;
                               }),
                victims.end());
  return victims;
}

VictimSearch::Victims VictimSearch::ForHole(
    RangeAllocator& space, const SpaceRequest& request,
    absl::FunctionRef<Nodes(const BufferObject&)> nodes_of, bool* found) {
  absl::InlinedVector<BufferObject*, kMostRescans> spared;
  for (;;) {
    const bool sparing = spared.size() == kMostRescans;
    Victims victims =
        ScanForHole(space, request, nodes_of, spared, sparing, found);
    if (sparing) return victims;
    Takings takings(*this);
    const auto too_much =
        std::find_if(victims.begin(), victims.end(),
                     [&](BufferObject* bo) { return !takings.Take(*bo); });
    if (too_much == victims.end()) return victims;
    spared.push_back(*too_much);
    for (BufferObject* bo : victims) GiveBack(*bo);
  }
}

}  // namespace twostep
