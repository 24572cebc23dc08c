#include "twostep/bo/host.h"

#include <algorithm>
#include <bit>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "twostep/bo/bo_hooks.h"
#include "twostep/bo/bo_views.h"
#include "twostep/bo/device.h"
#include "twostep/bo/error.h"
#include "twostep/bo/mover.h"
#include "twostep/bo/telling.h"
#include "twostep/dma_types/binders.h"
#include "twostep/mem_types/managers.h"

namespace twostep {

absl::StatusOr<std::unique_ptr<Host>> Host::Create(Machine& machine,
                                                   const HostOptions& options) {
  EvictionPolicyFactory make_policy = options.make_eviction_policy;
  if (make_policy == nullptr) {
    auto named = ParseEvictionPolicy(options.eviction_policy);
    if (!named.ok()) return named.status();
    make_policy = *std::move(named);
  }
  return std::unique_ptr<Host>(
      new Host(machine, options, std::move(make_policy)));
}

Host::Host(Machine& machine, HostOptions options,
           EvictionPolicyFactory make_policy)
    : machine_(machine),
      options_(std::move(options)),
      make_policy_(std::move(make_policy)),
      events_(options_.events.ring_events == 0 &&
                      options_.events.callback == nullptr
                  ? nullptr
                  : std::make_unique<Events>(machine.clock(), options_.events)),
      system_manager_(MakeSystemManager(MakePolicy())),
      binders_{MakeNoneBinder(machine, MakePolicy()),
               MakeDynamicBinder(machine, MakePolicy()),
               MakeCoherentBinder(machine, MakePolicy()),
               MakeCmaBinder(machine, MakePolicy())},
      names_(options_.name_seed) {
  while (system_manager_->orders() < kSystemOrders) {
    system_manager_->AddOrder(MakePolicy());
  }
  for (uint8_t i = 0; i < kSystemOrders; ++i) {
    system_manager_->order(i).Serve(BoHooks::OwnerOf(*system_manager_),
                                    make_policy_);
  }
  for (auto& binder : binders_) {
    binder->SetExhaustion(options_.dma_exhaustion);
    binder->order().Serve(BoHooks::OwnerOf(*binder), make_policy_);
    Telling::Name(events(), binder.get(), "", binder->name());
  }
  Telling::Name(events(), system_manager_.get(), "", system_manager_->name());
  Telling::Name(events(), &machine.swap(), "", "swap");
  spare_bindings_.reserve(kMaxSpares);
  if (machine.dma_debug() == nullptr) return;
  machine.dma_debug()->TellTo(this, [this](const DmaMisuse& misuse) {
    ReportMisuse(Misuse{Misuse::Kind::kDma, misuse.message, misuse.kind});
  });
}

Host::~Host() {
  FinishRetiring();
  {
    MutexLock lock(mutex_);
    TWOSTEP_CHECK(devices_.empty());
  }
  slab_.ForEach([this](BufferObject& bo) {
    ReportMisuse({Misuse::Kind::kLiveAtTeardown,
                  absl::StrCat(bo.DebugName(), " outlives its host")});
    GiveUp(bo);
    slab_.Destroy(bo);
  });
  while (ReapGhosts({})) {
  }
  MutexLock lock(mutex_);
  for (const DmaPort& port : joint_ports_) {
    machine_.coherent_pool().Forget(&port);
  }
  // They may have something to report.
  joint_ports_.clear();
  if (machine_.dma_debug() != nullptr) machine_.dma_debug()->StopTelling(this);
}

absl::StatusOr<BoRef> Host::CreateBo(uint64_t size_bytes, ClientRef client) {
  const uint64_t pages = BytesToPages(size_bytes);
  if (pages == 0 || pages >= ~PageCount{0}) {
    absl::Status error = MakeError(
        ErrorKind::kNeverFits,
        absl::StrCat("a bo of ", size_bytes,
                     " bytes: the size must be above 0 and below 16 TiB"));
    Telling::Outcome(*this, nullptr, error);
    return error;
  }
  BoRef bo(
      &slab_.Make(*this, std::move(client), static_cast<PageCount>(pages)));
  Telling::Tell(*bo, EventKind::kCreate, bo->page_count());
  return bo;
}

absl::StatusOr<ClientRef> Host::CreateClient(const ClientOptions& options) {
  for (const Budget* budget : {&options.host, &options.dma, &options.device}) {
    if (budget->min_pages > budget->max_pages ||
        budget->low_pages > budget->max_pages) {
      return absl::InvalidArgumentError(absl::StrCat(
          "client ", options.name, ": of ",
          NameOf(budget == &options.host  ? Resource::kHost
                 : budget == &options.dma ? Resource::kDma
                                          : Resource::kDevice),
          ", more is protected than max_pages, ", budget->max_pages));
    }
  }
  if (options.handles.handles > HandleLimits::kMostHandles) {
    return absl::InvalidArgumentError(
        absl::StrCat("client ", options.name, ": ", options.handles.handles,
                     " handles are more than ", HandleLimits::kMostHandles));
  }
  MutexLock lock(mutex_);
  // Clients stand in the order of their numbers.
  const uint32_t number = clients_.empty() ? 1 : clients_.back()->number() + 1;
  ClientRef client(new Client(*this, number, options));
  clients_.push_back(client.get());
  Telling::NameClient(events(), number, options.name);
  return client;
}

void Host::RemoveClient(Client& client) {
  MutexLock lock(mutex_);
  clients_.erase(std::find(clients_.begin(), clients_.end(), &client));
}

UsageReport Host::Report() {
  UsageReport report;
  report.lines.emplace_back();
  absl::flat_hash_map<const Client*, size_t> places{{nullptr, 0}};
  const auto line_of = [&](const Client* client) -> UsageReport::Line& {
    // It may have come meanwhile; whoever has it keeps it alive.
    const auto [place, added] = places.emplace(client, report.lines.size());
    if (added) report.lines.emplace_back().client = client->name();
    return report.lines[place->second];
  };
  {
    MutexLock lock(mutex_);
    for (const Client* client : clients_) {
      places.emplace(client, report.lines.size());
      report.lines.emplace_back().client = client->name();
    }
  }
  ghosts_.ForEach([&](const Ghost& ghost) {
    UsageReport::Line& line = line_of(ghost.client.get());
    const PageCount pages = ghost.pages.count();
    if (ghost.pages.present()) line.pending_pages[0] += pages;
    if (ghost.binder != nullptr && ghost.binder->can_run_out()) {
      line.pending_pages[1] += pages;
    }
  });
  slab_.ForEachReferenced([&](const BoRef& ref) {
    BufferObject& bo = *ref;
    const bool mine = bo.lock_.HeldByMe();
    if (!mine) bo.lock_.Lock();
    UsageReport::Line& usage = line_of(bo.client().get());
    ++usage.bos;
    if (bo.pages().home() == Pages::Home::kSwapped) {
      usage.swapped_pages += bo.page_count();
    }
    for (int i = 0; i < kResources; ++i) {
      if (!bo.Holds(static_cast<Resource>(i))) continue;
      usage.pages[i] += bo.page_count();
    }
    if (!mine) bo.lock_.Unlock();
  });
  for (const UsageReport::Line& line : report.lines) {
    for (int i = 0; i < kResources; ++i) {
      report.total_pages[i] += line.pages[i] + line.pending_pages[i];
    }
  }
  return report;
}

void Host::Retire(BufferObject& bo) {
  // It stands in no order any more, and is charged for still.
  const InTransit transit(this);
  if (bo.lock_.TryLock()) {
    Destroy(bo);
    return;
  }
  {
    MutexLock lock(mutex_);
    retiring_.push_back(&bo);
    any_retiring_.store(true);
  }
  // The evictor may be gone meanwhile, having found nothing to do.
  FinishRetiring();
}

void Host::DestroyRetired() {
  absl::InlinedVector<BufferObject*, 8> free;
  {
    MutexLock lock(mutex_);
    auto last =
        std::partition(retiring_.begin(), retiring_.end(),
                       [](BufferObject* bo) { return !bo->lock_.TryLock(); });
    free.assign(last, retiring_.end());
    retiring_.erase(last, retiring_.end());
    any_retiring_.store(!retiring_.empty());
  }
  for (BufferObject* bo : free) Destroy(*bo);
}

void Host::AwaitOthers() {
  do {
    auto outcome = ReservationLock::Outcome::kBackOff;
    // Of two that wait for each other one leaves for a moment.
    for (uint64_t tries = 0; outcome != ReservationLock::Outcome::kTaken;
         ++tries) {
      if (tries != 0) YieldFor(tries);
      outcome = InTransit(this).WaitForOthers(WaitLimit{});
    }
    FinishRetiring();
  } while (any_retiring_.load());
}

void Host::Destroy(BufferObject& bo) {
  GiveUp(bo);
  bo.lock_.Unlock();
  slab_.Destroy(bo);
}

void Host::GiveUp(BufferObject& bo) {
  bo.LeaveOrders(Departure::kGone);
  bo.ForgetPins();
  DiscardStorage(bo);
  bo.Uncharge();
  Telling::Tell(bo, EventKind::kDestroy, bo.page_count());
}

void Host::DiscardStorage(BufferObject& bo) {
  // Who comes for it may not be allowed to wait, and then asks nobody.
  bo.fences_.AskFor();
  const bool fixed = bo.manager_->fixed();
  Telling::LeftBehind(bo);
  if (fixed) {
    // Nobody needs to wait for the space but whoever gets it.
    bo.manager_->FreeAfter(bo.block(), bo.page_count(), &bo.fences_);
  } else if (bo.binder_ != nullptr || bo.pages_.home() != Pages::Home::kNone) {
    Ghost ghost(bo);
    if (ghost.fences.Signalled()) {
      ghost.Release(*this);
    } else {
      ghost.TakeCharges(bo);
      ghosts_.Add(std::move(ghost));
    }
  }
  // Whoever had the pages has them no more.
  bo.flags_ &= ~BufferObject::kCpuOwnsPages;
  bo.fences_.Clear();
  bo.SetManager(*system_manager_);
}

bool Host::ReapIdleGhosts(uint64_t* frames) {
  if (NothingLeftBehind()) return false;
  const InTransit transit(this);
  FinishRetiring();
  return ghosts_.ReapIdle(frames);
}

absl::Status Host::ReapGhostsOf(const WaitLimit& limit, const void* part) {
  if (NothingLeftBehind()) return absl::NotFoundError("");
  const InTransit transit(this);
  FinishRetiring();
  return ghosts_.Reap(limit, part);
}

Host::Shrunk Host::Shrink(uint64_t pages, uint32_t max_bos) {
  Shrunk shrunk;
  shrunk.pool_pages = machine_.coherent_pool().GiveBack(pages);
  if (pages != 0) ReapIdleGhosts(&shrunk.left_behind_pages);
  if (shrunk.frames() < pages) {
    shrunk.shrinker_pages = shrinkers_.Ask(pages - shrunk.frames());
  }
  if (shrunk.frames() < pages) {
    Mover mover(*this, WaitLimit{WaitLimit::Mode::kNoWait});
    shrunk.bo_pages = mover.GiveUpFrames(pages - shrunk.frames(), max_bos);
  }
  return shrunk;
}

std::unique_ptr<DmaBinding> Host::TakeBinding() {
  {
    SpinLockHolder hold(binding_lock_);
    if (!spare_bindings_.empty()) {
      std::unique_ptr<DmaBinding> binding = std::move(spare_bindings_.back());
      spare_bindings_.pop_back();
      return binding;
    }
  }
  return std::make_unique<DmaBinding>();
}

// An unbound binding is as a fresh one.
void Host::ReturnBinding(std::unique_ptr<DmaBinding> binding) {
  TWOSTEP_DCHECK(binding->port == nullptr);
  SpinLockHolder hold(binding_lock_);
  if (spare_bindings_.size() < kMaxSpares) {
    spare_bindings_.push_back(std::move(binding));
  }
}

bool Host::IsBuiltIn(const DmaBinder& binder) const {
  return std::any_of(binders_.begin(), binders_.end(),
                     [&](const auto& one) { return one.get() == &binder; });
}

DmaPort& Host::JointPort(const DmaPort& like, DmaAddress highest,
                         const SegmentLimits& limits) {
  MutexLock lock(mutex_);
  for (DmaPort& port : joint_ports_) {
    if (&port.domain() == &like.domain() && port.highest() == highest &&
        port.coherent() == like.coherent() && port.limits() == limits) {
      return port;
    }
  }
  return joint_ports_.emplace_back(like.domain(), machine_.memory(),
                                   std::bit_width(highest), like.coherent(),
                                   limits);
}

absl::InlinedVector<MemoryManager*, 16> Host::Managers(
    MemoryManager::Kind kind) const {
  absl::InlinedVector<MemoryManager*, 16> managers;
  MutexLock lock(mutex_);
  for (const Device* device : devices_) {
    for (int type = 0; type < kMaxMemoryTypes; ++type) {
      MemoryManager* manager = device->manager(static_cast<MemoryType>(type));
      if (manager != nullptr && manager->kind() == kind) {
        managers.push_back(manager);
      }
    }
  }
  return managers;
}

absl::InlinedVector<DmaBinder*, 16> Host::Binders() const {
  absl::InlinedVector<DmaBinder*, 16> binders;
  for (const auto& binder : binders_) binders.push_back(binder.get());
  MutexLock lock(mutex_);
  for (const Device* device : devices_) {
    for (int type = static_cast<int>(DmaType::kFirstRegistered);
         type < kMaxDmaTypes; ++type) {
      DmaBinder* binder = device->binder(static_cast<DmaType>(type));
      if (binder != nullptr) binders.push_back(binder);
    }
  }
  return binders;
}

uint8_t Host::AddDevice(Device& device) {
  MutexLock lock(mutex_);
  devices_.push_back(&device);
  return static_cast<uint8_t>(devices_made_++ % kSystemOrders);
}

void Host::RemoveDevice(Device& device) {
  MutexLock lock(mutex_);
  devices_.erase(std::find(devices_.begin(), devices_.end(), &device));
}

void Host::ReportMisuse(const Misuse& misuse) {
  if (options_.misuse_handler) {
    options_.misuse_handler(misuse);
    return;
  }
  std::fprintf(stderr, "twostep: misuse: %s\n", misuse.message.c_str());
  std::fflush(stderr);
  std::abort();
}

}  // namespace twostep
