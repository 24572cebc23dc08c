#include "twostep/bo/bo_hooks.h"

#include "boost/intrusive/parent_from_member.hpp"
#include "twostep/bo/host.h"
#include "twostep/dma_types/dma_binder.h"
#include "twostep/machine/clock.h"

namespace twostep {

BufferObject& BoHooks::BoOfMemoryHook(EvictionHook& hook) {
  return *boost::intrusive::get_parent_from_member(&hook,
                                                   &BufferObject::memory_hook_);
}

BufferObject& BoHooks::BoOfDmaHook(EvictionHook& hook) {
  return *boost::intrusive::get_parent_from_member(&hook,
                                                   &BufferObject::dma_hook_);
}

namespace {

EvictionFacts IdentityOf(const BufferObject& bo) {
  return {.key = bo.id(), .bytes = bo.size_bytes()};
}

EvictionFacts FactsOf(const BufferObject& bo) {
  EvictionFacts facts = IdentityOf(bo);
  if (bo.client() != nullptr) facts.client = bo.client()->number();
  facts.priority = bo.priority();
  return facts;
}

}  // namespace

EvictionFacts BoHooks::MemoryFacts(const BufferObject& bo,
                                   const MemoryManager& manager) {
  const CostModel& cost = bo.host().machine().cost();
  EvictionFacts facts = FactsOf(bo);
  switch (manager.kind()) {
    case MemoryManager::Kind::kFixed:
      facts.cost_ns = cost.engine_latency_ns +
                      TransferNs(facts.bytes, cost.engine_mib_per_s);
      facts.dirty = !bo.worthless();
      break;
    case MemoryManager::Kind::kAperture:
      facts.cost_ns = cost.map_ns + bo.page_count() * cost.map_page_ns;
      break;
    case MemoryManager::Kind::kNowhere:
      facts.cost_ns =
          cost.swap_latency_ns + TransferNs(facts.bytes, cost.swap_mib_per_s);
      facts.dirty = !bo.worthless();
      break;
  }
  return facts;
}

EvictionOwner BoHooks::OwnerOf(const MemoryManager& manager) {
  return {
      .facts_of =
          [](const void* context, const EvictionHook& hook) {
            return MemoryFacts(BoOfMemoryHook(const_cast<EvictionHook&>(hook)),
                               *static_cast<const MemoryManager*>(context));
          },
      .identity_of =
          [](const void*, const EvictionHook& hook) {
            return IdentityOf(BoOfMemoryHook(const_cast<EvictionHook&>(hook)));
          },
      .context = &manager,
      .capacity_bytes = PagesToBytes(manager.pages()),
      .touches_arrivals = true};
}

EvictionOwner BoHooks::OwnerOf(const DmaBinder& binder) {
  return {
      .facts_of =
          [](const void*, const EvictionHook& hook) {
            const BufferObject& bo =
                BoOfDmaHook(const_cast<EvictionHook&>(hook));
            const CostModel& cost = bo.host().machine().cost();
            EvictionFacts facts = FactsOf(bo);
            facts.dirty =
                bo.pages().home() == Pages::Home::kBinder && !bo.worthless();
            facts.cost_ns = cost.map_ns + bo.page_count() * cost.map_page_ns;
            if (facts.dirty) {
              facts.cost_ns += TransferNs(facts.bytes, cost.cpu_copy_mib_per_s);
            }
            return facts;
          },
      .identity_of =
          [](const void*, const EvictionHook& hook) {
            return IdentityOf(BoOfDmaHook(const_cast<EvictionHook&>(hook)));
          },
      .context = &binder,
      .capacity_bytes = binder.unit_bytes(),
      .touches_arrivals = true};
}

}  // namespace twostep
