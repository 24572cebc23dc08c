// The half of Mover that makes room: space in memory types, DMA resources,
// frames, and the evictions behind them.

#include <utility>

#include "absl/strings/str_cat.h"
#include "twostep/bo/bo_hooks.h"
#include "twostep/bo/mover.h"

namespace twostep {

Mover::Result Mover::Short() const {
  return met_busy_.ok() ? Result::kShort : Result::kBusy;
}

Mover::Result Mover::Busy(absl::Status pending) {
  if (met_busy_.ok()) met_busy_ = std::move(pending);
  return Result::kBusy;
}

Mover::Result Mover::WaitIdle(BufferObject& bo) {
  if (bo.fences_.Signalled()) return Result::kDone;
  absl::Status status = bo.fences_.Wait(FenceUse::kRead, wait_);
  if (status.ok()) return Result::kDone;
  return status.code() == absl::StatusCode::kUnavailable
             ? Busy(std::move(status))
             : Fail(std::move(status));
}

void Mover::Settle(BufferObject& victim, Result result) {
  if (result == Result::kDone) {
    victim.lock_.Unlock();
  } else {
    unmovable_.push_back(&victim);
  }
}

// --- Step 2: space in a memory type ---

Mover::Result Mover::TakeSpace(const BufferObject& bo, MemoryManager& manager,
                               const SpaceRequest& request, Evicting evicting,
                               SpaceBlock* block, FenceSet* fences) {
  bool expected = false;
  for (;;) {
    const Shortage::Kind kind = manager.Allocate(request, block);
    if (kind == Shortage::Kind::kNone) {
      if (!manager.fixed() || !manager.AppendFreedFences(fences) ||
          wait_.mode == WaitLimit::Mode::kWait) {
        return Result::kDone;
      }
      absl::Status pending = fences->Wait(FenceUse::kRead, wait_);
      if (pending.ok()) return Result::kDone;
      manager.Free(*block, static_cast<PageCount>(request.size));
      return Busy(std::move(pending));
    }
    if (kind == Shortage::Kind::kNeverFits ||
        kind == Shortage::Kind::kNotInUse) {
      return Result::kShort;
    }
    if (host_.ReapGhosts({WaitLimit::Mode::kNoWait})) continue;
    if (evicting == Evicting::kNo) return Result::kShort;
    if (ReapGhosts([&](const Host::Ghost& ghost) {
          return ghost.manager == &manager;
        })) {
      continue;
    }
    if (!std::exchange(expected, true)) {
      manager.order().Expect(BoHooks::MemoryFacts(bo, manager));
    }
    if (EvictForSpace(manager, request)) continue;
    return Short();
  }
}

bool Mover::ReapGhosts(absl::FunctionRef<bool(const Host::Ghost&)> wanted) {
  absl::Status reaped = host_.ReapGhostsOf(wait_, wanted);
  if (reaped.code() == absl::StatusCode::kUnavailable) {
    Busy(std::move(reaped));
    return false;
  }
  // Not exhausted: its time ran out.
  if (reaped.code() == absl::StatusCode::kDeadlineExceeded) failure_ = reaped;
  return reaped.ok();
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

// Whether there is a point in asking for the space again.
bool Mover::EvictForSpace(MemoryManager& manager, const SpaceRequest& request) {
  if (depth_ >= kMaxDepth) return false;
  VictimSearch search({&manager.order()}, VictimSearch::Order::kMemory);
  VictimSearch::Victims victims;
  const bool by_position = manager.WithSpace([&](RangeAllocator& space) {
    victims = search.ForHole(space, request,
                             [](const BufferObject& bo) { return bo.node_; });
  });
  if (!by_position) {
    victims = search.First(
        [&](const BufferObject& bo) { return StandsIn(manager, bo, request); });
  }
  for (BufferObject* victim : victims) {
    const Result result = EvictGpu(*victim);
    // One that came back to where it was is not to be evicted once more.
    Settle(*victim, victim->manager_ == &manager ? Result::kShort : result);
  }
  return !victims.empty();
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
      if (result == Result::kDone) break;
    }
    if (result == Result::kShort) NoteStuck();
    dma_outcome_ = outcome;
    --depth_;
  } else {
    result = WaitIdle(victim);
    if (result == Result::kDone) {
      victim.LeaveMemoryOrder(Departure::kEvicted);
      HideFromAperture(victim);
      victim.JoinOrders();
    }
  }
  if (result == Result::kDone) ++from.evictions();
  return result;
}

