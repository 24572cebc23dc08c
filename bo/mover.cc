#include "twostep/bo/mover.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "twostep/bo/bo_views.h"
#include "twostep/bo/copy_sides.h"
#include "twostep/bo/cpu_mapping.h"
#include "twostep/bo/telling.h"

namespace twostep {
namespace {

SpaceRequest RequestFor(const Placement& placement, PageCount pages) {
  return SpaceRequest{
      .size = pages,
      .first = placement.first_page,
      .end = placement.end_page == 0 ? ~uint64_t{0} : placement.end_page,
      .direction = placement.direction,
      .contiguous = placement.contiguous};
}

// What there is to be done about it, from all that is known of it.
void Classify(Obstacle* obstacle, const absl::Status& busy) {
  using Cause = Obstacle::Cause;
  const Shortage& shortage = obstacle->shortage;
  if (shortage.kind == Shortage::Kind::kNeverFits) {
    obstacle->cause = Cause::kNeverFits;
  } else if (shortage.kind == Shortage::Kind::kTooLong) {
    obstacle->cause = Cause::kSegmentLimit;
  } else if (shortage.kind == Shortage::Kind::kNotInUse) {
    obstacle->cause = Cause::kRefused;
  } else if (!busy.ok()) {
    obstacle->pending = PendingFence(busy);
    obstacle->cause = obstacle->pending.timeline != nullptr ? Cause::kBusy
                                                            : Cause::kContended;
  } else if (shortage.kind == Shortage::Kind::kFragmented) {
    obstacle->cause = Cause::kFragmented;
  } else if (obstacle->pinned_pages != 0 &&
             shortage.free + obstacle->held_pages < obstacle->wanted_pages) {
    obstacle->cause = Cause::kPinned;
  }
}

}  // namespace

Mover::~Mover() {
  for (BufferObject* bo : unmovable_) bo->lock_.Unlock();
  for (const BoRef& bo : awaited_) bo->lock_.Unlock();
  host_.FinishRetiring();
}

Mover::Result Mover::Fail(absl::Status status) {
  failure_ = std::move(status);
  return Result::kFailed;
}

absl::Status Mover::ToStatus(BufferObject& bo, Result result) {
  switch (result) {
    case Result::kDone:
      return absl::OkStatus();
    case Result::kShort:
      if (at_limit_.has_value()) {
        return MakeError(
            ErrorKind::kCannotFit,
            absl::StrCat(
                bo.DebugName(), ": ", at_limit_->client->name(),
                " is at its limit of ", NameOf(at_limit_->resource), ", ",
                PagesToBytes(at_limit_->client->account(at_limit_->resource)
                                 .budget()
                                 .max_pages) /
                    kKiB,
                " KiB"));
      }
      if (dma_outcome_.kind == Shortage::Kind::kNeverFits) {
        return MakeError(
            ErrorKind::kNeverFits,
            absl::StrCat(bo.DebugName(), ": the host has fewer page frames"));
      }
      return MakeError(ErrorKind::kCannotFit,
                       absl::StrCat(bo.DebugName(),
                                    ": the host is out of page frames, and no "
                                    "bo's can be swapped out, ",
                                    host_.machine().swap().Describe()));
    case Result::kBusy:
      return WithPendingFence(
          MakeError(ErrorKind::kBusy,
                    absl::StrCat(bo.DebugName(), ": ", met_busy_.message())),
          met_busy_);
    case Result::kFailed:
    case Result::kLost:
      return failure_;
  }
  return absl::InternalError("no such result");
}

absl::Status Mover::Validate(BufferObject& bo, Device& device,
                             PlacementList placements, bool throttled) {
  const Telling::AtWork at_work(bo);
  const bool stays = bo.pinned() || throttled;
  if (stays &&
      StaysInFallback(bo, device, placements, Placement::Use::kLastResort)) {
    return TakePagesFromCpu(bo);
  }
  if (bo.pinned()) {
    return MakeError(
        ErrorKind::kPinned,
        absl::StrCat(bo.DebugName(), " is pinned in ", bo.manager_->name(),
                     ": unpin it before it moves"));
  }
  if (placements.empty()) {
    Drop(bo);
    return absl::OkStatus();
  }
  // Its device is being unplugged: a copy that was lost leaves no contents.
  if (OnAnother(bo, device) && !bo.fences_.Error(FenceUse::kMove).ok()) {
    bo.flags_ |= BufferObject::kPurged;
  }
  if (!OnAnother(bo, device)) bo.device_ = &device;
  asker_ = bo.client_.get();
  struct Refusal {
    const Placement* placement;
    BindOutcome dma;
    std::optional<AtLimit> at_limit;
    Evicting evicting;
    absl::Status busy;
  };
  absl::InlinedVector<Refusal, 4> refusals;
  for (const Evicting evicting : {Evicting::kNo, Evicting::kYes}) {
    // With one place there is none to prefer to evicting.
    if (evicting == Evicting::kNo && placements.size() == 1 &&
        placements[0].use == Placement::Use::kAlways) {
      continue;
    }
    Telling::Pass(host_, evicting == Evicting::kNo ? 1 : 2);
    if (evicting == Evicting::kYes &&
        StaysInFallback(bo, device, placements, Placement::Use::kFallback)) {
      return TakePagesFromCpu(bo);
    }
    for (const Placement& placement : placements) {
      const bool skipped =
          evicting == Evicting::kNo
              ? placement.use >= (throttled ? Placement::Use::kLastResort
                                            : Placement::Use::kFallback)
              : placement.use == Placement::Use::kDesired;
      if (skipped) continue;
      // What this place meets is told of it; of all, what was met first.
      absl::Status met_before = std::move(met_busy_);
      met_busy_ = absl::OkStatus();
      const Result result = Place(bo, device, placement, evicting);
      if (result == Result::kDone) return absl::OkStatus();
      if (result == Result::kLost) return failure_;
      if (evicting == Evicting::kYes ||
          placement.use == Placement::Use::kDesired) {
        refusals.push_back(
            Refusal{&placement, dma_outcome_, at_limit_, evicting,
                    result == Result::kBusy ? met_busy_ : absl::OkStatus()});
      }
      if (!met_before.ok()) met_busy_ = std::move(met_before);
    }
  }
  if (!failure_.ok()) return failure_;
  for (const Refusal& refusal : refusals) {
    dma_outcome_ = refusal.dma;
    at_limit_ = refusal.at_limit;
    obstacles_.push_back(Describe(bo, device, *refusal.placement,
                                  refusal.evicting, refusal.busy));
  }
  return FitsNowhere(bo);
}

absl::Status Mover::FitsNowhere(const BufferObject& bo) const {
  return WithPendingFence(
      NoPlacement(bo.DebugName(), obstacles_, met_busy_.message()), met_busy_);
}

// Nobody is evicted for a bo that is in an acceptable place already.
bool Mover::StaysInFallback(BufferObject& bo, Device& device,
                            PlacementList placements, Placement::Use worst) {
  for (const Placement& placement : placements) {
    const bool enough =
        placement.use >= Placement::Use::kFallback && placement.use <= worst;
    if (enough && device.Satisfies(bo, placement)) {
      stayed_ = true;
      return true;
    }
  }
  return false;
}

Obstacle Mover::Describe(const BufferObject& bo, Device& device,
                         const Placement& placement, Evicting evicting,
                         const absl::Status& busy) const {
  const MemoryManager& manager = *device.manager(placement.memory);
  const PageCount pages = bo.page_count();
  Obstacle obstacle;
  obstacle.wanted_pages = pages;
  obstacle.place = manager.fixed()
                       ? manager.name()
                       : absl::StrCat(device.binder(placement.dma)->name(),
                                      " + ", manager.name());
  if (at_limit_.has_value()) {
    const EvictionAccount& account =
        at_limit_->client->account(at_limit_->resource);
    const uint64_t limit = account.budget().max_pages;
    const uint64_t free = limit - std::min(limit, account.used_pages());
    obstacle.what = absl::StrCat(at_limit_->client->name(), "'s limit of ",
                                 NameOf(at_limit_->resource));
    obstacle.shortage = Shortage{
        pages > limit ? Shortage::Kind::kNeverFits : Shortage::Kind::kFull,
        free, free};
    Classify(&obstacle, busy);
    if (obstacle.cause == Obstacle::Cause::kFull) {
      obstacle.cause = Obstacle::Cause::kOverLimit;
    }
    return obstacle;
  }
  obstacle.shortage = manager.Describe(RequestFor(placement, pages));
  if (obstacle.shortage.kind != Shortage::Kind::kNone) {
    obstacle.what = manager.name();
    obstacle.pinned_pages = manager.pinned_pages_now();
    obstacle.held_pages = manager.used_pages() - obstacle.pinned_pages;
  } else {
    DescribeDma(bo, device, placement, &obstacle);
  }
  Classify(&obstacle, busy);
  if (dma_outcome_.scarce == BindOutcome::Scarce::kRefused &&
      obstacle.cause == Obstacle::Cause::kFull) {
    obstacle.cause = Obstacle::Cause::kRefused;
  }
  if (evicting == Evicting::kNo) {
    obstacle.held_pages = 0;
    const Shortage::Kind kind = obstacle.shortage.kind;
    if (kind == Shortage::Kind::kFull || kind == Shortage::Kind::kFragmented) {
      absl::StrAppend(&obstacle.detail, obstacle.detail.empty() ? "" : ", ",
                      "without evicting");
    }
  } else if (stuck_ != Stuck::kNo) {
    obstacle.held_pages = 0;
    absl::StrAppend(
        &obstacle.detail, obstacle.detail.empty() ? "" : ", ",
        stuck_ == Stuck::kNoRoom
            ? "its bos find no room where they would be evicted to"
            : "its bos find no page frames to be evicted to, ",
        stuck_ == Stuck::kNoRoom ? "" : host_.machine().swap().Describe());
  }
  return obstacle;
}

void Mover::DescribeDma(const BufferObject& bo, Device& device,
                        const Placement& placement, Obstacle* obstacle) const {
  if (dma_outcome_.ok()) {
    obstacle->what = "has room that is still in use";
    return;
  }
  const DmaBinder& binder = *device.binder(placement.dma);
  const DmaPort& port = BoViews::PortFor(bo, device);
  obstacle->shortage =
      binder.Describe(bo.page_count(), port, dma_outcome_.scarce);
  switch (dma_outcome_.scarce) {
    case BindOutcome::Scarce::kNothing:
      break;
    case BindOutcome::Scarce::kUnit:
      obstacle->what = absl::StrCat(binder.name(), " memory");
      // Enough in all, though not as the device takes it.
      if (obstacle->shortage.kind == Shortage::Kind::kNone) {
        obstacle->shortage.kind = dma_outcome_.kind;
      }
      obstacle->pinned_pages = binder.pinned_pages_now();
      obstacle->held_pages = binder.bound_pages_now() - obstacle->pinned_pages;
      break;
    case BindOutcome::Scarce::kIova: {
      obstacle->what = absl::StrCat("IOVA space of ", port.domain().name());
      // All DMA types that can run out share it.
      for (int type = 0; type < kMaxDmaTypes; ++type) {
        const DmaBinder* user = device.binder(static_cast<DmaType>(type));
        if (user == nullptr || !user->can_run_out()) continue;
        obstacle->pinned_pages += user->pinned_pages_now();
      }
      const uint64_t used = port.domain().used_iova_pages();
      obstacle->held_pages = used - std::min(used, obstacle->pinned_pages);
      break;
    }
    case BindOutcome::Scarce::kHostFrames: {
      obstacle->what = "the host's page frames";
      const uint64_t free = host_.machine().memory().free_frames(
          placement.dma == DmaType::kNone ? port.highest_frame()
                                          : kNoFrame - 1);
      obstacle->shortage = Shortage{dma_outcome_.kind, free, free};
      obstacle->detail = host_.machine().swap().Describe();
      break;
    }
    case BindOutcome::Scarce::kRefused:
      obstacle->what = absl::StrCat("DMA type ", binder.name());
      obstacle->detail = dma_outcome_.reason;
      break;
  }
  obstacle->shortage.kind = dma_outcome_.kind;
}

Mover::Result Mover::Place(BufferObject& bo, Device& device,
                           const Placement& placement, Evicting evicting) {
  dma_outcome_ = BindOutcome{};
  at_limit_.reset();
  Result result = ChargeFor(bo, device, placement, evicting);
  if (result != Result::kDone) {
    // Nothing has moved.
  } else if (OnAnother(bo, device)) {
    result = MoveBetweenDevices(bo, device, placement, evicting);
  } else if (device.manager(placement.memory)->fixed()) {
    result = MoveToFixed(bo, device, placement, evicting);
  } else if (!bo.manager_->fixed()) {
    result = Rebind(bo, device, placement, evicting);
  } else if (const auto hop = device.hooks().Hop(bo, placement);
             hop.has_value()) {
    result = ChargeFor(bo, device, *hop, evicting);
    if (result == Result::kDone) {
      result = MoveFromFixed(bo, device, *hop, evicting);
    }
    if (result == Result::kDone) {
      result = Rebind(bo, device, placement, evicting);
    }
  } else {
    result = MoveFromFixed(bo, device, placement, evicting);
  }
  bo.Uncharge();
  return result;
}

bool Mover::OnAnother(const BufferObject& bo, const Device& device) {
  // Bound for nobody: shared, and its device has gone.
  return bo.device_ != &device &&
         (bo.binder_ != nullptr ||
          bo.manager_->kind() != MemoryManager::Kind::kNowhere);
}

// By way of (NONE, SYSTEM), which belongs to no device.
Mover::Result Mover::MoveBetweenDevices(BufferObject& bo, Device& device,
                                        const Placement& placement,
                                        Evicting evicting) {
  // Room first: what fails most often fails before anything has moved.
  MemoryManager& to = *device.manager(placement.memory);
  if (to.kind() != MemoryManager::Kind::kNowhere) {
    TakenSpace taken{&to};
    const Result took =
        TakeSpace(bo, to, RequestFor(placement, bo.page_count()), evicting,
                  &taken.block, &taken.fences);
    if (took != Result::kDone) return took;
    taken_ = std::move(taken);
  }
  Device* const old = bo.device_;
  const Placement was = old == nullptr ? Placement{} : old->PlacementOf(bo);
  Result result = Leave(bo, evicting);
  if (result == Result::kDone) {
    bo.device_ = &device;
    // Leaving has given back what it was charged for.
    result = Arrive(bo, device, placement, evicting);
    if (result != Result::kDone && old != nullptr) PutBack(bo, *old, was);
    // Where it could not be put back it is nobody's: the next place that is
    // tried is one of this device.
    if (!OnAnother(bo, device)) bo.device_ = &device;
  }
  if (taken_.has_value()) to.Free(taken_->block, bo.page_count());
  taken_.reset();
  return result;
}

Mover::Result Mover::Arrive(BufferObject& bo, Device& device,
                            const Placement& placement, Evicting evicting) {
  const Result charged = ChargeFor(bo, device, placement, evicting);
  if (charged != Result::kDone) return charged;
  return device.manager(placement.memory)->fixed()
             ? MoveToFixed(bo, device, placement, evicting)
             : Rebind(bo, device, placement, evicting);
}

// There is room, most likely: it has just left. Else it stays anonymous.
void Mover::PutBack(BufferObject& bo, Device& old, const Placement& was) {
  const BindOutcome why = dma_outcome_;
  const std::optional<AtLimit> at_limit = at_limit_;
  bo.device_ = &old;
  // What was charged for the other place is not to leave with the frames.
  bo.Uncharge();
  Arrive(bo, old, was, Evicting::kYes);
  dma_outcome_ = why;
  at_limit_ = at_limit;
}

Mover::Result Mover::MoveToFixed(BufferObject& bo, Device& device,
                                 const Placement& placement,
                                 Evicting evicting) {
  MemoryManager& to = *device.manager(placement.memory);
  const PageCount pages = bo.page_count();
  SpaceBlock block;
  FenceSet space_fences;
  Result result = TakeSpace(bo, to, RequestFor(placement, pages), evicting,
                            &block, &space_fences);
  if (result != Result::kDone) return result;

  if (const auto hop = device.hooks().Hop(bo, placement); hop.has_value()) {
    result = ChargeFor(bo, device, *hop, evicting);
    if (result == Result::kDone) {
      result = bo.manager_->fixed() ? MoveFromFixed(bo, device, *hop, evicting)
                                    : Rebind(bo, device, *hop, evicting);
    }
  }
  if (result == Result::kDone && bo.pages_.home() == Pages::Home::kSwapped) {
    // By way of host memory, where it stays if what follows fails.
    result = Charge(bo, {Resource::kHost}, evicting);
    if (result == Result::kDone) result = SwapIn(bo);
  }
  if (result == Result::kDone) {
    absl::Status taken = TakePagesFromCpu(bo);
    if (!taken.ok()) result = Fail(std::move(taken));
  }
  Fence moved;
  const bool empty =
      !bo.manager_->fixed() && bo.pages_.home() == Pages::Home::kNone;
  if (result == Result::kDone) {
    KillMappings(bo, PageRange{0, pages});
    CopySide from =
        bo.manager_->fixed()
            ? FixedSide(*bo.manager_, bo.block(), pages, device.copy_engine())
            : PagesSide(bo, device.copy_engine());
    result = Copy(bo, device, std::move(from),
                  FixedSide(to, block, pages, device.copy_engine()),
                  space_fences, &moved);
  }
  if (result != Result::kDone) {
    to.Free(block, pages);
    return result;
  }
  Telling::Tell(bo, empty ? EventKind::kClear : EventKind::kMove, pages,
                empty ? nullptr : bo.manager_, &to, moved);
  bo.LeaveOrders(Leaving());
  if (!bo.fences_.Supersede(moved)) bo.flags_ |= BufferObject::kPurged;
  // A move that nobody needs to wait for has itself waited for nobody.
  if (moved.timeline == nullptr) {
    bo.fences_.AddAll(space_fences, FenceUse::kMove);
  }
  const FenceSet moves = bo.fences_;
  host_.DiscardStorage(bo);
  bo.fences_.AddAll(moves, FenceUse::kMove);
  bo.SetManager(to);
  bo.start_ = static_cast<PageCount>(block.start);
  bo.node_ = block.node;
  bo.JoinOrders();
  Notify(bo, BoEvent::kMoved);
  return Result::kDone;
}

Mover::Result Mover::MoveFromFixed(BufferObject& bo, Device& device,
                                   const Placement& placement,
                                   Evicting evicting) {
  MemoryManager& to = *device.manager(placement.memory);
  const bool aperture = to.kind() == MemoryManager::Kind::kAperture;
  const PageCount pages = bo.page_count();
  SpaceBlock block;
  FenceSet no_fences;
  Result result = aperture ? TakeSpace(bo, to, RequestFor(placement, pages),
                                       evicting, &block, &no_fences)
                           : Result::kDone;
  if (result != Result::kDone) return result;

  const bool bind = aperture || placement.dma != DmaType::kNone;
  result = bind ? DmaBind(bo, device, *device.binder(placement.dma),
                          DmaBinder::Contents::kDrop, evicting)
                : TakeFrames(bo, kNoFrame - 1, PhysicalMemory::Zero::kNo);
  Fence moved;
  if (result == Result::kDone) {
    result =
        Copy(bo, device,
             FixedSide(*bo.manager_, bo.block(), pages, device.copy_engine()),
             PagesSide(bo, device.copy_engine()), no_fences, &moved);
    if (result != Result::kDone) {
      if (bind) DmaUnbind(bo, DmaBinder::Contents::kDrop);
      bo.pages_.Release(host_.machine().memory(), host_.machine().swap());
    }
  }
  if (result != Result::kDone) {
    if (aperture) to.Free(block, pages);
    return result;
  }
  Telling::Tell(
      bo, EventKind::kMove, pages, bo.manager_,
      bind ? static_cast<const void*>(bo.binder_) : host_.system_manager_.get(),
      moved);
  bo.LeaveMemoryOrder(Leaving());
  KillMappings(bo, PageRange{0, pages});
  if (!bo.fences_.Supersede(moved)) bo.flags_ |= BufferObject::kPurged;
  bo.manager_->FreeAfter(bo.block(), pages, &bo.fences_);
  bo.SetManager(host_.system_manager(), device.system_order_);
  if (aperture) ShowInAperture(bo, to, block);
  bo.JoinOrders();
  Notify(bo, BoEvent::kMoved);
  return Result::kDone;
}

Mover::Result Mover::Rebind(BufferObject& bo, Device& device,
                            const Placement& placement, Evicting evicting) {
  MemoryManager& to = *device.manager(placement.memory);
  const bool aperture = to.kind() == MemoryManager::Kind::kAperture;
  DmaBinder* const want = aperture || placement.dma != DmaType::kNone
                              ? device.binder(placement.dma)
                              : nullptr;
  const PageCount pages = bo.page_count();
  const SpaceRequest request = RequestFor(placement, pages);
  const bool keeps_block =
      aperture && bo.manager_ == &to && Device::StandsWithin(bo, placement);
  SpaceBlock block;
  FenceSet no_fences;
  Result result = aperture && !keeps_block
                      ? TakeSpace(bo, to, request, evicting, &block, &no_fences)
                      : Result::kDone;
  if (result != Result::kDone) return result;

  if (bo.pages_.home() == Pages::Home::kSwapped) result = SwapIn(bo);
  // What the GPU or the copy engine still does with the pages comes first.
  if (result == Result::kDone &&
      (bo.binder_ != want ||
       (!keeps_block &&
        bo.manager_->kind() == MemoryManager::Kind::kAperture))) {
    result = WaitIdle(bo);
  }
  if (result == Result::kDone && bo.binder_ != want) {
    result = SwitchBinder(bo, device, want, evicting);
  } else if (result == Result::kDone) {
    absl::Status taken = TakePagesFromCpu(bo);
    if (!taken.ok()) result = Fail(std::move(taken));
    if (result == Result::kDone && want != nullptr) {
      result = TakeAddresses(bo, evicting);
    }
  }
  if (result != Result::kDone) {
    if (aperture && !keeps_block) to.Free(block, pages);
    return result;
  }
  if (!keeps_block) {
    bo.LeaveMemoryOrder(Leaving());
    if (bo.manager_->kind() == MemoryManager::Kind::kAperture) {
      HideFromAperture(bo);
    }
    if (aperture) ShowInAperture(bo, to, block);
  }
  bo.JoinOrders();
  return Result::kDone;
}

// REQUIRES: idle. On failure the old binding is there again, and shown again
// where it was shown.
Mover::Result Mover::SwitchBinder(BufferObject& bo, Device& device,
                                  DmaBinder* to, Evicting evicting) {
  DmaBinder* const from = bo.binder_;
  const bool shown = bo.manager_->kind() == MemoryManager::Kind::kAperture;
  if (from != nullptr && to != nullptr &&
      to->Describe(bo.page_count(), BoViews::PortFor(bo, device),
                   BindOutcome::Scarce::kUnit)
              .kind == Shortage::Kind::kNeverFits) {
    dma_outcome_ =
        BindOutcome{BindOutcome::Scarce::kUnit, Shortage::Kind::kNeverFits};
    return Result::kShort;
  }
  const bool had_pages = bo.pages_.present();
  // What is given up must be there to be taken back.
  std::optional<Room> unit;
  std::optional<Room> iovas;
  if (from != nullptr && to != nullptr) {
    Result closed = Close(&unit.emplace(from->gate(), from));
    if (closed == Result::kDone) {
      closed = Close(&iovas.emplace(device.port().domain().gate()));
    }
    if (closed != Result::kDone) return closed;
  }
  KillMappings(bo, PageRange{0, bo.page_count()});
  bo.LeaveOrders(Leaving());
  if (shown) {
    bo.manager_->Unbind(bo.block(), bo.page_count());
    Telling::Tell(bo, EventKind::kGpuUnbind, bo.page_count(), bo.manager_);
    Notify(bo, BoEvent::kGpuUnbound);
  }
  Result result = Result::kDone;
  if (from != nullptr) result = DmaUnbind(bo, DmaBinder::Contents::kKeep);
  if (result == Result::kDone && to != nullptr) {
    result = DmaBind(bo, device, *to, DmaBinder::Contents::kKeep, evicting);
    if (result != Result::kDone && from != nullptr) {
      const BindOutcome why = dma_outcome_;
      // What was given up a moment ago is enough to take it back.
      DmaBind(bo, device, *from, DmaBinder::Contents::kKeep, Evicting::kYes);
      dma_outcome_ = why;
    }
  }
  if (result != Result::kDone && !had_pages && bo.binder_ == nullptr) {
    bo.pages_.Release(host_.machine().memory(), host_.machine().swap());
  }
  if (shown && bo.binder_ != nullptr) {
    ShowInAperture(bo, *bo.manager_, bo.block());
  } else if (shown) {
    LeaveAperture(bo);
  }
  bo.JoinOrders();
  return result;
}

absl::Status Mover::MakePresent(BufferObject& bo) {
  if (bo.manager_->fixed() || bo.pages_.present()) return absl::OkStatus();
  const Telling::AtWork at_work(bo);
  asker_ = bo.client_.get();
  Result result = Charge(bo, {Resource::kHost}, Evicting::kYes);
  if (result == Result::kDone) {
    result = bo.pages_.home() == Pages::Home::kSwapped
                 ? SwapIn(bo)
                 : TakeFrames(bo, kNoFrame - 1, PhysicalMemory::Zero::kYes);
    bo.Uncharge();
  }
  if (result == Result::kDone) bo.JoinOrders();
  return ToStatus(bo, result);
}

absl::Status Mover::LeaveDevice(BufferObject& bo) {
  const Telling::AtWork at_work(bo);
  asker_ = bo.client_.get();
  Result result = Leave(bo, Evicting::kYes);
  // It cannot stay, and need not be kept.
  if (result == Result::kShort && bo.worthless()) result = EvictGpu(bo);
  return ToStatus(bo, result);
}

// Nobody is short of what it has: what is worthless is kept.
Mover::Result Mover::Leave(BufferObject& bo, Evicting evicting) {
  if (!bo.manager_->fixed()) return UndoDma(bo, Leaving());
  // Through the device that it is leaving.
  const Placement anonymous;
  return Place(bo, *bo.device_, anonymous, evicting);
}

}  // namespace twostep
