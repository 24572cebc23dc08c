#include "twostep/stress/accounts.h"

#include "absl/strings/str_cat.h"
#include "twostep/dma_types/dma_binder.h"
#include "twostep/mem_types/memory_manager.h"

namespace twostep {

Accounts AccountsOf(Machine& machine, Device& device) {
  Accounts accounts{
      {"frames of DMA32", machine.memory().used_frames(Zone::kDma32)},
      {"frames of NORMAL", machine.memory().used_frames(Zone::kNormal)},
      {"swap slots", machine.swap().used_pages()},
      {"bounce pages", machine.bounce_pool().used_frames()},
      {"coherent frames", machine.coherent_pool().used_frames()},
      {"CMA frames", machine.cma().used_frames()},
      {"direct mappings", machine.domain().direct_pages()}};
  if (machine.domain().translated()) {
    accounts["IOVA pages"] = machine.domain().used_iova_pages();
  }
  for (int type = 0; type < kMaxMemoryTypes; ++type) {
    MemoryManager* manager = device.manager(static_cast<MemoryType>(type));
    if (manager == nullptr) continue;
    accounts[absl::StrCat(manager->name(), " used")] = manager->used_pages();
    accounts[absl::StrCat(manager->name(), " pinned")] =
        manager->pinned_pages_now();
    accounts[absl::StrCat(manager->name(), " order")] = manager->order().size();
  }
  for (int type = 0; type < kMaxDmaTypes; ++type) {
    DmaBinder* binder = device.binder(static_cast<DmaType>(type));
    if (binder == nullptr) continue;
    accounts[absl::StrCat(binder->name(), " bound")] =
        binder->bound_pages_now();
    accounts[absl::StrCat(binder->name(), " pinned")] =
        binder->pinned_pages_now();
    accounts[absl::StrCat(binder->name(), " order")] = binder->order().size();
  }
  return accounts;
}

std::string WhereIs(const BufferObject& bo) {
  static constexpr const char* kHomes[] = {"no pages", "frames",
                                           "a binder's frames", "swap"};
  const MemoryManager& manager = bo.manager();
  return absl::StrCat(bo.binder() == nullptr ? "unbound" : bo.binder()->name(),
                      " + ", manager.name(),
                      manager.kind() == MemoryManager::Kind::kNowhere
                          ? ""
                          : absl::StrCat(" at ", bo.start_page()),
                      ", ", kHomes[static_cast<size_t>(bo.pages().home())]);
}

}  // namespace twostep
