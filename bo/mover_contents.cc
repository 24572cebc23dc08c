// The part of Mover that moves contents, drops them, and hands pages over
// between CPU and device.

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "twostep/bo/bo_views.h"
#include "twostep/bo/cpu_mapping.h"
#include "twostep/bo/mover.h"
#include "twostep/bo/telling.h"

namespace twostep {

void Mover::Notify(BufferObject& bo, BoEvent event) {
  if (bo.device_ != nullptr) bo.device_->hooks().Notify(bo, event);
}

Mover::Result Mover::Copy(BufferObject& bo, Device& device, CopySide from,
                          CopySide to, const FenceSet& space_fences,
                          Fence* fence) {
  // The contents of a lost device's bos are about to come home, or are given
  // up, as soon as this one is free: whoever wants it elsewhere has only to
  // wait for that.
  const auto refused = [&](absl::Status why) {
    if (device.state() != DeviceState::kLost) return Fail(std::move(why));
    // A victim whose last reference is gone leaves by itself.
    const BoRef awaited =
        bo.TryAddReference() ? BoRef(&bo, /*add_ref=*/false) : nullptr;
    return Reserved(ReservationLock::Outcome::kBackOff, awaited, nullptr);
  };
  if (!device.copies()) return refused(device.StateError());
  absl::InlinedVector<Fence, 4> dependencies;
  bo.fences_.AppendDependencies(FenceUse::kWrite, &dependencies);
  space_fences.AppendDependencies(FenceUse::kWrite, &dependencies);
  const bool counts = from.kind != CopySide::Kind::kZero;
  const bool from_fixed = from.kind == CopySide::Kind::kVram;
  const bool to_fixed = to.kind == CopySide::Kind::kVram;
  absl::StatusOr<Fence> copied = device.hooks().Copy(
      device.copy_engine(),
      CopyJob{std::move(from), std::move(to), bo.page_count()}, dependencies);
  if (!copied.ok()) return Fail(copied.status());
  // The device may have gone in between.
  absl::Status failed = copied->Error();
  if (!failed.ok()) return refused(std::move(failed));
  *fence = *copied;
  if (counts) {
    bytes_moved_ += bo.size_bytes();
    if (from_fixed) host_.stats().from_fixed_bytes += bo.size_bytes();
    if (to_fixed) host_.stats().to_fixed_bytes += bo.size_bytes();
  }
  return Result::kDone;
}

Mover::Result Mover::SwapIn(BufferObject& bo) {
  Machine& machine = host_.machine();
  absl::Status unreadable;
  const Result result = RetryForFrames([&] {
    const absl::StatusOr<Shortage::Kind> kind =
        bo.pages_.SwapIn(machine.memory(), machine.swap(), kNoFrame - 1);
    unreadable = kind.status();
    return kind.ok() ? *kind : Shortage::Kind::kNone;
  });
  if (!unreadable.ok()) return Fail(std::move(unreadable));
  if (result != Result::kDone) return result;
  const uint64_t bytes = bo.size_bytes();
  machine.clock().Charge(machine.cost().swap_latency_ns +
                         TransferNs(bytes, machine.cost().swap_mib_per_s));
  host_.stats().swap_in_bytes += bytes;
  bo.JoinOrders();
  Telling::Tell(bo, EventKind::kSwapIn, bo.page_count(), &machine.swap(),
                bo.manager_);
  Notify(bo, BoEvent::kSwappedIn);
  return Result::kDone;
}

Mover::Result Mover::SwapOut(BufferObject& victim) {
  Machine& machine = host_.machine();
  // Known beforehand, it costs nobody the bindings.
  if (machine.swap().pages() - machine.swap().used_pages() <
      victim.page_count()) {
    return Result::kShort;
  }
  Result result = EvictDma(victim, Departure::kEvicted);
  if (result == Result::kDone) result = WaitIdle(victim);
  if (result != Result::kDone) return result;
  KillMappings(victim, PageRange{0, victim.page_count()});
  if (victim.pages_.SwapOut(machine.memory(), machine.swap()) !=
      Shortage::Kind::kNone) {
    return Result::kShort;
  }
  victim.LeaveOrders(Departure::kEvicted);
  const uint64_t bytes = victim.size_bytes();
  machine.clock().Charge(machine.cost().swap_latency_ns +
                         TransferNs(bytes, machine.cost().swap_mib_per_s));
  host_.stats().swap_out_bytes += bytes;
  victim.Uncharge();
  Telling::Tell(victim, EventKind::kSwapOut, victim.page_count(),
                victim.manager_, &machine.swap());
  Notify(victim, BoEvent::kSwappedOut);
  return Result::kDone;
}

void Mover::Drop(BufferObject& bo) {
  bo.LeaveOrders(Departure::kGone);
  KillMappings(bo, PageRange{0, bo.page_count()});
  Telling::Tell(bo, EventKind::kDrop, bo.page_count(), bo.manager_);
  host_.DiscardStorage(bo);
  bo.Uncharge();
  Notify(bo, BoEvent::kPurged);
}

absl::Status Mover::TakePagesFromCpu(BufferObject& bo, PageRange range) {
  if (!(bo.flags_ & BufferObject::kCpuOwnsPages)) return absl::OkStatus();
  if (bo.views_ != nullptr && bo.views_->kernel_maps != 0) {
    std::string message =
        absl::StrCat(bo.DebugName(),
                     " is to be used by a device while a kernel mapping has ",
                     bo.binding_->cpu_owned_pages, " pages: unmap it first");
    bo.host().ReportMisuse({Misuse::Kind::kDeviceUseOfKernelMapped, message});
    return MakeError(ErrorKind::kMisuse, message);
  }
  const PageCount end = range.first + range.count;
  for (PageCount page = range.first; page < end;) {
    const PageCount first = page;
    for (; page < end && bo.binding_->CpuOwns(page); ++page) {
    }
    if (page > first) KillMappings(bo, PageRange{first, page - first});
    if (page == first) ++page;
  }
  const PageCount owned = bo.binding_->cpu_owned_pages;
  bo.binder_->SyncForDevice(bo.pages_, *bo.binding_, range);
  if (bo.binding_->cpu_owned_pages == 0) {
    bo.flags_ &= ~BufferObject::kCpuOwnsPages;
  }
  if (bo.binding_->cpu_owned_pages != owned) {
    Telling::Tell(bo, EventKind::kSyncForDevice,
                  owned - bo.binding_->cpu_owned_pages);
  }
  return absl::OkStatus();
}

void Mover::GivePagesToCpu(BufferObject& bo, PageRange range,
                           DmaBinder::Contents contents) {
  const PageCount owned = bo.binding_->cpu_owned_pages;
  bo.binder_->SyncForCpu(bo.pages_, *bo.binding_, range, contents);
  if (bo.binding_->cpu_owned_pages != 0) {
    bo.flags_ |= BufferObject::kCpuOwnsPages;
  }
  if (bo.binding_->cpu_owned_pages != owned &&
      contents == DmaBinder::Contents::kKeep) {
    Telling::Tell(bo, EventKind::kSyncForCpu,
                  bo.binding_->cpu_owned_pages - owned);
  }
}

void Mover::KillMappings(BufferObject& bo, PageRange range) {
  if (bo.views_ == nullptr) return;
  for (CpuMapping* mapping = bo.views_->mappings; mapping != nullptr;
       mapping = mapping->next()) {
    mapping->Kill(range);
  }
}

}  // namespace twostep
