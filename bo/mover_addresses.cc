// The part of Mover that undoes step 1, or gives up no more than the addresses
// of a bo and gets them anew, with its frames where they are.

#include "absl/strings/str_cat.h"
#include "twostep/bo/bo_views.h"
#include "twostep/bo/mover.h"
#include "twostep/bo/telling.h"

namespace twostep {

absl::Status Mover::GiveUpAddresses(BufferObject& bo) {
  if (bo.binder_ == nullptr || !bo.binding_->has_addresses()) {
    return absl::OkStatus();
  }
  const Telling::AtWork at_work(bo);
  if (bo.pinned()) {
    return MakeError(
        ErrorKind::kPinned,
        absl::StrCat(bo.DebugName(), " is pinned: its addresses are in use"));
  }
  // Ordinary frames have nothing but their addresses from step 1.
  if (bo.pages_.home() != Pages::Home::kBinder) {
    return ToStatus(bo, UndoDma(bo, Departure::kGone));
  }
  const Result result = WaitIdle(bo);
  if (result != Result::kDone) return ToStatus(bo, result);
  if (bo.manager_->kind() == MemoryManager::Kind::kAperture) {
    HideFromGpu(bo, Departure::kGone);
  }
  bo.binder_->GiveUpAddresses(bo.pages_, bo.binding_.get());
  Sharing* const sharing = BoViews::SharingOf(bo);
  if (sharing != nullptr) sharing->AddressesGone();
  return absl::OkStatus();
}

// Also for a bo that is not DMA-bound: nothing to do then. One that cannot be
// unbound is where it was, also in its orders.
Mover::Result Mover::EvictDma(BufferObject& victim, Departure why) {
  return victim.worthless() ? EvictGpu(victim) : UndoDma(victim, why);
}

Mover::Result Mover::UndoDma(BufferObject& victim, Departure why) {
  Result result = WaitIdle(victim);
  if (result != Result::kDone || victim.binder_ == nullptr) return result;
  const bool shown = victim.manager_->kind() == MemoryManager::Kind::kAperture;
  DmaBinder& from = *victim.binder_;
  KillMappings(victim, PageRange{0, victim.page_count()});
  if (shown) {
    victim.manager_->Unbind(victim.block(), victim.page_count());
    Telling::Tell(victim, EventKind::kGpuUnbind, victim.page_count(),
                  victim.manager_);
    Notify(victim, BoEvent::kGpuUnbound);
  }
  ++depth_;
  const BindOutcome outcome = dma_outcome_;
  result = DmaUnbind(victim, DmaBinder::Contents::kKeep);
  if (result == Result::kShort) NoteStuck();
  dma_outcome_ = outcome;
  --depth_;
  if (result != Result::kDone) {
    if (shown) ShowInAperture(victim, *victim.manager_, victim.block());
    return result;
  }
  ++from.stats().evictions;
  victim.Uncharge();
  victim.LeaveDmaOrder(from, why);
  if (shown) {
    ++victim.manager_->evictions();
    victim.LeaveMemoryOrder(why);
    LeaveAperture(victim);
  }
  victim.JoinOrders();
  return result;
}

Mover::Result Mover::TakeAddresses(BufferObject& bo, Evicting evicting) {
  if (bo.binding_->has_addresses()) return Result::kDone;
  const DmaDebug::Scope scope(host_.machine().dma_debug(), {.bo = bo.id()});
  return RetryForIovas(bo, *bo.binding_->port, evicting, [&] {
    return bo.binder_->TakeAddresses(bo.pages_, bo.binding_.get());
  });
}

Mover::Result Mover::RetryForIovas(const BufferObject& bo, DmaPort& port,
                                   Evicting evicting,
                                   absl::FunctionRef<BindOutcome()> take) {
  Room iovas(port.domain().gate());
  Room frames(host_.machine().memory().gate());
  for (;;) {
    dma_outcome_ = take();
    if (dma_outcome_.ok()) return Result::kDone;
    if (dma_outcome_.kind == Shortage::Kind::kNeverFits) return Result::kShort;
    if (host_.ReapGhosts({WaitLimit::Mode::kNoWait})) continue;
    if (evicting == Evicting::kNo) return Result::kShort;
    const bool tables = dma_outcome_.scarce == BindOutcome::Scarce::kHostFrames;
    const Result made =
        tables ? MakeRoom(&frames, [&] { return MakeFrames(); })
               : MakeRoom(&iovas, [&] {
                   return EvictForDma(*bo.binder_, dma_outcome_.scarce,
                                      bo.page_count(), port);
                 });
    if (made != Result::kDone) return made;
  }
}

VictimSearch::Orders Mover::OrdersFor(DmaBinder& binder,
                                      BindOutcome::Scarce scarce) {
  VictimSearch::Orders orders{&binder.order()};
  if (scarce != BindOutcome::Scarce::kIova) return orders;
  // Other DMA types use IOVAs of the same domain: they come last.
  for (DmaBinder* other : host_.Binders()) {
    if (other != &binder) orders.push_back(&other->order());
  }
  return orders;
}

// One that cannot be moved stays reserved, and is not met again. All have to
// go: to look for idle ones first would be the same waits in another order.
Mover::Result Mover::PurgePort(DmaBinder& binder, BindOutcome::Scarce scarce,
                               DmaPort& port) {
  for (bool any = false;; any = true) {
    VictimSearch search(OrdersFor(binder, scarce), VictimSearch::Order::kDma,
                        AskerFor(Resource::kDma), Resource::kDma, awaited_);
    const VictimSearch::Victims victims =
        search.First([&](const BufferObject& bo) {
          return bo.binding_->port == &port &&
                 bo.binder_->Holds(scarce, *bo.binding_);
        });
    Telling::Searched(host_, search, EventLimit::kDmaType, &binder,
                      unmovable_.size(), binder.pinned_pages_now());
    if (victims.empty() && any) return Result::kDone;
    if (victims.empty()) {
      return AwaitVictim(search, [&](const BufferObject& bo) {
        return bo.binder_ != nullptr && bo.binding_->port == &port &&
               !bo.pinned();
      });
    }
    const Result purged = EvictAll(search, victims, [&](BufferObject& victim) {
      return EvictDma(victim, Departure::kEvicted);
    });
    if (purged != Result::kDone) return purged;
  }
}

}  // namespace twostep