void Mover::ShowInAperture(BufferObject& bo, MemoryManager& manager,
                           const SpaceBlock& block) {
  absl::InlinedVector<DmaAddress, 64> addresses(bo.page_count());
  for (PageCount i = 0; i < bo.page_count(); ++i) {
    addresses[i] = bo.binding_->Address(bo.pages_, i);
  }
  manager.Bind(block, addresses);
  bo.manager_ = &manager;
  bo.start_ = static_cast<PageCount>(block.start);
  bo.node_ = block.node;
  Notify(bo, BoEvent::kGpuBound);
}

void Mover::HideFromAperture(BufferObject& bo) {
  bo.manager_->Unbind(bo.block(), bo.page_count());
  LeaveAperture(bo);
  Notify(bo, BoEvent::kGpuUnbound);
}

void Mover::LeaveAperture(BufferObject& bo) {
  bo.manager_->Free(bo.block(), bo.page_count());
  bo.manager_ = &host_.system_manager();
}

// --- Step 1: DMA resources ---

namespace {

bool HasIovaOf(const DmaBinding& binding, const DmaPort& port) {
  return binding.addressing == DmaBinding::Addressing::kIova &&
         &binding.port->domain() == &port.domain();
}

}  // namespace

Mover::Result Mover::DmaBind(BufferObject& bo, Device& device,
                             DmaBinder& binder, DmaBinder::Contents contents,
                             Evicting evicting) {
  std::unique_ptr<DmaBinding> binding = host_.TakeBinding();
  const Pages::Home home = bo.pages_.home();
  for (;;) {
    const BindOutcome outcome =
        binder.Bind(bo.pages_, device.port(), contents, binding.get());
    if (outcome.ok()) break;
    dma_outcome_ = outcome;
    if (outcome.scarce == BindOutcome::Scarce::kRefused ||
        outcome.kind == Shortage::Kind::kNeverFits) {
      return Result::kShort;
    }
    if (host_.ReapGhosts({WaitLimit::Mode::kNoWait})) continue;
    if (outcome.scarce == BindOutcome::Scarce::kHostFrames) {
      if (ReapGhostFrames() || MakeFrames()) continue;
      return Short();
    }
    if (evicting == Evicting::kNo) return Result::kShort;
    if (ReapGhosts([&](const Host::Ghost& ghost) {
          return outcome.scarce == BindOutcome::Scarce::kUnit
                     ? ghost.binder == &binder
                     : ghost.binder != nullptr &&
                           HasIovaOf(*ghost.binding, device.port());
        })) {
      continue;
    }
    if (!EvictForDma(binder, outcome.scarce, bo.page_count(), device)) {
      return Short();
    }
  }
  if (home == Pages::Home::kMemory &&
      bo.pages_.home() == Pages::Home::kBinder &&
      contents == DmaBinder::Contents::kKeep) {
    bytes_moved_ += bo.size_bytes();
  }
  bo.binding_ = std::move(binding);
  bo.binder_ = &binder;
  Notify(bo, BoEvent::kDmaBound);
  return Result::kDone;
}

