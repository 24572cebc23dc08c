#include "twostep/bo/evacuation.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "twostep/bo/bo_views.h"
#include "twostep/bo/contention.h"
#include "twostep/bo/copy_sides.h"
#include "twostep/bo/cpu_mapping.h"
#include "twostep/bo/error.h"
#include "twostep/bo/host.h"
#include "twostep/bo/mover.h"
#include "twostep/bo/telling.h"

namespace twostep {
namespace {

bool IsThere(const BufferObject& bo) {
  return bo.binder() != nullptr ||
         bo.manager().kind() != MemoryManager::Kind::kNowhere;
}

}  // namespace

// Pins hold nothing in place while this lives.
class Evacuation::WithoutPins {
 public:
  explicit WithoutPins(BufferObject& bo) : bo_(bo), pins_(bo.pins_) {
    if (pins_ == 0) return;
    bo.ForgetPins();
    bo.JoinOrders();
  }
  ~WithoutPins() {
    if (pins_ == 0) return;
    bo_.Pin();
    bo_.pins_ = pins_;
  }
  WithoutPins(const WithoutPins&) = delete;
  WithoutPins& operator=(const WithoutPins&) = delete;

 private:
  BufferObject& bo_;
  const uint16_t pins_;
};

Evacuation::Evacuation(Device& device)
    : device_(device), host_(device.host()) {}

absl::Status Evacuation::ForEachBo(
    const WaitLimit& limit,
    absl::FunctionRef<absl::Status(BufferObject&, Contention*)> visit) {
  const Telling::DeviceGoes told(host_);
  absl::Status status;
  host_.slab_.ForEachReferenced([&](const BoRef& bo) {
    if (!status.ok()) return;
    status = WithReserved(*bo, limit, [&](Contention* contention) {
      return visit(*bo, contention);
    });
  });
  // Those whose last reference went meanwhile.
  host_.FinishRetiring();
  host_.ReapGhosts(WaitLimit{WaitLimit::Mode::kNoWait});
  return status;
}

// The contents end up in ordinary frames, the bo stays reserved and pinned.
absl::Status Evacuation::LeaveDevice(BufferObject& bo, Contention* contention) {
  const WithoutPins unpinned(bo);
  absl::Status left;
  {
    Mover mover(host_, WaitLimit{});
    left = mover.LeaveDevice(bo);
    *contention = mover.TakeContention();
  }
  if (!left.ok()) return left;
  // The bytes may still be on their way.
  const absl::Status idle = bo.fences_.Wait(FenceUse::kRead, WaitLimit{});
  TWOSTEP_CHECK(idle.ok());
  return left;
}

void Evacuation::Drop(BufferObject& bo) {
  const WithoutPins unpinned(bo);
  bo.flags_ |= BufferObject::kPurged;
  Mover(host_, WaitLimit{}).Drop(bo);
}

bool Evacuation::StaysBound(const BufferObject& bo) const {
  const Sharing* const sharing = BoViews::SharingOf(bo);
  return sharing != nullptr && bo.binder_ != nullptr &&
         !sharing->attachments().empty() &&
         bo.binding_->port != &device_.port() && host_.IsBuiltIn(*bo.binder_);
}

void Evacuation::Hide(BufferObject& bo) {
  // Work of, and copies by, the device may still be under way.
  const absl::Status idle = bo.fences_.Wait(FenceUse::kRead, WaitLimit{});
  TWOSTEP_CHECK(idle.ok());
  if (bo.manager_->kind() != MemoryManager::Kind::kAperture) return;
  const WithoutPins unpinned(bo);
  Mover(host_, WaitLimit{}).HideFromGpu(bo, Departure::kGone);
}

Unplugged Evacuation::BringAllHome(Unplugging::Contents contents,
                                   Leaving leaving) {
  Unplugged unplugged;
  uint64_t told_of = 0;
  const auto bring = [&](BufferObject& bo, Contention* contention) {
    Sharing* const sharing = BoViews::SharingOf(bo);
    if (sharing != nullptr) {
      for (int lost = sharing->LoseDevice(device_); lost > 0; --lost) {
        leaving(bo, "attached to");
      }
      absl::Status unbound = sharing->UnbindUnused(contention);
      if (!unbound.ok()) return unbound;
    }
    if (bo.device_ != &device_) return absl::OkStatus();
    const bool stays_bound = StaysBound(bo);
    const bool shown = bo.manager_->kind() != MemoryManager::Kind::kNowhere;
    const bool leaves = shown || (bo.binder_ != nullptr && !stays_bound);
    if (leaves && std::exchange(told_of, bo.id()) != bo.id()) {
      leaving(bo, absl::StrCat("in ", bo.manager_->name(), " of"));
    }
    // A copy that failed has left zeros, or has not come to fixed memory.
    const bool arrived = bo.fences_.Error(FenceUse::kMove).ok();
    if (stays_bound && arrived) {
      Hide(bo);
    } else if (IsThere(bo) || !arrived) {
      if (sharing != nullptr) {
        for (uint32_t pins = sharing->pins(); pins > 0; --pins) bo.Unpin();
        sharing->ForgetPins();
      }
      KernelMapping::LetGo(bo, bo);
      const bool readable =
          arrived && (!bo.manager_->fixed() || device_.copies());
      bool kept = contents == Unplugging::Contents::kBringHome && readable;
      if (kept) {
        absl::Status left = LeaveDevice(bo, contention);
        if (KindOf(left) == ErrorKind::kContended) return left;
        kept = left.ok();
      }
      if (!kept) Drop(bo);
      ++(kept ? unplugged.brought_home : unplugged.lost);
      KernelMapping::Show(bo, bo);
    }
    bo.device_ = nullptr;
    return absl::OkStatus();
  };
  TWOSTEP_CHECK(ForEachBo(WaitLimit{}, bring).ok());
  return unplugged;
}

absl::Status Evacuation::CopyFixed(BufferObject& fixed, BufferObject& frames,
                                   Access access_to_fixed) {
  CopyEngine& engine = device_.copy_engine();
  CopyJob job;
  job.pages = fixed.page_count();
  job.from = FixedSide(*fixed.manager_, fixed.block(), job.pages, engine);
  job.to = PagesSide(frames, engine);
  if (access_to_fixed == Access::kWrite) std::swap(job.from, job.to);
  const absl::StatusOr<Fence> copied =
      device_.hooks().Copy(engine, std::move(job), {});
  if (!copied.ok()) return copied.status();
  return WaitFor(*copied, WaitLimit{});
}

absl::Status Evacuation::SaveOne(BufferObject& bo, const WaitLimit& limit,
                                 std::vector<SavedContents>* saved,
                                 Contention* contention) {
  // Its client pays for the frames.
  absl::StatusOr<BoRef> copy = host_.CreateBo(bo.size_bytes(), bo.client_);
  if (!copy.ok()) return copy.status();
  absl::Status status = WaitError(bo.fences_.Wait(FenceUse::kRead, limit));
  // It stands in no order, being pinned: only who goes through all bos may have
  // it, as another device that goes does, for a moment.
  (*copy)->Reserve();
  if (status.ok()) status = AwaitEngine(limit);
  if (status.ok()) {
    Mover mover(host_, limit);
    status = mover.MakePresent(**copy);
    *contention = mover.TakeContention();
  }
  if (status.ok()) {
    (*copy)->Pin();
    Mover::KillMappings(bo, PageRange{0, bo.page_count()});
    KernelMapping::LetGo(bo, bo);
    status = CopyFixed(bo, **copy, Access::kRead);
    KernelMapping::Show(bo, status.ok() ? **copy : bo);
  }
  (*copy)->UnreserveUnused();
  if (status.ok()) {
    const bool mapped = bo.views_ != nullptr && bo.views_->kernel_maps != 0;
    saved->push_back(SavedContents{BoRef(&bo), *copy, mapped});
  }
  return status;
}

absl::Status Evacuation::AwaitEngine(const WaitLimit& limit) {
  const Fence last = device_.copy_engine().last();
  absl::Status idle = WaitFor(last, limit);
  // Whether that one failed is the concern of those whose it is.
  return last.Signalled() ? absl::OkStatus() : WaitError(std::move(idle));
}

absl::Status Evacuation::Save(const WaitLimit& limit,
                              std::vector<SavedContents>* saved) {
  // What can be swapped out comes first: it makes room for what cannot.
  for (const bool all : {false, true}) {
    const auto save = [&](BufferObject& bo, Contention* contention) {
      if (bo.device_ != &device_ || !IsThere(bo)) return absl::OkStatus();
      if (bo.pinned()) {
        return all && bo.manager_->fixed()
                   ? SaveOne(bo, limit, saved, contention)
                   : absl::OkStatus();
      }
      Mover mover(host_, limit);
      absl::Status left = mover.LeaveDevice(bo);
      *contention = mover.TakeContention();
      return left.ok() ? WaitError(bo.fences_.Wait(FenceUse::kRead, limit))
                       : left;
    };
    absl::Status status = ForEachBo(limit, save);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

// Contents that were given up meanwhile are not to come back.
bool Evacuation::IsInItsPlace(const BufferObject& bo) const {
  return bo.device_ == &device_ && bo.manager_->fixed();
}

absl::Status Evacuation::ReserveToCopyBack(const SavedContents& saved,
                                           const WaitLimit& limit) {
  BufferObject& bo = *saved.bo;
  const auto reserved =
      bo.lock_.LockWithin(limit, ReservationLock::Meeting::kWait);
  if (reserved != ReservationLock::Outcome::kTaken) {
    return ReservationError(reserved, bo.DebugName());
  }
  absl::Status idle = AwaitEngine(limit);
  if (idle.ok()) {
    saved.copy->Reserve();
  } else {
    bo.lock_.Unlock();
  }
  return idle;
}

absl::Status Evacuation::CopyBack(SavedContents* saved, OnFailure on_failure) {
  BufferObject& bo = *saved->bo;
  BufferObject& copy = *saved->copy;
  absl::Status restored;
  KernelMapping::LetGo(bo, copy);
  if (IsInItsPlace(bo)) restored = CopyFixed(bo, copy, Access::kWrite);
  const bool memory_counts =
      restored.ok() || on_failure == OnFailure::kMemoryCounts;
  KernelMapping::Show(bo, memory_counts ? bo : copy);
  saved->restored = memory_counts;
  copy.UnreserveUnused();
  bo.lock_.Unlock();
  return restored;
}

absl::Status Evacuation::Restore(const WaitLimit& limit,
                                 std::vector<SavedContents>* saved) {
  for (SavedContents& contents : *saved) {
    if (contents.restored) continue;
    absl::Status reserved = ReserveToCopyBack(contents, limit);
    if (!reserved.ok()) return reserved;
    absl::Status restored = CopyBack(&contents, OnFailure::kCopyCounts);
    if (!restored.ok()) return restored;
  }
  saved->clear();
  return absl::OkStatus();
}

absl::Status Evacuation::Undo(const WaitLimit& limit,
                              std::vector<SavedContents>* saved) {
  std::erase_if(*saved,
                [](const SavedContents& contents) { return !contents.mapped; });
  for (; !saved->empty(); saved->pop_back()) {
    absl::Status reserved = ReserveToCopyBack(saved->back(), limit);
    if (!reserved.ok()) return reserved;
    // A copy that fails has changed nothing.
    CopyBack(&saved->back(), OnFailure::kMemoryCounts).IgnoreError();
  }
  return absl::OkStatus();
}

void Evacuation::Forget(std::vector<SavedContents>* saved) {
  for (SavedContents& contents : *saved) {
    contents.bo->lock_.Lock();
    KernelMapping::Show(*contents.bo, *contents.bo);
    contents.bo->lock_.Unlock();
  }
  saved->clear();
}

void Evacuation::BringHome(Unplugging::CopyEngine engine,
                           std::vector<SavedContents>* saved) {
  for (SavedContents& contents : *saved) {
    BufferObject& bo = *contents.bo;
    bo.lock_.Lock();
    contents.copy->Reserve();
    KernelMapping::LetGo(bo, contents.restored ? bo : *contents.copy);
    if (IsInItsPlace(bo)) {
      // Kernel mappings may have written to it since. A copy that fails leaves
      // the bytes that were saved.
      if (contents.restored && contents.mapped &&
          engine == Unplugging::CopyEngine::kWorks) {
        CopyFixed(bo, *contents.copy, Access::kRead).IgnoreError();
      }
      const WithoutPins unpinned(bo);
      const WithoutPins free(*contents.copy);
      bo.LeaveOrders(Departure::kGone);
      contents.copy->LeaveOrders(Departure::kGone);
      Mover::KillMappings(bo, PageRange{0, bo.page_count()});
      Telling::Tell(bo, EventKind::kMove, bo.page_count(), bo.manager_,
                    host_.system_manager_.get());
      host_.DiscardStorage(bo);
      bo.pages_.Adopt(contents.copy->pages_.Adopt(FrameArray(bo.page_count()),
                                                  Pages::Home::kNone),
                      Pages::Home::kMemory);
      if (contents.copy->Charged(Resource::kHost)) {
        // One bo's worth, as before: of the same client.
        contents.copy->SetCharged(Resource::kHost, false);
        bo.SetCharged(Resource::kHost, true);
      }
      bo.Uncharge();
      bo.JoinOrders();
    }
    KernelMapping::Show(bo, bo);
    if (bo.device_ == &device_) bo.device_ = nullptr;
    contents.copy->UnreserveUnused();
    bo.lock_.Unlock();
  }
  saved->clear();
}

}  // namespace twostep
