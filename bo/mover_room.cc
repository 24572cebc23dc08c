// The half of Mover that makes room: space in memory types, DMA resources,
// frames, and the evictions behind them.

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "twostep/bo/bo_hooks.h"
#include "twostep/bo/bo_views.h"
#include "twostep/bo/mover.h"
#include "twostep/bo/telling.h"

namespace twostep {

Mover::Result Mover::Short() const {
  return met_busy_.ok() ? Result::kShort : Result::kBusy;
}

Mover::Result Mover::Busy(absl::Status pending) {
  if (met_busy_.ok()) met_busy_ = std::move(pending);
  return Result::kBusy;
}

Mover::Result Mover::Waited(const absl::Status& status) {
  if (status.ok()) return Result::kDone;
  absl::Status error = WaitError(status);
  return KindOf(error) == ErrorKind::kBusy ? Busy(std::move(error))
                                           : Fail(std::move(error));
}

Mover::Result Mover::Reserved(ReservationLock::Outcome outcome, const BoRef& bo,
                              ReservationLock* gate) {
  using Outcome = ReservationLock::Outcome;
  if (outcome == Outcome::kTaken || outcome == Outcome::kMine) {
    return Result::kDone;
  }
  absl::Status error = ReservationError(
      outcome, bo != nullptr     ? bo->DebugName()
               : gate != nullptr ? "room that is being made"
                                 : "a bo on its way to another place");
  if (outcome == Outcome::kBusy) return Busy(std::move(error));
  failure_ = std::move(error);
  if (outcome != Outcome::kBackOff) return Result::kFailed;
  contention_ = Contention{bo, gate};
  return Result::kLost;
}

Mover::Result Mover::WaitIdle(BufferObject& bo) {
  if (bo.fences_.Signalled()) return Result::kDone;
  const Telling::Wait told(bo);
  return Waited(bo.fences_.Wait(FenceUse::kRead, wait_));
}

void Mover::Settle(BufferObject& victim, Result result) {
  const auto awaited =
      std::find_if(awaited_.begin(), awaited_.end(),
                   [&](const BoRef& bo) { return bo.get() == &victim; });
  if (result != Result::kDone) unmovable_.push_back(&victim);
  if (awaited != awaited_.end()) {
    kept_.push_back(std::move(*awaited));
    awaited_.erase(awaited);
  }
  Telling::Settled(victim, result == Result::kDone);
  if (result == Result::kDone) victim.lock_.Unlock();
}

// --- Room ---

ReservationLock::Outcome Mover::LockAged(ReservationLock& lock) {
  if (FaultAt(host_.machine().faults(), FaultKind::kBackoff)) {
    return ReservationLock::MadeWay(wait_);
  }
  if (lock.TryLock()) return ReservationLock::Outcome::kTaken;
  ComeOfAge();
  return lock.LockWithin(wait_, ReservationLock::Meeting::kBackOff);
}

void Mover::ComeOfAge() {
  if (!Ticket::Exists()) late_ticket_.emplace();
}

Mover::Result Mover::Close(Room* room) {
  const ReservationLock::Outcome outcome = LockAged(room->gate);
  room->closed = outcome == ReservationLock::Outcome::kTaken;
  if (room->closed && room->binder != nullptr) room->binder->AwaitBinds();
  return Reserved(outcome, nullptr, &room->gate);
}

Mover::Result Mover::MakeRoom(Room* room, absl::FunctionRef<Result()> evict) {
  if (!room->gate.HeldByMe()) {
    const bool free = !room->gate.Held();
    const Result closed = Close(room);
    // Others may have made, or taken, what there was: ask again inside.
    if (closed != Result::kDone || !free) return closed;
  }
  // Each stays reserved. Who may not wait is not to go through all that there
  // are.
  if (unmovable_.size() >= kMostBusy && !met_busy_.ok()) return Result::kBusy;
  left_ = 0;
  Result result = evict();
  // Of those that have left an order since, some may still have their room, or
  // have given it up only now: it is asked for again once all others are out of
  // their moves. With the gate closed nobody comes in, so this ends; but for
  // those that leave to come back (pins).
  const bool settled =
      room->settles == kMostSettles ||
      (room->settles != 0 && left_.has_value() && room->left == left_);
  if (result == Result::kShort && !settled) {
    room->left = left_;
    ++room->settles;
    ComeOfAge();
    result = Reserved(transit_.WaitForOthers(wait_), nullptr, nullptr);
  }
  return result == Result::kShort ? Short() : result;
}

Mover::Result Mover::AwaitVictim(
    const VictimSearch& search,
    absl::FunctionRef<bool(const BufferObject&)> fits) {
  const BoRef& bo = search.passed_over();
  if (bo == nullptr) {
    left_ = search.left();
    // What others give up meanwhile counts as well.
    if (left_.has_value()) {
      *left_ += host_.ghosts_.left();
    }
    return Result::kShort;
  }
  const Result result = Reserved(LockAged(bo->lock_), bo, nullptr);
  if (result != Result::kDone) return result;
  if (fits(*bo)) {
    awaited_.push_back(bo);
  } else {
    bo->lock_.Unlock();
  }
  return result;
}

// --- Limits ---

Mover::Result Mover::Charge(BufferObject& bo,
                            std::initializer_list<Resource> resources,
                            Evicting evicting) {
  if (bo.client_ == nullptr) return Result::kDone;
  Client& client = *bo.client_;
  for (const Resource resource : resources) {
    if (bo.Charged(resource)) continue;
    EvictionAccount& account = client.ChargedTo(resource);
    Room room(client.gate(resource));
    const auto charge = [&] {
      if (room.gate.HeldByOther() || !account.TryCharge(bo.page_count())) {
        return false;
      }
      if (!room.gate.HeldByOther()) return true;
      // It may be what the other one has just made.
      account.Uncharge(bo.page_count());
      return false;
    };
    Result made = Result::kDone;
    while (made == Result::kDone && !charge()) {
      made = Result::kShort;
      if (bo.page_count() <= account.budget().max_pages &&
          evicting == Evicting::kYes) {
        made = MakeRoom(&room, [&] { return EvictOwn(client, resource); });
      }
    }
    if (made != Result::kDone) {
      at_limit_ = AtLimit{&client, resource};
      return made;
    }
    bo.SetCharged(resource, true);
  }
  return Result::kDone;
}

Mover::Result Mover::ChargeFor(BufferObject& bo, Device& device,
                               const Placement& placement, Evicting evicting) {
  if (bo.client_ == nullptr) return Result::kDone;
  const MemoryManager& to = *device.manager(placement.memory);
  if (to.fixed()) return Charge(bo, {Resource::kDevice}, evicting);
  const bool bound = to.kind() == MemoryManager::Kind::kAperture ||
                     placement.dma != DmaType::kNone;
  if (bound && device.binder(placement.dma)->can_run_out()) {
    return Charge(bo, {Resource::kHost, Resource::kDma}, evicting);
  }
  return Charge(bo, {Resource::kHost}, evicting);
}

// Others do not pay for a client that is at its limit.
Mover::Result Mover::EvictOwn(const Client& client, Resource resource) {
  // What it has left behind, it has still.
  const Result reaped = ReapGhosts(&client.account(resource));
  if (reaped != Result::kShort) return reaped;
  VictimSearch::Orders orders;
  switch (resource) {
    case Resource::kHost:
      return SwapOutOne(&client);
    case Resource::kDma:
      for (DmaBinder* binder : host_.Binders()) {
        orders.push_back(&binder->order());
      }
      return EvictOne(std::move(orders), client, resource);
    case Resource::kDevice:
      for (MemoryManager* manager :
           host_.Managers(MemoryManager::Kind::kFixed)) {
        orders.push_back(&manager->order());
      }
      return EvictOne(std::move(orders), client, resource);
  }
  return Result::kShort;
}

Mover::Result Mover::EvictOne(VictimSearch::Orders orders, const Client& client,
                              Resource resource) {
  if (depth_ >= kMaxDepth) return Result::kShort;
  const bool dma = resource == Resource::kDma;
  VictimSearch search(
      std::move(orders),
      dma ? VictimSearch::Order::kDma : VictimSearch::Order::kMemory,
      {&client.account(resource), /*own_only=*/true}, resource, awaited_);
  // Copies from fixed memory are queued: nobody waits for them here.
  const VictimSearch::Victims victims =
      dma ? FirstIdle(&search, resource) : search.First();
  Telling::Searched(host_, search,
                    dma ? EventLimit::kClientDma : EventLimit::kClientDevice,
                    &client, unmovable_.size(), 0);
  if (!victims.empty()) {
    return EvictAll(search, victims, [&](BufferObject& victim) {
      return dma ? EvictDma(victim, Departure::kEvicted) : EvictGpu(victim);
    });
  }
  return AwaitVictim(search, [&](const BufferObject& bo) {
    return !bo.pinned() && bo.Holds(resource);
  });
}

// --- Step 2: space in a memory type ---

Mover::Result Mover::TakeSpace(const BufferObject& bo, MemoryManager& manager,
                               const SpaceRequest& request, Evicting evicting,
                               SpaceBlock* block, FenceSet* fences) {
  if (taken_.has_value() && taken_->manager == &manager) {
    *block = taken_->block;
    *fences = std::move(taken_->fences);
    taken_.reset();
    return Result::kDone;
  }
  Room room(manager.gate());
  bool expected = false;
  for (;;) {
    Shortage::Kind kind = Shortage::Kind::kFull;
    if (!room.gate.HeldByOther()) kind = manager.Allocate(request, block);
    if (kind == Shortage::Kind::kNone && room.gate.HeldByOther()) {
      // It may be what the other one has just made.
      manager.Free(*block, static_cast<PageCount>(request.size));
      kind = Shortage::Kind::kFull;
    }
    if (kind == Shortage::Kind::kNone) {
      if (!manager.fixed() || !manager.AppendFreedFences(fences) ||
          wait_.mode == WaitLimit::Mode::kWait) {
        return Result::kDone;
      }
      const Result waited = Waited(fences->Wait(FenceUse::kRead, wait_));
      if (waited != Result::kDone) {
        manager.Free(*block, static_cast<PageCount>(request.size));
      }
      return waited;
    }
    if (kind == Shortage::Kind::kNeverFits ||
        kind == Shortage::Kind::kNotInUse) {
      return Result::kShort;
    }
    if (host_.ReapGhosts({WaitLimit::Mode::kNoWait})) continue;
    if (evicting == Evicting::kNo) return Result::kShort;
    const Result made = MakeRoom(&room, [&] {
      const Result reaped = ReapGhosts(&manager);
      if (reaped != Result::kShort) return reaped;
      if (!std::exchange(expected, true) && manager.order().Expects()) {
        manager.order().Expect(
            BoHooks::MemoryFacts(bo, manager),
            bo.PlaceIn(manager.order(),
                       manager.fixed() ? Resource::kDevice : Resource::kHost));
      }
      return EvictForSpace(manager, request);
    });
    if (made != Result::kDone) return made;
  }
}

Mover::Result Mover::ReapGhosts(const void* part) {
  const absl::Status reaped = host_.ReapGhostsOf(wait_, part);
  if (reaped.code() == absl::StatusCode::kNotFound) return Result::kShort;
  const Result waited = Waited(reaped);
  return waited == Result::kBusy ? Result::kShort : waited;
}

namespace {

// Whether a bo's leaving could help a request at all. Asks for the segments
// under the lock of the order: only managers that do not choose by position,
// which is the other way round, get here.
bool StandsIn(const MemoryManager& manager, const BufferObject& bo,
              const SpaceRequest& request) {
  if (request.first == 0 && request.end >= manager.pages()) return true;
  bool stands = false;
  manager.ForEachSegment(
      bo.block(), bo.page_count(), [&](uint64_t start, uint64_t pages) {
        stands |= start < request.end && start + pages > request.first;
      });
  return stands;
}

}  // namespace

Mover::Result Mover::EvictForSpace(MemoryManager& manager,
                                   const SpaceRequest& request) {
  if (depth_ >= kMaxDepth) return Result::kShort;
  VictimSearch search(
      {&manager.order()}, VictimSearch::Order::kMemory,
      AskerFor(manager.fixed() ? Resource::kDevice : Resource::kHost),
      manager.fixed() ? std::optional<Resource>(Resource::kDevice)
                      : std::nullopt,
      awaited_);
  const auto find = [&](bool* found) {
    VictimSearch::Victims victims;
    const bool by_position = manager.WithSpace([&](RangeAllocator& space) {
      victims = search.ForHole(
          space, request,
          [](const BufferObject& bo) { return VictimSearch::Nodes{bo.node_}; },
          found);
    });
    if (by_position) return victims;
    victims = search.First(
        [&](const BufferObject& bo) { return StandsIn(manager, bo, request); });
    *found = !victims.empty();
    return victims;
  };
  bool found = false;
  VictimSearch::Victims victims = find(&found);
  // Copies from fixed memory are queued: nobody waits for them here.
  if (found && !manager.fixed()) {
    PreferIdle(&victims, search, Resource::kHost, find);
  }
  Telling::Searched(host_, search, EventLimit::kMemoryType, &manager,
                    unmovable_.size(), manager.pinned_pages_now());
  if (!found) {
    return AwaitVictim(search, [&](const BufferObject& bo) {
      return bo.manager_ == &manager && !bo.pinned();
    });
  }
  return EvictAll(search, victims, [&](BufferObject& victim) {
    const Result result = EvictGpu(victim);
    // One that came back to where it was is not to be evicted once more.
    return result == Result::kDone && victim.manager_ == &manager
               ? Result::kShort
               : result;
  });
}

Mover::Result Mover::EvictGpu(BufferObject& victim) {
  MemoryManager& from = *victim.manager_;
  if (victim.worthless()) {
    victim.flags_ |= BufferObject::kPurged;
    Drop(victim);
    ++host_.stats().purges;
    return Result::kDone;
  }
  Result result = Result::kShort;
  if (from.fixed()) {
    ++depth_;
    const BindOutcome outcome = dma_outcome_;
    Device& device = *victim.device_;
    for (const Placement& placement : device.hooks().EvictTo(victim)) {
      result = Place(victim, device, placement,
                     depth_ < kMaxDepth ? Evicting::kYes : Evicting::kNo);
      if (result == Result::kDone || result == Result::kLost) break;
    }
    if (result == Result::kShort) NoteStuck();
    dma_outcome_ = outcome;
    --depth_;
  } else {
    result = WaitIdle(victim);
    if (result == Result::kDone) HideFromGpu(victim, Departure::kEvicted);
  }
  if (result == Result::kDone) ++from.evictions();
  return result;
}

void Mover::HideFromGpu(BufferObject& bo, Departure why) {
  bo.LeaveMemoryOrder(why);
  HideFromAperture(bo);
  bo.JoinOrders();
}

void Mover::ShowInAperture(BufferObject& bo, MemoryManager& manager,
                           const SpaceBlock& block) {
  absl::InlinedVector<DmaAddress, 64> addresses(bo.page_count());
  for (PageCount i = 0; i < bo.page_count(); ++i) {
    addresses[i] = bo.binding_->Address(bo.pages_, i);
  }
  manager.Bind(block, addresses);
  bo.SetManager(manager);
  bo.start_ = static_cast<PageCount>(block.start);
  bo.node_ = block.node;
  Telling::Tell(bo, EventKind::kGpuBind, bo.page_count(), nullptr, &manager);
  Notify(bo, BoEvent::kGpuBound);
}

void Mover::HideFromAperture(BufferObject& bo) {
  bo.manager_->Unbind(bo.block(), bo.page_count());
  Telling::Tell(bo, EventKind::kGpuUnbind, bo.page_count(), bo.manager_);
  LeaveAperture(bo);
  Notify(bo, BoEvent::kGpuUnbound);
}

void Mover::LeaveAperture(BufferObject& bo) {
  bo.manager_->Free(bo.block(), bo.page_count());
  bo.SetManager(host_.system_manager(), bo.device_->system_order_);
}

// --- Step 1: DMA resources ---

namespace {

using Contents = DmaBinder::Contents;

// `copied` pages were, into frames that the device reaches.
void TellBound(const BufferObject& bo, Contents contents, PageCount copied) {
  const DmaBinder& binder = *bo.binder();
  Telling::Tell(bo, EventKind::kDmaBind, bo.page_count(), nullptr, &binder);
  if (copied != 0) {
    Telling::Tell(bo, EventKind::kMove, copied, &bo.host().system_manager(),
                  &binder);
  }
  if (contents == Contents::kKeep && binder.hands_over(*bo.binding().port)) {
    Telling::Tell(bo, EventKind::kSyncForDevice, bo.page_count());
  }
}

// How many pages unbinding takes from the device.
PageCount PagesToTake(const BufferObject& bo, Contents contents) {
  return contents == Contents::kKeep &&
                 bo.binder()->hands_over(*bo.binding().port)
             ? bo.page_count() - bo.binding().cpu_owned_pages
             : 0;
}

// REQUIRES: the bo still names what it was bound by.
void TellUnbound(const BufferObject& bo, PageCount taken, bool copied) {
  if (taken != 0) Telling::Tell(bo, EventKind::kSyncForCpu, taken);
  if (copied) {
    Telling::Tell(bo, EventKind::kMove, bo.page_count(), bo.binder(),
                  &bo.host().system_manager());
  }
  Telling::Tell(bo, EventKind::kDmaUnbind, bo.page_count(), bo.binder());
}

}  // namespace

Mover::Result Mover::DmaBind(BufferObject& bo, Device& device,
                             DmaBinder& binder, DmaBinder::Contents contents,
                             Evicting evicting) {
  std::unique_ptr<DmaBinding> binding = host_.TakeBinding();
  const DmaDebug::Scope scope(host_.machine().dma_debug(), {.bo = bo.id()});
  const Pages::Home home = bo.pages_.home();
  PageCount replaced = 0;
  DmaPort& port = BoViews::PortFor(bo, device);
  Room unit(binder.gate(), &binder);
  Room iovas(port.domain().gate());
  Room frames(host_.machine().memory().gate());
  for (;;) {
    const BindOutcome outcome =
        binder.Bind(bo.pages_, port, contents, binding.get());
    replaced = outcome.replaced_pages;
    if (outcome.ok()) break;
    dma_outcome_ = outcome;
    const BindOutcome::Scarce scarce = outcome.scarce;
    Result made = Result::kShort;
    if (scarce != BindOutcome::Scarce::kRefused &&
        outcome.kind != Shortage::Kind::kNeverFits) {
      if (host_.ReapGhosts({WaitLimit::Mode::kNoWait})) continue;
      if (scarce == BindOutcome::Scarce::kHostFrames) {
        made = MakeRoom(&frames, [&] { return MakeFrames(); });
      } else if (evicting == Evicting::kYes) {
        made = MakeRoom(
            scarce == BindOutcome::Scarce::kIova ? &iovas : &unit,
            [&] { return EvictForDma(binder, scarce, bo.page_count(), port); });
      }
    }
    if (made == Result::kDone) continue;
    host_.ReturnBinding(std::move(binding));
    return made;
  }
  if (home == Pages::Home::kMemory &&
      bo.pages_.home() == Pages::Home::kBinder &&
      contents == DmaBinder::Contents::kKeep) {
    replaced = bo.page_count();
  }
  bytes_moved_ += PagesToBytes(replaced);
  bo.binding_ = std::move(binding);
  bo.binder_ = &binder;
  TellBound(bo, contents, replaced);
  Notify(bo, BoEvent::kDmaBound);
  return Result::kDone;
}

Mover::Result Mover::DmaUnbind(BufferObject& bo, DmaBinder::Contents contents) {
  const bool own_memory = bo.pages_.home() == Pages::Home::kBinder;
  const PageCount taken = PagesToTake(bo, contents);
  const DmaDebug::Scope scope(host_.machine().dma_debug(), {.bo = bo.id()});
  const Result unbound = RetryForFrames([&] {
    return bo.binder_->Unbind(bo.pages_, *bo.binding_, contents).ok()
               ? Shortage::Kind::kNone
               : Shortage::Kind::kFull;
  });
  if (unbound != Result::kDone) {
    bo.flags_ |=
        bo.binding_->cpu_owned_pages != 0 ? BufferObject::kCpuOwnsPages : 0;
    // Its aliases are gone.
    Sharing* const sharing = BoViews::SharingOf(bo);
    if (sharing != nullptr) sharing->AddressesGone();
    return unbound;
  }
  if (own_memory && contents == DmaBinder::Contents::kKeep) {
    bytes_moved_ += bo.size_bytes();
  }
  TellUnbound(bo, taken, own_memory && contents == DmaBinder::Contents::kKeep);
  host_.ReturnBinding(BoViews::LoseBinding(bo));
  bo.flags_ &= ~BufferObject::kCpuOwnsPages;
  Notify(bo, BoEvent::kDmaUnbound);
  return Result::kDone;
}

VictimSearch::Victims Mover::FindForDma(VictimSearch* search, DmaBinder& binder,
                                        BindOutcome::Scarce scarce,
                                        PageCount pages, DmaPort& port,
                                        bool* found) {
  VictimSearch::Victims victims;
  *found = false;
  const bool anywhere =
      scarce == BindOutcome::Scarce::kUnit && dma_outcome_.anywhere;
  const bool by_position =
      !anywhere &&
      binder.WithSpace(scarce, pages, port,
                       [&](RangeAllocator& space, const SpaceRequest& request) {
                         // In a part of the space shown before.
                         if (*found) return;
                         victims = search->ForHole(
                             space, request,
                             [&](const BufferObject& bo) {
                               return VictimSearch::NodesIn(space, scarce,
                                                            *bo.binding_, port);
                             },
                             found);
                       });
  if (by_position) return victims;
  victims = search->First([&](const BufferObject& bo) {
    return bo.binder_->Holds(scarce, *bo.binding_);
  });
  *found = !victims.empty();
  return victims;
}

Mover::Result Mover::EvictForDma(DmaBinder& binder, BindOutcome::Scarce scarce,
                                 PageCount pages, DmaPort& port) {
  const Result reaped = ReapGhosts(scarce == BindOutcome::Scarce::kUnit
                                       ? static_cast<const void*>(&binder)
                                       : &port.domain());
  if (reaped != Result::kShort) return reaped;
  if (binder.exhaustion() == DmaExhaustion::kFail) return Result::kShort;
  if (AskOwners(binder, scarce, pages, port,
                DmaOwners::Whom::kFurtherThanBos)) {
    return Result::kDone;
  }
  if (depth_ >= kMaxDepth) return Result::kShort;
  if (binder.exhaustion() == DmaExhaustion::kPurge) {
    return PurgePort(binder, scarce, port);
  }
  VictimSearch search(OrdersFor(binder, scarce), VictimSearch::Order::kDma,
                      AskerFor(Resource::kDma), Resource::kDma, awaited_);
  const auto find = [&](bool* found) {
    return FindForDma(&search, binder, scarce, pages, port, found);
  };
  bool found = false;
  VictimSearch::Victims victims = find(&found);
  if (found) PreferIdle(&victims, search, Resource::kDma, find);
  Telling::Searched(host_, search,
                    scarce == BindOutcome::Scarce::kIova ? EventLimit::kIova
                                                         : EventLimit::kDmaType,
                    &binder, unmovable_.size(), binder.pinned_pages_now());
  if (found) {
    return EvictAll(search, victims, [&](BufferObject& victim) {
      return EvictDma(victim, Departure::kEvicted);
    });
  }
  if (search.passed_over() == nullptr &&
      AskOwners(binder, scarce, pages, port, DmaOwners::Whom::kAnybody)) {
    return Result::kDone;
  }
  return AwaitVictim(search, [](const BufferObject& bo) {
    return bo.binder_ != nullptr && !bo.pinned();
  });
}

void Mover::NoteStuck() {
  stuck_ = dma_outcome_.scarce == BindOutcome::Scarce::kHostFrames
               ? Stuck::kNoFrames
               : Stuck::kNoRoom;
}

// --- Frames ---

Mover::Result Mover::RetryForFrames(absl::FunctionRef<Shortage::Kind()> take) {
  Room room(host_.machine().memory().gate());
  for (;;) {
    const Shortage::Kind kind = take();
    if (kind == Shortage::Kind::kNone) return Result::kDone;
    Result made = Result::kShort;
    if (kind != Shortage::Kind::kNeverFits) {
      made = MakeRoom(&room, [&] { return MakeFrames(); });
    }
    if (made == Result::kDone) continue;
    dma_outcome_ = BindOutcome{BindOutcome::Scarce::kHostFrames, kind};
    return made;
  }
}

Mover::Result Mover::TakeFrames(BufferObject& bo, FrameNumber highest,
                                PhysicalMemory::Zero zero) {
  Machine& machine = host_.machine();
  const Result result = RetryForFrames(
      [&] { return bo.pages_.Populate(machine.memory(), highest, zero); });
  if (result == Result::kDone) {
    machine.clock().Charge(bo.page_count() * machine.cost().page_alloc_ns);
  }
  return result;
}

// Gives up what has been left behind, or swaps one bo out.
Mover::Result Mover::MakeFrames() {
  const Result reaped = ReapGhosts(&host_.machine().memory());
  if (reaped != Result::kShort) return reaped;
  return SwapOutOne(nullptr);
}

// First of those that no GPU sees, then of the apertures'.
Mover::Result Mover::SwapOutOne(const Client* limited) {
  if (depth_ >= kMaxDepth) return Result::kShort;
  const EvictionOrder::Asker asker =
      limited == nullptr
          ? AskerFor(Resource::kHost)
          : EvictionOrder::Asker{&limited->account(Resource::kHost),
                                 /*own_only=*/true};
  const VictimSearch::Orders orders = VictimSearch::OrdersWithFrames(host_);
  // A client is charged for a DMA type's own memory as well.
  const auto has_frames = [limited](const BufferObject& bo) {
    return bo.pages_.home() == Pages::Home::kMemory ||
           (limited != nullptr && bo.pages_.home() == Pages::Home::kBinder);
  };
  ++depth_;
  Result result = Result::kShort;
  while (result == Result::kShort) {
    VictimSearch search(orders, VictimSearch::Order::kMemory, asker,
                        Resource::kHost, awaited_);
    const VictimSearch::Victims victims =
        FirstIdle(&search, Resource::kHost, has_frames);
    if (victims.empty()) {
      result = AwaitVictim(search, [&](const BufferObject& bo) {
        return has_frames(bo) && !bo.pinned();
      });
      if (result == Result::kShort) break;
      continue;
    }
    Telling::Searched(
        host_, search,
        limited == nullptr ? EventLimit::kFrames : EventLimit::kClientHost,
        limited, unmovable_.size(), 0);
    BufferObject& victim = *victims[0];
    Telling::Victim(victim);
    const EvictionAccount::Taking taking(search.TakesFrom(victim),
                                         victim.page_count());
    if (!taking.held()) {
      // Others have taken from its client meanwhile: see EvictAll.
      Telling::Settled(victim, /*gone=*/false);
      GiveBack(victims);
      left_.reset();
      break;
    }
    result = victim.worthless() ? EvictGpu(victim) : SwapOut(victim);
    Settle(victim, result);
    // One that cannot go is no reason not to try the next.
    if (result == Result::kBusy || result == Result::kFailed) {
      result = Result::kShort;
    }
  }
  --depth_;
  return result;
}

}  // namespace twostep
