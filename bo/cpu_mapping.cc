#include "twostep/bo/cpu_mapping.h"

#include <sys/mman.h>

#include <algorithm>
#include <utility>

#include "absl/container/inlined_vector.h"
#include "absl/strings/str_cat.h"
#include "twostep/bo/bo_views.h"
#include "twostep/bo/device.h"
#include "twostep/bo/error.h"
#include "twostep/bo/host.h"
#include "twostep/bo/mover.h"
#include "twostep/bo/telling.h"
#include "twostep/dma_types/dma_binder.h"

namespace twostep {
namespace {

// Where in which file a page of a bo is.
struct FilePage {
  int fd = -1;
  uint64_t offset = 0;
};

// The page of a VRAM block, counted along its segments.
uint64_t FixedPage(const BufferObject& bo, PageCount page) {
  uint64_t found = 0;
  uint64_t skipped = 0;
  bo.manager().ForEachSegment(bo.block(), bo.page_count(),
                              [&](uint64_t start, uint64_t count) {
                                if (page >= skipped && page < skipped + count) {
                                  found = start + page - skipped;
                                }
                                skipped += count;
                              });
  return found;
}

bool InWindow(const BufferObject& bo, MemoryManager& manager) {
  const Vram* vram = manager.vram();
  if (vram == nullptr) return false;
  bool inside = true;
  manager.ForEachSegment(
      bo.block(), bo.page_count(), [&](uint64_t start, uint64_t count) {
        inside &= PagesToBytes(start + count) <= vram->visible_bytes();
      });
  return inside;
}

FilePage FileOf(const BufferObject& bo, MemoryManager& manager,
                PageCount page) {
  if (manager.fixed()) {
    return FilePage{manager.vram()->fd(), PagesToBytes(FixedPage(bo, page))};
  }
  PhysicalMemory& memory = bo.host().machine().memory();
  return FilePage{memory.fd(), memory.FileOffset(bo.pages().frames()[page])};
}

// Shows all pages of `bo` at `data`, MAP_SHARED or MAP_PRIVATE: frames lie
// anywhere, so one by one. False when the process has too many mappings.
bool MapPages(const BufferObject& bo, MemoryManager& manager, std::byte* data,
              int sharing) {
  for (PageCount page = 0; page < bo.page_count(); ++page) {
    const FilePage file = FileOf(bo, manager, page);
    if (mmap(data + PagesToBytes(page), kPageSize, PROT_READ | PROT_WRITE,
             sharing | MAP_FIXED, file.fd,
             static_cast<off_t>(file.offset)) == MAP_FAILED) {
      return false;
    }
  }
  return true;
}

}  // namespace

absl::Status WaitForCpu(BufferObject& bo, Access access,
                        const WaitLimit& limit) {
  absl::Status status = bo.Reserve(limit);
  if (!status.ok()) return status;
  // Others may have the bo while this thread waits.
  absl::InlinedVector<Fence, 4> fences;
  bo.fences().AppendDependencies(
      access == Access::kRead ? FenceUse::kRead : FenceUse::kWrite, &fences);
  status = bo.fences().Error(FenceUse::kWrite);
  bo.UnreserveUnused();
  if (!status.ok()) return WaitError(status);
  for (const Fence& fence : fences) {
    status = WaitFor(fence, limit);
    if (!status.ok()) return WaitError(status);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<CpuMapping>> CpuMapping::Create(
    BoRef bo, const WaitLimit& limit) {
  const bool backed = bo->host().machine().memory().backed();
  auto mapping = std::unique_ptr<CpuMapping>(new CpuMapping(std::move(bo)));
  if (backed) {
    auto pages = UserMapping::Create(mapping->bo_->page_count(), *mapping);
    if (!pages.ok()) return pages.status();
    mapping->mapping_ = *std::move(pages);
  }
  BufferObject& mapped = *mapping->bo_;
  const auto reserved =
      mapped.lock_.LockWithin(limit, ReservationLock::Meeting::kWait);
  if (reserved != ReservationLock::Outcome::kTaken) {
    TWOSTEP_CHECK(reserved != ReservationLock::Outcome::kMine);
    return ReservationError(reserved, mapped.DebugName());
  }
  mapping->listed_ = true;
  mapping->next_ = std::exchange(BoViews::Of(mapped).mappings, mapping.get());
  mapped.lock_.Unlock();
  return mapping;
}

CpuMapping::CpuMapping(BoRef bo)
    : bo_(std::move(bo)), present_((bo_->page_count() + 63) / 64) {}

CpuMapping::~CpuMapping() {
  // One that Create gave up: nobody has seen it.
  if (!listed_) return;
  bo_->lock_.Lock();
  CpuMapping** link = &bo_->views_->mappings;
  while (*link != this) link = &(*link)->next_;
  *link = next_;
  bo_->lock_.Unlock();
}

absl::Status CpuMapping::Touch(PageRange range, Access,
                               const WaitLimit& limit) {
  TWOSTEP_CHECK(range.first <= bo_->page_count() &&
                range.count <= bo_->page_count() - range.first);
  return WithReserved(*bo_, limit, [&](Contention* contention) {
    return TouchLocked(range, limit, contention);
  });
}

absl::Status CpuMapping::TouchLocked(PageRange range, const WaitLimit& limit,
                                     Contention* contention) {
  const PageCount end = range.first + range.count;
  PageCount page = range.first;
  while (page < end && IsPresent(page)) ++page;
  if (page == end) return absl::OkStatus();
  absl::Status ready = PrepareLocked(limit, contention);
  // Preparing may have moved the bo, and with it taken all pages away.
  for (page = range.first; ready.ok() && page < end;) {
    const PageCount first = page;
    for (; page < end && !IsPresent(page); ++page) {
    }
    if (page > first) ready = ServeLocked(PageRange{first, page - first});
    while (page < end && IsPresent(page)) ++page;
  }
  return ready;
}

bool CpuMapping::ServeFault(PageCount page, Access) {
  // Whoever touches memory can neither be refused nor told to come back.
  return WithReserved(*bo_, WaitLimit{},
                      [&](Contention* contention) {
                        return ServeFaultLocked(page, contention);
                      })
      .ok();
}

absl::Status CpuMapping::ServeFaultLocked(PageCount page,
                                          Contention* contention) {
  // Present, yet it faulted: another thread was faster, or the kernel, at its
  // limit of mappings, let a Kill take more pages away than asked for.
  if (IsPresent(page)) return PresentLocked(page);
  absl::Status ready = PrepareLocked(WaitLimit{}, contention);
  return ready.ok() ? ServeLocked(PageRange{page, 1}) : ready;
}

// Brings the contents to where the CPU can map them, after whatever the device
// still does with them.
absl::Status CpuMapping::PrepareLocked(const WaitLimit& limit,
                                       Contention* contention) {
  BufferObject& bo = *bo_;
  absl::Status idle = WaitError(bo.fences_.Wait(FenceUse::kRead, limit));
  if (!idle.ok()) return idle;
  if (bo.manager_->fixed()) {
    if (!bo.device_->copies()) {
      // The contents of a lost device's bos are about to come home: once this
      // one is free, which is all that there is to wait for.
      return bo.device_->state() == DeviceState::kLost
                 ? MakeError(ErrorKind::kContended, "its device goes")
                 : bo.device_->StateError();
    }
    // Pinned, it is being saved or restored: what is written now gets lost.
    if (bo.pinned() && bo.device_->state() == DeviceState::kSuspended) {
      return bo.device_->StateError();
    }
    return InWindow(bo, *bo.manager_) ? idle
                                      : BringIntoWindow(limit, contention);
  }
  if (bo.pages_.present()) return idle;
  absl::Status present;
  {
    Mover mover(bo.host(), limit);
    present = mover.MakePresent(bo);
    Telling::Outcome(bo.host(), &bo, present);
    *contention = mover.TakeContention();
  }
  bo.host().KeepWatermark();
  return present;
}

// One fault a page, as if each had been touched.
absl::Status CpuMapping::ServeLocked(PageRange range) {
  BufferObject& bo = *bo_;
  Machine& machine = bo.host().machine();
  bo.host().stats().cpu_faults += range.count;
  Telling::Tell(bo, EventKind::kCpuFault, range.count);
  machine.clock().Charge(range.count * machine.cost().fault_ns);
  if (bo.binder_ != nullptr && bo.binder_->hands_over(*bo.binding_->port)) {
    Mover::GivePagesToCpu(bo, range, DmaBinder::Contents::kKeep);
  }
  for (PageCount i = 0; i < range.count; ++i) {
    absl::Status shown = PresentLocked(range.first + i);
    if (!shown.ok()) return shown;
  }
  return absl::OkStatus();
}

absl::Status CpuMapping::PresentLocked(PageCount page) {
  if (mapping_ != nullptr) {
    const FilePage file = FileOf(*bo_, *bo_->manager_, page);
    absl::Status shown =
        mapping_->Present(PageRange{page, 1}, file.fd, file.offset);
    if (!shown.ok()) return shown;
  }
  present_[page / 64] |= uint64_t{1} << (page % 64);
  return absl::OkStatus();
}

// From beyond the window: into it, or else out to system pages.
absl::Status CpuMapping::BringIntoWindow(const WaitLimit& limit,
                                         Contention* contention) {
  BufferObject& bo = *bo_;
  Device& device = *bo.device_;
  Placement placements[2];
  for (int type = 0; type < kMaxMemoryTypes; ++type) {
    if (device.manager(static_cast<MemoryType>(type)) == bo.manager_) {
      placements[0].memory = static_cast<MemoryType>(type);
    }
  }
  const Vram* vram = bo.manager_->vram();
  placements[0].use = Placement::Use::kDesired;
  placements[0].end_page = static_cast<PageCount>(
      vram == nullptr ? 0 : vram->visible_bytes() >> kPageShift);
  const bool window = placements[0].end_page != 0;
  Mover mover(bo.host(), limit);
  absl::Status moved = mover.Validate(
      bo, device, PlacementList(placements + (window ? 0 : 1), window ? 2 : 1));
  Telling::Outcome(bo.host(), &bo, moved);
  *contention = mover.TakeContention();
  if (!moved.ok()) return moved;
  return WaitError(bo.fences_.Wait(FenceUse::kRead, limit));
}

absl::Status CpuMapping::SyncBytes(BufferObject& bo, ByteRange bytes,
                                   DmaBinder::Sync direction,
                                   const WaitLimit& limit) {
  TWOSTEP_CHECK(bytes.first <= bo.size_bytes() &&
                bytes.count <= bo.size_bytes() - bytes.first);
  absl::Status status = bo.Reserve(limit);
  if (!status.ok()) return status;
  if (direction == DmaBinder::Sync::kForCpu) {
    status = WaitError(bo.fences_.Wait(FenceUse::kWrite, limit));
  }
  if (status.ok() && bo.binder_ != nullptr && bytes.count != 0 &&
      bo.binder_->hands_over(*bo.binding_->port)) {
    const PageCount end =
        static_cast<PageCount>(BytesToPages(bytes.first + bytes.count));
    PageCount page = static_cast<PageCount>(bytes.first >> kPageShift);
    while (page < end && bo.binding_->CpuOwns(page)) ++page;
    if (page < end) {
      status = MakeError(ErrorKind::kMisuse,
                         absl::StrCat("sync of bytes of ", bo.DebugName(),
                                      ": page ", page, " is the device's"));
    } else {
      bo.binder_->SyncBytes(bo.pages_, *bo.binding_, bytes, direction);
    }
  }
  bo.UnreserveUnused();
  return status;
}

void CpuMapping::Kill(PageRange range) {
  // From the first page that is there to the last one.
  PageCount first = range.first;
  PageCount end = range.first + range.count;
  while (first < end && !IsPresent(first)) ++first;
  while (end > first && !IsPresent(end - 1)) --end;
  if (first == end) return;
  for (PageCount page = first; page < end; ++page) {
    present_[page / 64] &= ~(uint64_t{1} << (page % 64));
  }
  if (mapping_ != nullptr) mapping_->Kill(PageRange{first, end - first});
  Machine& machine = bo_->host().machine();
  machine.clock().Charge(machine.cost().zap_ns +
                         (end - first) * machine.cost().zap_page_ns);
}

absl::StatusOr<std::unique_ptr<KernelMapping>> KernelMapping::Create(
    BoRef bo, const WaitLimit& limit) {
  if (!bo->host().machine().memory().backed()) {
    return absl::FailedPreconditionError(
        "an unbacked machine has no bytes to map");
  }
  std::unique_ptr<KernelMapping> mapping;
  absl::Status mapped = WithReserved(*bo, limit, [&](Contention* contention) {
    std::byte* data = nullptr;
    absl::Status ready = PrepareLocked(*bo, limit, contention);
    if (ready.ok()) ready = MapLocked(*bo, &data);
    if (ready.ok()) mapping.reset(new KernelMapping(bo, data));
    return ready;
  });
  if (!mapped.ok()) return mapped;
  return mapping;
}

KernelMapping::KernelMapping(BoRef bo, std::byte* data)
    : bo_(std::move(bo)), data_(data) {
  Host& host = bo_->host();
  MutexLock lock(host.mutex_);
  host.kernel_mappings_.push_back(this);
}

std::vector<KernelMapping*> KernelMapping::Of(BufferObject& bo) {
  std::vector<KernelMapping*> mappings;
  if (bo.views_ == nullptr || bo.views_->kernel_maps == 0) return mappings;
  MutexLock lock(bo.host().mutex_);
  for (KernelMapping* mapping : bo.host().kernel_mappings_) {
    if (mapping->bo_.get() == &bo) mappings.push_back(mapping);
  }
  return mappings;
}

void KernelMapping::LetGo(BufferObject& bo, const BufferObject& shown) {
  for (KernelMapping* mapping : Of(bo)) {
    MapPages(shown, *shown.manager_, mapping->data_, MAP_PRIVATE);
  }
}

void KernelMapping::Show(BufferObject& bo, BufferObject& shown) {
  const std::vector<KernelMapping*> mappings = Of(bo);
  if (mappings.empty()) return;
  const bool present = Mover(bo.host(), WaitLimit{}).MakePresent(shown).ok();
  for (KernelMapping* mapping : mappings) {
    if (present &&
        MapPages(shown, *shown.manager_, mapping->data_, MAP_SHARED)) {
      continue;
    }
    // Old frames are others' now.
    const void* at = mmap(mapping->data_, bo.size_bytes(), PROT_NONE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    TWOSTEP_CHECK(at != MAP_FAILED);
  }
}

absl::Status KernelMapping::PrepareLocked(BufferObject& bo,
                                          const WaitLimit& limit,
                                          Contention* contention) {
  Host& host = bo.host();
  if (bo.binder_ != nullptr && bo.binder_ == &host.binder(DmaType::kDynamic)) {
    std::string message =
        absl::StrCat("kernel mapping of ", bo.DebugName(),
                     ", which is bound to DYNAMIC: its pages are the device's");
    host.ReportMisuse({Misuse::Kind::kKernelMapOfDynamic, message});
    return MakeError(ErrorKind::kMisuse, message);
  }
  absl::Status ready = WaitError(bo.fences_.Wait(FenceUse::kRead, limit));
  if (ready.ok()) {
    Mover mover(host, limit);
    ready = mover.MakePresent(bo);
    Telling::Outcome(host, &bo, ready);
    *contention = mover.TakeContention();
  }
  host.KeepWatermark();
  // What a suspended device's memory holds is not the contents: these wait in
  // frames, and come back over whatever was written meanwhile.
  if (ready.ok() && bo.manager_->fixed() &&
      bo.device_->state() == DeviceState::kSuspended) {
    return MakeError(
        ErrorKind::kBusy,
        absl::StrCat(bo.DebugName(), " is in ", bo.manager_->name(), " of ",
                     bo.device_->name(),
                     ", which is suspended: resume it first"));
  }
  if (ready.ok() && bo.manager_->fixed() && !InWindow(bo, *bo.manager_)) {
    return absl::FailedPreconditionError(
        absl::StrCat(bo.DebugName(), " lies beyond the part of ",
                     bo.manager_->name(), " that the CPU can map"));
  }
  return ready;
}

absl::Status KernelMapping::MapLocked(BufferObject& bo, std::byte** data) {
  // Frames lie anywhere: one mapping each, in a range reserved first.
  void* at = mmap(nullptr, bo.size_bytes(), PROT_NONE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  *data = static_cast<std::byte*>(at);
  if (at == MAP_FAILED || !MapPages(bo, *bo.manager_, *data, MAP_SHARED)) {
    if (at != MAP_FAILED) munmap(at, bo.size_bytes());
    return absl::ResourceExhaustedError(
        absl::StrCat("the process has no room to map ", bo.DebugName()));
  }
  if (bo.binder_ != nullptr && bo.binder_->hands_over(*bo.binding_->port)) {
    Mover::GivePagesToCpu(bo, PageRange{0, bo.page_count()},
                          DmaBinder::Contents::kKeep);
  }
  bo.Pin();
  ++BoViews::Of(bo).kernel_maps;
  return absl::OkStatus();
}

KernelMapping::~KernelMapping() {
  Host& host = bo_->host();
  bo_->lock_.Lock();
  {
    MutexLock lock(host.mutex_);
    auto& all = host.kernel_mappings_;
    all.erase(std::find(all.begin(), all.end(), this));
  }
  munmap(data_, bo_->size_bytes());
  --bo_->views_->kernel_maps;
  bo_->Unpin();
  bo_->lock_.Unlock();
}

}  // namespace twostep
