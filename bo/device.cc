#include "twostep/bo/device.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "twostep/bo/bo_hooks.h"
#include "twostep/bo/error.h"
#include "twostep/bo/evacuation.h"
#include "twostep/bo/host.h"
#include "twostep/bo/mover.h"
#include "twostep/bo/telling.h"
#include "twostep/mem_types/managers.h"

namespace twostep {

void DeviceHooks::Notify(const BufferObject&, BoEvent) {}

void DeviceHooks::Lost(const absl::Status&) {}

PlacementList DeviceHooks::EvictTo(const BufferObject&) {
  static constexpr Placement kAnonymous;
  return {&kAnonymous, 1};
}

std::optional<Placement> DeviceHooks::Hop(const BufferObject&,
                                          const Placement&) {
  return std::nullopt;
}

absl::StatusOr<Fence> DeviceHooks::Copy(CopyEngine& engine, CopyJob job,
                                        absl::Span<const Fence> dependencies) {
  for (const CopySide* side : {&job.from, &job.to}) {
    if (side->kind == CopySide::Kind::kVram && side->vram == nullptr) {
      return absl::UnimplementedError(
          "a memory type of the device's own is not the copy engine's to "
          "reach: "
          "override DeviceHooks::Copy");
    }
  }
  return engine.Copy(std::move(job), dependencies);
}

Device::Device(Host& host, std::string name)
    : host_(host), name_(std::move(name)) {}

absl::StatusOr<std::unique_ptr<Device>> Device::Create(Host& host,
                                                       const GpuConfig& config,
                                                       DeviceHooks* hooks) {
  if (config.name.empty()) {
    return absl::InvalidArgumentError("name: a device needs one");
  }
  if (config.dma_mask_bits < 24 || config.dma_mask_bits > 64) {
    return absl::InvalidArgumentError(absl::StrCat(
        "dma_mask_bits: ", config.dma_mask_bits, " is not between 24 and 64"));
  }
  const std::optional<SegmentLimits::Problem> problem =
      config.segments.FindProblem();
  if (problem.has_value()) {
    return absl::InvalidArgumentError(
        absl::StrCat("segments.", problem->field, ": ", problem->why));
  }
  Machine& machine = host.machine();
  if (config.domain >= machine.domains()) {
    return absl::InvalidArgumentError(
        absl::StrCat("domain: the machine has ", machine.domains(),
                     ", none is number ", config.domain));
  }
  if (!config.coherent) {
    absl::Status view = machine.memory().SeparateDeviceView();
    if (!view.ok()) return view;
  }
  auto device = std::unique_ptr<Device>(new Device(host, config.name));
  if (hooks != nullptr) device->hooks_ = hooks;
  device->port_ = std::make_unique<DmaPort>(
      machine.domain(config.domain), machine.memory(), config.dma_mask_bits,
      config.coherent, config.segments, config.name);
  for (int type = 0; type < static_cast<int>(DmaType::kFirstRegistered);
       ++type) {
    device->binders_[type] = &host.binder(static_cast<DmaType>(type));
  }
  if (config.aperture_bytes != 0) {
    auto tt = MakeTtManager(config.aperture_bytes, host.MakePolicy());
    if (!tt.ok()) return tt.status();
    device->managers_[static_cast<int>(MemoryType::kTt)] =
        device->Adopt(*std::move(tt));
  }
  if (config.vram_bytes != 0) {
    auto manager = MakeVramManager(
        VramSizes{config.vram_bytes, config.vram_visible_bytes},
        config.vram_allocator,
        machine.memory().backed() ? Backing::kBacked : Backing::kUnbacked,
        host.MakePolicy());
    if (!manager.ok()) return manager.status();
    device->managers_[static_cast<int>(MemoryType::kVram)] =
        device->Adopt(*std::move(manager));
  }
  device->copy_engine_ = std::make_unique<CopyEngine>(
      machine.NewTimeline(absl::StrCat(config.name, ".copy")), machine.clock(),
      machine.cost(), machine.memory(), *device->port_);
  device->managers_[static_cast<int>(MemoryType::kSystem)] =
      &host.system_manager();
  device->system_order_ = host.AddDevice(*device);
  return device;
}

Device::~Device() {
  if (copy_engine_ == nullptr) return;  // never came to be
  state_.store(DeviceState::kLost);
  // From here on nobody begins to look for victims here.
  host_.RemoveDevice(*this);
  Evacuation evacuation(*this);
  host_.AwaitOthers();
  const auto report = [this](const BufferObject& bo, const std::string& where) {
    host_.ReportMisuse({Misuse::Kind::kLiveAtTeardown,
                        absl::StrCat(bo.DebugName(), " is still ", where, " ",
                                     name_, ", which goes")});
  };
  for (const SavedContents& saved : saved_) {
    report(*saved.bo, absl::StrCat("in ", saved.bo->manager().name(), " of"));
  }
  evacuation.BringHome(Unplugging::CopyEngine::kWorks, &saved_);
  evacuation.BringAllHome(Unplugging::Contents::kBringHome, report);
  // Those whose last reference went meanwhile.
  host_.AwaitOthers();
  ReapOwnGhosts();
  host_.machine().coherent_pool().Forget(port_.get());
  for (const auto& manager : own_managers_) {
    Telling::Forget(host_.events(), manager.get());
  }
  for (const auto& binder : own_binders_) {
    Telling::Forget(host_.events(), binder.get());
  }
}

void Device::ReapOwnGhosts() {
  std::vector<const void*> parts{port_.get()};
  for (const auto& manager : own_managers_) parts.push_back(manager.get());
  for (const auto& binder : own_binders_) parts.push_back(binder.get());
  const auto reap_mine = [&] {
    return std::any_of(parts.begin(), parts.end(), [&](const void* part) {
      return host_.ReapGhostsOf(WaitLimit{}, part).ok();
    });
  };
  do {
    while (reap_mine()) {
    }
    // Some may be in the hands of others, who may put them back.
    host_.AwaitOthers();
  } while (reap_mine());
}

absl::Status Device::StateError() const {
  return state() == DeviceState::kLost
             ? MakeError(ErrorKind::kDeviceLost,
                         absl::StrCat(name_, " is gone"))
             : MakeError(ErrorKind::kBusy,
                         absl::StrCat(name_, " is suspended: resume it first"));
}

namespace {

// The right to make a device come or go, if it can be had within `limit`.
class LifeHold {
 public:
  LifeHold(ReservationLock& life, const WaitLimit& limit,
           const std::string& name)
      : life_(life),
        outcome_(life.LockWithin(limit, ReservationLock::Meeting::kWait)),
        name_(name) {}
  ~LifeHold() {
    if (held()) life_.Unlock();
  }
  LifeHold(const LifeHold&) = delete;
  LifeHold& operator=(const LifeHold&) = delete;

