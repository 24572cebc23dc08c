// The part of Mover that binds a bo for all the devices that share it. The
// client of the bo pays for the one binding that it has, in whatever domains
// that is seen; who else uses it pays nothing.

#include <vector>

#include "absl/strings/str_cat.h"
#include "twostep/bo/mover.h"
#include "twostep/bo/telling.h"

namespace twostep {

absl::Status Mover::BindShared(BufferObject& bo, const SharedBind& bind) {
  const Telling::AtWork at_work(bo);
  if (!bind.bound && bo.pinned()) {
    return MakeError(
        ErrorKind::kPinned,
        absl::StrCat(bo.DebugName(), " is pinned in ", bo.manager_->name(),
                     bo.binder_ == nullptr ? ", not DMA-bound" : ", bound by ",
                     bo.binder_ == nullptr ? "" : bo.binder_->name(),
                     ": that does not suit ", bind.importer.name()));
  }
  asker_ = bo.client_.get();
  for (const DmaType type : bind.types) {
    dma_outcome_ = BindOutcome{};
    at_limit_.reset();
    Device* short_of = &bind.owner;
    Result result = bind.bound ? Result::kDone : BindWith(bo, bind.owner, type);
    if (result == Result::kDone) {
      short_of = &bind.importer;
      result = AddAlias(bo, bind.port);
    }
    if (result == Result::kDone) return TakePagesFromCpu(bo);
    if (result == Result::kLost) return failure_;
    obstacles_.push_back(
        Describe(bo, *short_of, Placement{.dma = type}, Evicting::kYes,
                 result == Result::kBusy ? met_busy_ : absl::OkStatus()));
    if (bind.bound) break;
  }
  if (!failure_.ok()) return failure_;
  return FitsNowhere(bo);
}

// Unless kDone, the bo is where it was, or as MoveBetweenDevices leaves it. One
// that is in an aperture of the owner's stays there.
Mover::Result Mover::BindWith(BufferObject& bo, Device& owner, DmaType type) {
  const Placement placement{.dma = type};
  const bool away = OnAnother(bo, owner);
  const bool fixed = bo.manager_->fixed();
  // NONE in SYSTEM would leave it anonymous.
  if (fixed && !away && type != DmaType::kNone) {
    return Place(bo, owner, placement, Evicting::kYes);
  }
  Device* const old = away || fixed ? bo.device_ : nullptr;
  const Placement was = old == nullptr ? placement : old->PlacementOf(bo);
  Result result = old == nullptr ? Result::kDone : Leave(bo, Evicting::kYes);
  if (result != Result::kDone) return result;
  // One that is bound and belongs to nobody does so until it is bound anew.
  if (!OnAnother(bo, owner)) bo.device_ = &owner;
  result = ChargeFor(bo, owner, placement, Evicting::kYes);
  if (result == Result::kDone && bo.pages_.home() == Pages::Home::kSwapped) {
    result = SwapIn(bo);
  }
  if (result == Result::kDone) result = WaitIdle(bo);
  if (result == Result::kDone) {
    result = SwitchBinder(bo, owner, owner.binder(type), Evicting::kYes);
  }
  if (result == Result::kDone) {
    bo.device_ = &owner;
  } else if (old != nullptr) {
    PutBack(bo, *old, was);
  }
  bo.Uncharge();
  return result;
}

Mover::Result Mover::AddAlias(BufferObject& bo, DmaPort& port) {
  return RetryForIovas(bo, port, Evicting::kYes, [&] {
    return bo.binder_->AddAlias(bo.pages_, port, bo.binding_.get());
  });
}

}  // namespace twostep