Mover::Result Mover::DmaUnbind(BufferObject& bo, DmaBinder::Contents contents) {
  const bool own_memory = bo.pages_.home() == Pages::Home::kBinder;
  while (!bo.binder_->Unbind(bo.pages_, *bo.binding_, contents).ok()) {
    if (ReapGhostFrames() || MakeFrames()) continue;
    bo.flags_ |=
        bo.binding_->cpu_owned_pages != 0 ? BufferObject::kCpuOwnsPages : 0;
    dma_outcome_ =
        BindOutcome{BindOutcome::Scarce::kHostFrames, Shortage::Kind::kFull};
    return Short();
  }
  if (own_memory && contents == DmaBinder::Contents::kKeep) {
    bytes_moved_ += bo.size_bytes();
  }
  host_.ReturnBinding(std::move(bo.binding_));
  bo.binder_ = nullptr;
  bo.flags_ &= ~BufferObject::kCpuOwnsPages;
  Notify(bo, BoEvent::kDmaUnbound);
  return Result::kDone;
}

bool Mover::EvictForDma(DmaBinder& binder, BindOutcome::Scarce scarce,
                        PageCount pages, Device& device) {
  if (depth_ >= kMaxDepth) return false;
  VictimSearch::Orders orders{&binder.order()};
  if (scarce == BindOutcome::Scarce::kIova) {
    // Other DMA types use IOVAs of the same domain: they come last.
    for (int type = 0; type < kMaxDmaTypes; ++type) {
      DmaBinder* other = device.binder(static_cast<DmaType>(type));
      if (other != nullptr && other != &binder) {
        orders.push_back(&other->order());
      }
    }
  }
  VictimSearch search(orders, VictimSearch::Order::kDma);
  VictimSearch::Victims victims;
  const bool by_position = binder.WithSpace(
      scarce, pages, device.port(),
      [&](RangeAllocator& space, const SpaceRequest& request) {
        victims = search.ForHole(
            space, request, [&](const BufferObject& bo) -> uint32_t {
              const DmaBinding& binding = *bo.binding_;
              if (scarce == BindOutcome::Scarce::kUnit) {
                return binding.storage.node;
              }
              return HasIovaOf(binding, device.port()) ? binding.iova.node : 0;
            });
      });
  if (!by_position) {
    victims = search.First([&](const BufferObject& bo) {
      return bo.binder_->Holds(scarce, *bo.binding_);
    });
  }
  for (BufferObject* victim : victims) {
    Settle(*victim, EvictDma(*victim, Departure::kEvicted));
  }
  return !victims.empty();
}

void Mover::NoteStuck() {
  stuck_ = dma_outcome_.scarce == BindOutcome::Scarce::kHostFrames
               ? Stuck::kNoFrames
               : Stuck::kNoRoom;
}

