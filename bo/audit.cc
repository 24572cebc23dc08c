#include "twostep/bo/audit.h"

#include <algorithm>
#include <array>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "twostep/bo/bo_views.h"
#include "twostep/bo/device.h"
#include "twostep/bo/shared_buffer.h"
#include "twostep/dma_types/dma_binder.h"

namespace twostep {

namespace {

// Devices share some. In the order of the devices, as that of addresses would
// be another one in each process, and a schedule (docs/schedules.md) not be the
// same one.
template <typename Owner>
void AddOnce(Owner* owner, std::vector<const Owner*>* owners) {
  if (owner == nullptr) return;
  if (std::find(owners->begin(), owners->end(), owner) == owners->end()) {
    owners->push_back(owner);
  }
}

}  // namespace

// What bos and ghosts hold, to compare with what the owners count.
struct Audit::Totals {
  uint64_t memory_frames[2] = {0, 0};
  uint64_t swap_slots = 0;
  uint64_t bounce_frames = 0;
  std::map<const DmaDomain*, uint64_t> iova_pages;
  std::map<const DmaDomain*, uint64_t> direct_pages;
  uint64_t coherent_frames = 0;
  uint64_t cma_frames = 0;
  std::map<const MemoryManager*, uint64_t> memory_type_pages;
  std::map<const MemoryManager*, uint64_t> in_memory_order;
  std::map<const DmaBinder*, uint64_t> bound_pages;
  std::map<const DmaBinder*, uint64_t> in_dma_order;
  std::map<const Client*, std::array<uint64_t, kResources>> of_clients;
};

std::vector<Violation> Audit::Run(Host& host) {
  Audit audit(host);
  Totals totals;
  host.slab_.ForEach([&](BufferObject& bo) { audit.CheckBo(bo, &totals); });
  host.ghosts_.ForEach(
      [&](const Ghost& ghost) { audit.CheckGhost(ghost, &totals); });
  audit.CheckTotals(totals);
  return std::move(audit.violations_);
}

void Audit::CheckGhost(const Ghost& ghost, Totals* totals) {
  CountPages(ghost.pages, totals);
  if (ghost.manager != nullptr) {
    totals->memory_type_pages[ghost.manager] += ghost.pages.count();
  }
  if (ghost.binder != nullptr) {
    totals->bound_pages[ghost.binder] += ghost.pages.count();
    CheckBinding("storage waiting for its fence", ghost.pages, *ghost.binding,
                 totals);
  }
  const bool bound = ghost.binder != nullptr && ghost.binder->can_run_out();
  const std::array<bool, kResources> holds{ghost.pages.present(), bound};
  for (int i = 0; i < kResources; ++i) {
    if (!ghost.charged[i]) continue;
    totals->of_clients[ghost.client.get()][i] += ghost.pages.count();
    if (holds[i]) continue;
    Add("R13",
        absl::StrCat("storage waiting for its fence is charged for ",
                     NameOf(static_cast<Resource>(i)), ", and holds none"));
  }
}

void Audit::Add(const char* rule, std::string what) {
  violations_.push_back(Violation{rule, std::move(what)});
}

void Audit::Compare(const char* rule, const std::string& what, uint64_t counted,
                    uint64_t found) {
  if (counted == found) return;
  Add(rule, absl::StrCat(what, ": counted ", counted, ", found ", found));
}

void Audit::CountPages(const Pages& pages, Totals* totals) {
  switch (pages.home()) {
    case Pages::Home::kNone:
    case Pages::Home::kBinder:
      break;
    case Pages::Home::kMemory:
      for (const FrameNumber frame : pages.frames()) {
        ++totals
              ->memory_frames[static_cast<int>(PhysicalMemory::ZoneOf(frame))];
      }
      break;
    case Pages::Home::kSwapped:
      totals->swap_slots += pages.count();
      break;
  }
}

void Audit::CheckBo(BufferObject& bo, Totals* totals) {
  const std::string name = bo.DebugName();
  CountPages(bo.pages_, totals);
  totals->memory_type_pages[bo.manager_] += bo.page_count();
  if ((bo.binder_ == nullptr) != (bo.binding_ == nullptr)) {
    Add("R2", absl::StrCat(name, " is half DMA-bound"));
    return;
  }
  if (bo.binder_ != nullptr) {
    totals->bound_pages[bo.binder_] += bo.page_count();
    CheckBinding(name, bo.pages_, *bo.binding_, totals);
    if (bo.manager_->fixed()) {
      Add("R2", absl::StrCat(name, " is in fixed memory and DMA-bound"));
    }
  }
  const Sharing* sharing = BoViews::SharingOf(bo);
  if (sharing != nullptr) CheckSharing(bo, *sharing);
  if (bo.manager_->fixed() && bo.pages_.home() != Pages::Home::kNone) {
    Add("R2", absl::StrCat(name, " is in fixed memory and has pages"));
  }
  if (bo.manager_->kind() == MemoryManager::Kind::kAperture) CheckAperture(bo);
  CheckOrders(bo);
  totals->in_memory_order[bo.manager_] +=
      (bo.flags_ & BufferObject::kInMemoryOrder) != 0;
  totals->in_dma_order[bo.binder_] +=
      (bo.flags_ & BufferObject::kInDmaOrder) != 0;
  for (int i = 0; i < kResources && bo.client_ != nullptr; ++i) {
    const auto resource = static_cast<Resource>(i);
    totals->of_clients[bo.client_.get()][i] +=
        bo.Holds(resource) ? bo.page_count() : 0;
    if (bo.Charged(resource) != bo.Holds(resource)) {
      Add("R13",
          absl::StrCat(name, bo.Holds(resource) ? " holds " : " holds no ",
                       NameOf(resource), ", and is charged otherwise"));
    }
  }
}

void Audit::CheckAperture(BufferObject& bo) {
  if (bo.binder_ == nullptr) {
    Add("R1", absl::StrCat(bo.DebugName(), " is in ", bo.manager_->name(),
                           " and not DMA-bound"));
    return;
  }
  const ApertureTable* table = bo.manager_->aperture();
  if (table == nullptr) return;
  for (PageCount page = 0; page < bo.page_count(); ++page) {
    const DmaAddress want = bo.binding_->Address(bo.pages_, page);
    const DmaAddress shown = table->Get(uint64_t{bo.start_} + page);
    if (shown == want) continue;
    Add("R1",
        absl::StrCat(bo.DebugName(), " page ", page, ": ", bo.manager_->name(),
                     " shows ", shown, ", it is bound at ", want));
    return;
  }
}

void Audit::CheckOrders(BufferObject& bo) {
  // By the bo's own word: what a policy does with a hook is the policy's.
  const bool in_memory_order = (bo.flags_ & BufferObject::kInMemoryOrder) != 0;
  const bool in_dma_order = (bo.flags_ & BufferObject::kInDmaOrder) != 0;
  const bool evictable =
      !bo.pinned() && (bo.manager_->kind() != MemoryManager::Kind::kNowhere ||
                       bo.pages_.home() == Pages::Home::kMemory);
  if (in_memory_order != evictable) {
    Add("R3", absl::StrCat(bo.DebugName(),
                           evictable ? " is missing from" : " stands on",
                           " the order of ", bo.manager_->name()));
  }
  const bool dma_evictable =
      !bo.pinned() && bo.binder_ != nullptr && bo.binder_->can_run_out();
  if (in_dma_order != dma_evictable) {
    Add("R3", absl::StrCat(bo.DebugName(),
                           dma_evictable ? " is missing from" : " stands on",
                           " a DMA order"));
  }
}

void Audit::CheckBinding(const std::string& name, const Pages& pages,
                         const DmaBinding& binding, Totals* totals) {
  if (binding.has_addresses()) CheckAddresses(name, pages, binding, totals);
  if (pages.home() != Pages::Home::kBinder) return;
  const Machine& machine = host_.machine_;
  for (const FrameNumber frame : pages.frames()) {
    if (machine.coherent_pool().Contains(frame)) ++totals->coherent_frames;
    if (machine.cma().Contains(frame)) ++totals->cma_frames;
  }
}

void Audit::CheckAddresses(const std::string& name, const Pages& pages,
                           const DmaBinding& binding, Totals* totals) {
  const bool iova = binding.addressing == DmaBinding::Addressing::kIova;
  auto& mapped = iova ? totals->iova_pages : totals->direct_pages;
  mapped[&binding.port->domain()] += pages.count();
  for (PageCount page = 0; page < pages.count(); ++page) {
    const FrameNumber frame = binding.Frame(pages, page);
    // Registered DMA types have bounce pages of their own.
    totals->bounce_frames += frame != pages.frames()[page] &&
                             host_.machine_.bounce_pool().Contains(frame);
  }
  CheckReach(name, pages, binding, *binding.port, binding.port->highest());
  if (!binding.KeepsTo(binding.port->domain(), pages, binding.port->limits())) {
    Add("R8", absl::StrCat(name,
                           " lies in more segments than its device takes, or "
                           "in blocks that are not aligned"));
  }
  if (binding.aliases != nullptr) {
    for (const DmaAlias& alias : *binding.aliases) {
      mapped[alias.domain] += pages.count();
    }
  }
}

void Audit::CheckReach(const std::string& name, const Pages& pages,
                       const DmaBinding& binding, const DmaPort& port,
                       DmaAddress highest) {
  bool reached = true;
  bool masked = true;
  for (PageCount page = 0; page < pages.count(); ++page) {
    const DmaAddress address = binding.AddressIn(port.domain(), pages, page);
    reached &= port.domain().Translate(address) == binding.Frame(pages, page);
    masked &= address + (kPageSize - 1) <= highest;
  }
  if (!reached) {
    Add("R7", absl::StrCat(name, ": an address does not reach its frame"));
  }
  if (!masked) {
    Add("R8", absl::StrCat(name, ": an address is above the device's mask"));
  }
}

void Audit::CheckSharing(const BufferObject& bo, const Sharing& sharing) {
  uint64_t alias_users = 0;
  for (const SharedAttachment* attachment : sharing.attachments()) {
    const std::string name = absl::StrCat(bo.DebugName(), " attached to ",
                                          attachment->device_->name());
    const DmaPort& port = attachment->device_->port();
    const bool reachable =
        bo.binding_ != nullptr && bo.binding_->ReachableIn(port.domain());
    alias_users += reachable && &port.domain() != &bo.binding_->port->domain();
    if (!attachment->mapped_) continue;
    if (!reachable) {
      Add("R7", absl::StrCat(name, " has addresses, and is not DMA-bound"));
      continue;
    }
    const ShareConstraints& wants = attachment->options_.constraints;
    CheckReach(name, bo.pages_, *bo.binding_, port,
               SharingParty{"", &port, wants}.highest());
    if (attachment->Segments().size() > wants.max_segments) {
      Add("R8", absl::StrCat(name, " has more segments than it takes"));
    }
    if (attachment->pins_ && !bo.pinned()) {
      Add("R3", absl::StrCat(name, " has pinned it, yet it is not pinned"));
    }
  }
  if (bo.binding_ != nullptr && bo.binding_->aliases != nullptr &&
      alias_users < bo.binding_->aliases->size()) {
    Add("R7", absl::StrCat(bo.DebugName(),
                           " can be reached from a domain without any device "
                           "that it is shared with"));
  }
}

void Audit::CheckTotals(const Totals& totals) {
  CheckClients(totals);
  Machine& machine = host_.machine_;
  Compare("R13", "frames of DMA32", machine.memory().used_frames(Zone::kDma32),
          totals.memory_frames[0]);
  Compare("R13", "frames of NORMAL",
          machine.memory().used_frames(Zone::kNormal), totals.memory_frames[1]);
  Compare("R13", "swap slots", machine.swap().used_pages(), totals.swap_slots);
  Compare("R13", "bounce pages", machine.bounce_pool().used_frames(),
          totals.bounce_frames);
  const DmaOwners& owners = host_.dma_owners_;
  Compare("R13", "coherent frames", machine.coherent_pool().used_frames(),
          totals.coherent_frames + owners.pages());
  Compare("R13", "CMA frames", machine.cma().used_frames(), totals.cma_frames);
  const CmaNeighbours* const neighbours = machine.cma().neighbours();
  if (neighbours != nullptr) {
    Compare("R6", "damaged pages of the host's in the CMA area",
            neighbours->damaged_pages(), 0);
  }
  // Anything mapped beyond what bos are bound to could still be reached.
  const auto found = [](const auto& map, const auto* key) {
    const auto it = map.find(key);
    return it == map.end() ? 0 : it->second;
  };
  for (uint32_t number = 0; number < machine.domains(); ++number) {
    const DmaDomain& domain = machine.domain(number);
    if (domain.translated()) {
      Compare("R7", absl::StrCat("IOVA pages of ", domain.name()),
              domain.used_iova_pages(),
              found(totals.iova_pages, &domain) + owners.iova_pages(domain));
    }
    Compare("R7", absl::StrCat("direct mappings of ", domain.name()),
            domain.direct_pages(),
            found(totals.direct_pages, &domain) + owners.direct_pages(domain));
  }

  std::vector<const MemoryManager*> managers;
  std::vector<const DmaBinder*> binders;
  MutexLock lock(host_.mutex_);
  for (Device* device : host_.devices_) {
    for (int type = 0; type < kMaxMemoryTypes; ++type) {
      AddOnce(device->manager(static_cast<MemoryType>(type)), &managers);
    }
    for (int type = 0; type < kMaxDmaTypes; ++type) {
      AddOnce(device->binder(static_cast<DmaType>(type)), &binders);
    }
    if (device->port().faults() != 0) {
      Add("R7",
          absl::StrCat(device->name(), ": ", device->port().faults(),
                       " DMA faults, the last: ", device->port().last_fault()));
    }
  }
  for (const MemoryManager* manager : managers) {
    Compare("R3", absl::StrCat("entries in the order of ", manager->name()),
            manager->order_size(), found(totals.in_memory_order, manager));
    if (manager->kind() == MemoryManager::Kind::kNowhere) continue;
    Compare("R13", absl::StrCat("pages of ", manager->name()),
            manager->used_pages(), found(totals.memory_type_pages, manager));
  }
  for (const DmaBinder* binder : binders) {
    Compare("R3", absl::StrCat("entries in the order of ", binder->name()),
            binder->order().size(), found(totals.in_dma_order, binder));
    Compare("R13", absl::StrCat("pages bound by ", binder->name()),
            binder->bound_pages_now(), found(totals.bound_pages, binder));
  }
}

void Audit::CheckClients(const Totals& totals) {
  MutexLock lock(host_.mutex_);
  for (const Client* client : host_.clients_) {
    const auto held = totals.of_clients.find(client);
    for (int i = 0; i < kResources; ++i) {
      const EvictionAccount& account = *client->accounts_[i];
      const std::string what =
          absl::StrCat(client->name(), "'s ", NameOf(static_cast<Resource>(i)));
      Compare("R13", what, account.used_pages(),
              held == totals.of_clients.end() ? 0 : held->second[i]);
      if (account.used_pages() > account.budget().max_pages) {
        Add("R13", absl::StrCat(what, " is above its limit"));
      }
    }
  }
}

}  // namespace twostep
