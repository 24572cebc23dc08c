#include "twostep/bo/host.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "absl/strings/str_cat.h"
#include "twostep/bo/device.h"
#include "twostep/bo/error.h"
#include "twostep/dma_types/binders.h"
#include "twostep/eviction/eviction_policy.h"
#include "twostep/mem_types/managers.h"

namespace twostep {

Host::Ghost::Ghost(BufferObject& bo)
    : pages(std::move(bo.pages_)),
      binding(std::move(bo.binding_)),
      binder(std::exchange(bo.binder_, nullptr)),
      block(bo.block()),
      fences(std::move(bo.fences_)) {
  if (bo.manager_->kind() != MemoryManager::Kind::kNowhere) {
    manager = bo.manager_;
  }
}

void Host::Ghost::Release(Machine& machine) {
  if (manager != nullptr) {
    if (manager->kind() == MemoryManager::Kind::kAperture) {
      manager->Unbind(block, pages.count());
    }
    manager->Free(block, pages.count());
  }
  if (binder != nullptr) {
    const BindOutcome outcome =
        binder->Unbind(pages, *binding, DmaBinder::Contents::kDrop);
    TWOSTEP_CHECK(outcome.ok());
  }
  pages.Release(machine.memory(), machine.swap());
}

absl::StatusOr<std::unique_ptr<Host>> Host::Create(Machine& machine,
                                                   const HostOptions& options) {
  auto policy = MakeEvictionPolicy(options.eviction_policy);
  if (!policy.ok()) return policy.status();
  return std::unique_ptr<Host>(new Host(machine, options));
}

Host::Host(Machine& machine, HostOptions options)
    : machine_(machine),
      options_(std::move(options)),
      system_manager_(MakeSystemManager(MakePolicy())),
      binders_{MakeNoneBinder(machine, MakePolicy()),
               MakeDynamicBinder(machine, MakePolicy()),
               MakeCoherentBinder(machine, MakePolicy()),
               MakeCmaBinder(machine, MakePolicy())} {}

Host::~Host() {
  {
    MutexLock lock(mutex_);
    TWOSTEP_CHECK(devices_.empty());
  }
  slab_.ForEach([this](BufferObject& bo) {
    ReportMisuse(Misuse::Kind::kLiveAtTeardown,
                 absl::StrCat(bo.DebugName(), " outlives its host"));
    bo.LeaveOrders();
    DiscardStorage(bo);
    slab_.Destroy(bo);
  });
  while (ReapGhosts({})) {
  }
}

std::unique_ptr<EvictionPolicy> Host::MakePolicy() const {
  return *MakeEvictionPolicy(options_.eviction_policy);
}

absl::StatusOr<BoRef> Host::CreateBo(uint64_t size_bytes) {
  const uint64_t pages = BytesToPages(size_bytes);
  if (pages == 0 || pages >= ~PageCount{0}) {
    return MakeError(
        ErrorKind::kNeverFits,
        absl::StrCat("a bo of ", size_bytes,
                     " bytes: the size must be above 0 and below 16 TiB"));
  }
  return BoRef(&slab_.Make(*this, static_cast<PageCount>(pages)));
}

void Host::Retire(BufferObject& bo) {
  // An evictor may be at work on it; it holds no reference, only this.
  bo.lock_.Lock();
  if (bo.pinned()) {
    // No pin outlives its bo.
    bo.pins_ = 1;
    bo.Unpin();
  }
  bo.LeaveOrders();
  DiscardStorage(bo);
  bo.lock_.Unlock();
  slab_.Destroy(bo);
}

void Host::DiscardStorage(BufferObject& bo) {
  const bool fixed = bo.manager_->fixed();
  if (fixed) {
    // Nobody needs to wait for the space but whoever gets it.
    bo.manager_->FreeAfter(bo.block(), bo.page_count(), bo.fences_);
  } else if (bo.binder_ != nullptr || bo.pages_.home() != Pages::Home::kNone) {
    AddGhost(std::make_unique<Ghost>(bo));
  }
  // Whoever had the pages has them no more.
  bo.flags_ &= ~BufferObject::kCpuOwnsPages;
  bo.fences_.Clear();
  bo.manager_ = system_manager_.get();
}

void Host::AddGhost(std::unique_ptr<Ghost> ghost) {
  if (ghost->fences.Signalled()) {
    ghost->Release(machine_);
    return;
  }
  MutexLock lock(mutex_);
  ghosts_.push_back(std::move(ghost));
}

bool Host::ReapGhosts(const WaitLimit& limit) {
  std::list<std::unique_ptr<Ghost>> ready;
  {
    MutexLock lock(mutex_);
    for (auto it = ghosts_.begin(); it != ghosts_.end();) {
      auto next = std::next(it);
      if ((*it)->fences.Signalled()) ready.splice(ready.end(), ghosts_, it);
      it = next;
    }
    if (ready.empty() && !ghosts_.empty() &&
        limit.mode == WaitLimit::Mode::kWait) {
      // Out of the list while it is waited for: it is ours alone.
      ready.splice(ready.end(), ghosts_, ghosts_.begin());
    }
  }
  if (ready.empty()) return false;
  for (auto& ghost : ready) {
    if (!ghost->fences.Wait(FenceUse::kRead, limit).ok()) {
      MutexLock lock(mutex_);
      ghosts_.push_front(std::move(ghost));
      return false;
    }
    ghost->Release(machine_);
  }
  return true;
}

std::vector<MemoryManager*> Host::ApertureManagers() const {
  std::vector<MemoryManager*> apertures;
  MutexLock lock(mutex_);
  for (const Device* device : devices_) {
    for (int type = 0; type < kMaxMemoryTypes; ++type) {
      MemoryManager* manager = device->manager(static_cast<MemoryType>(type));
      if (manager != nullptr &&
          manager->kind() == MemoryManager::Kind::kAperture) {
        apertures.push_back(manager);
      }
    }
  }
  return apertures;
}

void Host::AddDevice(Device& device) {
  MutexLock lock(mutex_);
  devices_.push_back(&device);
}

void Host::RemoveDevice(Device& device) {
  MutexLock lock(mutex_);
  devices_.erase(std::find(devices_.begin(), devices_.end(), &device));
}

void Host::ReportMisuse(Misuse::Kind kind, std::string message) {
  if (options_.misuse_handler) {
    options_.misuse_handler(Misuse{kind, std::move(message)});
    return;
  }
  std::fprintf(stderr, "twostep: misuse: %s\n", message.c_str());
  std::fflush(stderr);
  std::abort();
}

}  // namespace twostep