// Also for a bo that is not DMA-bound: nothing to do then. One that cannot be
// unbound is where it was, also in its orders.
Mover::Result Mover::EvictDma(BufferObject& victim, Departure why) {
  if (victim.worthless()) return EvictGpu(victim);
  Result result = WaitIdle(victim);
  if (result != Result::kDone || victim.binder_ == nullptr) return result;
  const bool shown = victim.manager_->kind() == MemoryManager::Kind::kAperture;
  DmaBinder& from = *victim.binder_;
  KillMappings(victim, PageRange{0, victim.page_count()});
  if (shown) {
    victim.manager_->Unbind(victim.block(), victim.page_count());
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
  victim.LeaveDmaOrder(from, why);
  if (shown) {
    ++victim.manager_->evictions();
    victim.LeaveMemoryOrder(why);
    LeaveAperture(victim);
  }
  victim.JoinOrders();
  return result;
}

// --- Frames ---

Mover::Result Mover::RetryForFrames(absl::FunctionRef<Shortage::Kind()> take) {
  for (;;) {
    const Shortage::Kind kind = take();
    if (kind == Shortage::Kind::kNone) return Result::kDone;
    if (kind != Shortage::Kind::kNeverFits &&
        (ReapGhostFrames() || MakeFrames())) {
      continue;
    }
    dma_outcome_ = BindOutcome{BindOutcome::Scarce::kHostFrames, kind};
    return kind == Shortage::Kind::kNeverFits ? Result::kShort : Short();
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

Mover::Result Mover::SwapIn(BufferObject& bo) {
  Machine& machine = host_.machine();
  const Result result = RetryForFrames([&] {
    return bo.pages_.SwapIn(machine.memory(), machine.swap(), kNoFrame - 1);
  });
  if (result != Result::kDone) return result;
  const uint64_t bytes = bo.size_bytes();
  machine.clock().Charge(machine.cost().swap_latency_ns +
                         TransferNs(bytes, machine.cost().swap_mib_per_s));
  host_.stats().swap_in_bytes += bytes;
  bo.JoinOrders();
  Notify(bo, BoEvent::kSwappedIn);
  return Result::kDone;
}

bool Mover::ReapGhostFrames() {
  return ReapGhosts([](const Host::Ghost& ghost) {
    return ghost.pages.home() == Pages::Home::kMemory;
  });
}

// Swaps one bo out: first of those that no GPU sees, then of the apertures'.
bool Mover::MakeFrames() {
  if (depth_ >= kMaxDepth) return false;
  ++depth_;
  bool made = SwapOutOneOf(host_.system_manager());
  for (MemoryManager* manager : host_.ApertureManagers()) {
    if (made) break;
    made = SwapOutOneOf(*manager);
  }
  --depth_;
  return made;
}

bool Mover::SwapOutOneOf(MemoryManager& manager) {
  for (;;) {
    VictimSearch search({&manager.order()}, VictimSearch::Order::kMemory);
    const VictimSearch::Victims victims =
        search.First([](const BufferObject& bo) {
          return bo.pages_.home() == Pages::Home::kMemory;
        });
    if (victims.empty()) return false;
    BufferObject& victim = *victims[0];
    if (victim.worthless()) {
      Settle(victim, EvictGpu(victim));
      return true;
    }
    const bool swapped = SwapOut(victim).ok();
    Settle(victim, swapped ? Result::kDone : Result::kFailed);
    if (swapped) return true;
  }
}

// --- Contents ---

CopySide Mover::FixedSide(MemoryManager& manager, const SpaceBlock& block,
                          PageCount pages, const CopyEngine& engine) const {
  CopySide side{CopySide::Kind::kVram, manager.vram(), {}};
  if (!engine.executes()) return side;
  side.pages.reserve(pages);
  manager.ForEachSegment(block, pages, [&](uint64_t start, uint64_t count) {
    for (uint64_t i = 0; i < count; ++i) side.pages.push_back(start + i);
  });
  return side;
}

CopySide Mover::PagesSide(const BufferObject& bo,
                          const CopyEngine& engine) const {
  if (!bo.pages_.present()) return CopySide{};
  CopySide side{
      bo.binder_ != nullptr ? CopySide::Kind::kDma : CopySide::Kind::kFrames,
      {}};
  if (!engine.executes()) return side;
  side.pages.reserve(bo.page_count());
  for (PageCount i = 0; i < bo.page_count(); ++i) {
    side.pages.push_back(bo.binder_ != nullptr
                             ? bo.binding_->Address(bo.pages_, i) >> kPageShift
                             : bo.pages_.frames()[i]);
  }
  return side;
}

Mover::Result Mover::Copy(BufferObject& bo, Device& device, CopySide from,
                          CopySide to, const FenceSet& space_fences,
                          Fence* fence) {
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
  *fence = *copied;
  if (counts) {
    bytes_moved_ += bo.size_bytes();
    if (from_fixed) host_.stats().from_fixed_bytes += bo.size_bytes();
    if (to_fixed) host_.stats().to_fixed_bytes += bo.size_bytes();
  }
  return Result::kDone;
}

}  // namespace twostep