  bool held() const { return outcome_ == ReservationLock::Outcome::kTaken; }
  absl::Status Error() const {
    return ReservationError(outcome_, absl::StrCat("the state of ", name_));
  }

 private:
  ReservationLock& life_;
  const ReservationLock::Outcome outcome_;
  const std::string& name_;
};

}  // namespace

Unplugged Device::Unplug(const Unplugging& how) {
  const LifeHold hold(life_, WaitLimit{}, name_);
  if (state() == DeviceState::kLost) return {};
  const bool was_suspended = state() == DeviceState::kSuspended;
  // From here on no validation begins; those that did hold the reservations of
  // their bos, and are waited for one by one.
  state_.store(DeviceState::kLost);
  const absl::Status gone = StateError();
  hooks_->Lost(gone);
  if (how.engine == Unplugging::CopyEngine::kGone) {
    copies_.store(false);
    copy_engine_->Fail(gone);
  }
  Evacuation evacuation(*this);
  Unplugged unplugged;
  if (was_suspended && how.contents == Unplugging::Contents::kBringHome) {
    unplugged.brought_home = saved_.size();
    evacuation.BringHome(how.engine, &saved_);
  }
  evacuation.Forget(&saved_);
  const Unplugged others = evacuation.BringAllHome(
      how.contents, [](const BufferObject&, const std::string&) {});
  host_.AwaitOthers();
  ReapOwnGhosts();
  copies_.store(false);
  copy_engine_->Fail(gone);
  unplugged.brought_home += others.brought_home;
  unplugged.lost += others.lost;
  return unplugged;
}

absl::Status Device::Suspend(const WaitLimit& limit) {
  const LifeHold hold(life_, limit, name_);
  if (!hold.held()) return hold.Error();
  if (state() != DeviceState::kRunning) {
    return absl::FailedPreconditionError(StateError().message());
  }
  state_.store(DeviceState::kSuspended);
  absl::Status suspended = SuspendLocked(limit);
  // The memory still has its bytes, but for what was written to the copies
  // through kernel mappings.
  if (!suspended.ok() && Evacuation(*this).Undo(limit, &saved_).ok()) {
    state_.store(DeviceState::kRunning);
  }
  return suspended;
}

absl::Status Device::SuspendLocked(const WaitLimit& limit) {
  Evacuation evacuation(*this);
  absl::Status saved = evacuation.Save(limit, &saved_);
  if (!saved.ok()) return saved;
  // Jobs may still be at work on what bos that are gone have left behind.
  FenceSet freed;
  for (const auto& manager : own_managers_) manager->AppendFreedFences(&freed);
  absl::Status idle = WaitError(freed.Wait(FenceUse::kRead, limit));
  if (!idle.ok()) return idle;
  // What is still queued belongs to nobody any more; behind it, all is still.
  idle = evacuation.AwaitEngine(limit);
  if (!idle.ok()) return idle;
  copies_.store(false);
  for (const auto& manager : own_managers_) {
    if (manager->vram() != nullptr) manager->vram()->Scribble();
  }
  return absl::OkStatus();
}

absl::Status Device::Resume(const WaitLimit& limit) {
  const LifeHold hold(life_, limit, name_);
  if (!hold.held()) return hold.Error();
  if (state() != DeviceState::kSuspended) {
    return absl::FailedPreconditionError(
        absl::StrCat(name_, " is not suspended"));
  }
  absl::Status restored = Evacuation(*this).Restore(limit, &saved_);
  if (!restored.ok()) return restored;
  // Only now: what is not restored yet is nobody's to read.
  copies_.store(true);
  state_.store(DeviceState::kRunning);
  return absl::OkStatus();
}

MemoryManager* Device::Adopt(std::unique_ptr<MemoryManager> manager) {
  manager->order().Serve(BoHooks::OwnerOf(*manager), host_.policy_factory());
  Telling::Name(host_.events(), manager.get(), name_, manager->name());
  own_managers_.push_back(std::move(manager));
  return own_managers_.back().get();
}

void Device::Note(EvictionBoundary boundary) {
  host_.system_manager().order(system_order_).Note(boundary);
  for (const auto& manager : own_managers_) manager->order().Note(boundary);
  for (DmaBinder* binder : binders_) {
    if (binder != nullptr) binder->order().Note(boundary);
  }
}

absl::StatusOr<DmaType> Device::RegisterDmaType(
    std::unique_ptr<DmaBinder> binder) {
  for (size_t type = 0; type < binders_.size(); ++type) {
    if (binders_[type] == nullptr) {
      binder->order().Serve(BoHooks::OwnerOf(*binder), host_.policy_factory());
      binders_[type] = binder.get();
      Telling::Name(host_.events(), binder.get(), name_, binder->name());
      own_binders_.push_back(std::move(binder));
      return static_cast<DmaType>(type);
    }
    if (binders_[type]->name() == binder->name()) {
      return absl::AlreadyExistsError(absl::StrCat(
          name_, " already has a DMA type named '", binder->name(), "'"));
    }
  }
  return absl::ResourceExhaustedError(
      absl::StrCat(name_, " already has ", kMaxDmaTypes, " DMA types"));
}

absl::StatusOr<MemoryType> Device::RegisterMemoryType(
    std::unique_ptr<MemoryManager> manager) {
  for (const MemoryManager* known : managers_) {
    if (known != nullptr && known->name() == manager->name()) {
      return absl::AlreadyExistsError(absl::StrCat(
          name_, " already has a memory type named '", manager->name(), "'"));
    }
  }
  for (size_t type = static_cast<size_t>(MemoryType::kFirstRegistered);
       type < managers_.size(); ++type) {
    if (managers_[type] != nullptr) continue;
    managers_[type] = Adopt(std::move(manager));
    return static_cast<MemoryType>(type);
  }
  return absl::ResourceExhaustedError(
      absl::StrCat(name_, " already has ", kMaxMemoryTypes, " memory types"));
}

absl::Status Device::GiveUpAddresses(BufferObject& bo,
                                     ValidateContext* context) {
  bo.AssertHeld();
  context->ForgetFailure();
  if (state() != DeviceState::kRunning) return StateError();
  Mover mover(host_, context->wait);
  absl::Status status = mover.GiveUpAddresses(bo);
  Telling::Outcome(host_, &bo, status);
  context->contention = mover.TakeContention();
  return status;
}

Placement Device::PlacementOf(const BufferObject& bo) const {
  Placement placement;
  for (int type = 0; type < kMaxMemoryTypes; ++type) {
    if (managers_[type] == bo.manager_) {
      placement.memory = static_cast<MemoryType>(type);
    }
  }
  for (int type = 0; type < kMaxDmaTypes; ++type) {
    if (bo.binder_ != nullptr && binders_[type] == bo.binder_) {
      placement.dma = static_cast<DmaType>(type);
    }
  }
  return placement;
}

bool Device::SatisfiesNowhere(const BufferObject& bo,
                              const Placement& placement) const {
  // (NONE, SYSTEM) is an anonymous bo; any other DMA type keeps it bound.
  if (placement.dma == DmaType::kNone) return bo.binder_ == nullptr;
  return bo.binder_ != nullptr && bo.binder_ == binder(placement.dma) &&
         bo.device_ == this && bo.binding_->has_addresses();
}

bool Device::StandsWithin(const BufferObject& bo, const Placement& placement) {
  bool within = true;
  uint64_t next = bo.start_;
  bo.manager_->ForEachSegment(
      bo.block(), bo.page_count(), [&](uint64_t start, uint64_t pages) {
        within &=
            start >= placement.first_page &&
            (placement.end_page == 0 || start + pages <= placement.end_page) &&
            (!placement.contiguous || start == next);
        next = start + pages;
      });
  return within;
}

absl::Status Device::TakePagesFromCpu(BufferObject& bo) {
  return Mover::TakePagesFromCpu(bo);
}

absl::Status Device::CheckPlacements(const BufferObject& bo,
                                     PlacementList placements) const {
  for (const Placement& placement : placements) {
    const auto dma = static_cast<size_t>(placement.dma);
    const auto memory = static_cast<size_t>(placement.memory);
    if (memory >= managers_.size() || managers_[memory] == nullptr) {
      static constexpr const char* kNames[] = {"SYSTEM", "TT", "VRAM"};
      return MakeError(
          ErrorKind::kWrongPlace,
          absl::StrCat(bo.DebugName(), ": ", name_, " has no memory type ",
                       memory < 3 ? kNames[memory] : absl::StrCat(memory)));
    }
    if (managers_[memory]->fixed()) continue;
    if (dma >= binders_.size() || binders_[dma] == nullptr) {
      return MakeError(
          ErrorKind::kWrongPlace,
          absl::StrCat(bo.DebugName(), ": ", name_, " has no DMA type ", dma));
    }
  }
  return absl::OkStatus();
}

absl::Status Device::ValidateSlow(BufferObject& bo, PlacementList placements,
                                  ValidateContext* context) {
  context->hit = false;
  context->ForgetFailure();
  if (state() != DeviceState::kRunning) return StateError();
  if (Stays(bo, placements)) {
    context->hit = true;
    return TakePagesFromCpu(bo);
  }
  absl::Status known = CheckPlacements(bo, placements);
  if (!known.ok()) return known;
  absl::Status status;
  {
    Mover mover(host_, context->wait);
    const bool throttled = context->bytes_moved >= context->move_budget;
    status = mover.Validate(bo, *this, placements, throttled);
    context->bytes_moved += mover.bytes_moved();
    Telling::Outcome(host_, &bo, status);
    context->hit = mover.stayed();
    context->contention = mover.TakeContention();
    context->obstacles = mover.TakeObstacles();
    context->pending = PendingFence(status);
  }
  host_.KeepWatermark();
  return status;
}

}  // namespace twostep
