#include "twostep/bo/sharing.h"

#include <algorithm>

#include "absl/container/inlined_vector.h"
#include "absl/strings/str_cat.h"
#include "twostep/bo/device.h"
#include "twostep/bo/error.h"
#include "twostep/bo/host.h"
#include "twostep/bo/mover.h"
#include "twostep/bo/shared_buffer.h"
#include "twostep/bo/telling.h"
#include "twostep/dma_types/dma_binder.h"

namespace twostep {

void Sharing::Adopt(Device& exporter, const ShareConstraints& wants) {
  exporter_ = &exporter;
  exporter_wants_ = wants;
}

std::vector<SharingParty> Sharing::Parties() const {
  std::vector<SharingParty> parties;
  if (exporter_ != nullptr) {
    parties.push_back({exporter_->name(), &exporter_->port(), exporter_wants_});
  }
  for (const SharedAttachment* attachment : attachments_) {
    Device& device = *attachment->device_;
    parties.push_back(
        {device.name(), &device.port(), attachment->options_.constraints});
  }
  return parties;
}

DmaAddress Sharing::Highest() const {
  DmaAddress highest = ~DmaAddress{0};
  for (const SharingParty& party : Parties()) {
    highest = std::min(highest, party.highest());
  }
  return highest;
}

DmaPort& Sharing::PortFor(Device& device) const {
  if (attachments_.empty()) return device.port();
  return PortLike(device.port());
}

DmaPort& Sharing::PortLike(const DmaPort& like) const {
  SegmentLimits limits = like.limits();
  for (const SharingParty& party : Parties()) {
    limits = limits.And(party.port->limits());
  }
  return bo_.host().JointPort(like, std::min(Highest(), like.highest()),
                              limits);
}

uint32_t Sharing::pins() const {
  return static_cast<uint32_t>(
      std::count_if(attachments_.begin(), attachments_.end(),
                    [](const auto* attachment) { return attachment->pins_; }));
}

void Sharing::ForgetPins() {
  for (SharedAttachment* attachment : attachments_) attachment->pins_ = false;
}

absl::StatusOr<SuitableDmaTypes> Sharing::Suitable() const {
  return Negotiate(bo_.host(), bo_.size_bytes(), Parties());
}

void Sharing::Attach(SharedAttachment& attachment) {
  attachments_.push_back(&attachment);
}

void Sharing::Unmap(SharedAttachment& attachment) {
  attachment.mapped_ = false;
  if (std::exchange(attachment.pins_, false)) attachment.bo_->Unpin();
}

void Sharing::Detach(SharedAttachment& attachment) {
  Unmap(attachment);
  attachments_.erase(
      std::find(attachments_.begin(), attachments_.end(), &attachment));
}

absl::Status Sharing::UnbindUnused(Contention* contention) {
  if (bo_.binder_ == nullptr) return absl::OkStatus();
  const bool all = attachments_.empty() && bound_here_ && !bo_.pinned() &&
                   bo_.manager().kind() == MemoryManager::Kind::kNowhere;
  absl::InlinedVector<const DmaDomain*, 4> unused;
  if (bo_.binding().aliases != nullptr) {
    for (const DmaAlias& alias : *bo_.binding().aliases) {
      const bool used = std::any_of(
          attachments_.begin(), attachments_.end(), [&](const auto* other) {
            return &other->device_->port().domain() == alias.domain;
          });
      if (!used) unused.push_back(alias.domain);
    }
  }
  if (!all && unused.empty()) return absl::OkStatus();
  const absl::Status idle = bo_.fences_.Wait(FenceUse::kRead, WaitLimit{});
  TWOSTEP_CHECK(idle.ok());
  for (const DmaDomain* domain : unused) {
    bo_.binder_->RemoveAlias(bo_.pages_, *domain, bo_.binding_.get());
  }
  if (!all) return absl::OkStatus();
  Mover mover(bo_.host(), WaitLimit{});
  absl::Status left = mover.LeaveDevice(bo_);
  *contention = mover.TakeContention();
  return KindOf(left) == ErrorKind::kContended ? left : absl::OkStatus();
}

absl::Status Sharing::BeginCpuAccess(PageRange range, CpuUse use,
                                     const WaitLimit& limit) {
  const bool taken =
      bo_.binder_ != nullptr && bo_.binder_->hands_over(*bo_.binding_->port);
  // What is taken from devices that only read it is taken all the same.
  const bool only_writers = use == CpuUse::kRead && !taken;
  absl::Status idle = bo_.fences_.Wait(
      only_writers ? FenceUse::kWrite : FenceUse::kRead, limit);
  if (!idle.ok()) return WaitError(idle);
  if (!taken) return idle;
  Mover::GivePagesToCpu(bo_, range,
                        use == CpuUse::kOverwrite ? DmaBinder::Contents::kDrop
                                                  : DmaBinder::Contents::kKeep);
  return idle;
}

absl::Status Sharing::EndCpuAccess(PageRange range) {
  return Mover::TakePagesFromCpu(bo_, range);
}

void Sharing::AddressesGone() {
  bound_here_ = false;
  for (SharedAttachment* attachment : attachments_) {
    if (!std::exchange(attachment->mapped_, false)) continue;
    if (attachment->options_.moved) attachment->options_.moved(*attachment);
  }
}

int Sharing::LoseDevice(Device& device) {
  int lost = 0;
  if (exporter_ == &device) {
    exporter_ = nullptr;
    // What it has bound is now theirs alone.
    bound_here_ = bo_.binder_ != nullptr;
  }
  const std::vector<SharedAttachment*> all = attachments_;
  for (SharedAttachment* attachment : all) {
    if (attachment->device_ != &device) continue;
    ++lost;
    const absl::Status idle = bo_.fences_.Wait(FenceUse::kRead, WaitLimit{});
    TWOSTEP_CHECK(idle.ok());
    Detach(*attachment);
    attachment->device_ = nullptr;
  }
  return lost;
}

bool Sharing::AddressesWithin(const DmaDomain& domain,
                              DmaAddress highest) const {
  const DmaBinding& binding = bo_.binding();
  if (!binding.ReachableIn(domain)) return true;
  for (PageCount page = 0; page < bo_.page_count(); ++page) {
    if (binding.AddressIn(domain, bo_.pages(), page) + (kPageSize - 1) >
        highest) {
      return false;
    }
  }
  return true;
}

bool Sharing::BoundFor(const SharedAttachment& attachment,
                       const SuitableDmaTypes& types) const {
  if (bo_.binder_ == nullptr || !bo_.binding().has_addresses()) return false;
  const bool suits = std::any_of(types.begin(), types.end(), [&](DmaType type) {
    return bo_.binder_ == &bo_.host().binder(type);
  });
  // Who hands pages over goes by what the port says of caches.
  const bool one_view =
      bo_.binder_->one_view() ||
      bo_.binding().port->coherent() == attachment.device_->port().coherent();
  const DmaAddress highest = Highest();
  const DmaPort& port = attachment.device_->port();
  const bool usable =
      !bo_.binding().ReachableIn(port.domain()) ||
      bo_.binding().KeepsTo(port.domain(), bo_.pages(), port.limits());
  return suits && one_view && usable &&
         AddressesWithin(bo_.binding().port->domain(), highest) &&
         AddressesWithin(port.domain(), highest);
}

// Where it is bound it stays, if that serves.
Device& Sharing::OwnerFor(Device& importer) const {
  if (exporter_ != nullptr) return *exporter_;
  Device* const last = bo_.device_;
  return last != nullptr &&
                 last->port().coherent() == importer.port().coherent()
             ? *last
             : importer;
}

absl::Status Sharing::Map(SharedAttachment& attachment,
                          ValidateContext* context) {
  context->hit = attachment.mapped_;
  context->ForgetFailure();
  if (attachment.mapped_) return Mover::TakePagesFromCpu(bo_);
  if (attachment.device_ == nullptr) {
    return MakeError(ErrorKind::kMisuse,
                     absl::StrCat(bo_.DebugName(),
                                  " is to be mapped for a device that is "
                                  "gone"));
  }
  if (attachment.device_->state() != DeviceState::kRunning) {
    return attachment.device_->StateError();
  }
  auto types = Suitable();
  if (!types.ok()) {
    return MakeError(KindOf(types.status()),
                     absl::StrCat(bo_.DebugName(), " cannot be shared: ",
                                  types.status().message()));
  }
  Device& importer = *attachment.device_;
  // The one that it has is the one that its exporter likes.
  std::stable_partition(types->begin(), types->end(), [&](DmaType type) {
    return bo_.binder_ == &bo_.host().binder(type);
  });
  const bool was_bound = bo_.binder_ != nullptr;
  const bool bound = BoundFor(attachment, *types);
  absl::Status status;
  {
    Mover mover(bo_.host(), context->wait);
    status = mover.BindShared(bo_, {.owner = OwnerFor(importer),
                                    .importer = importer,
                                    .port = PortFor(importer),
                                    .types = *types,
                                    .bound = bound});
    Telling::Outcome(bo_.host(), &bo_, status);
    context->bytes_moved += mover.bytes_moved();
    context->contention = mover.TakeContention();
    context->obstacles = mover.TakeObstacles();
    context->pending = PendingFence(status);
  }
  bo_.host().KeepWatermark();
  // Also when it came no further than that.
  if (!bound && bo_.binder_ != nullptr && (status.ok() || !was_bound)) {
    bound_here_ = true;
  }
  if (!status.ok()) return status;
  if (bound) {
    // Made for one device, perhaps: it must not end with that device's port.
    DmaPort*& port = bo_.binding_->port;
    port = &PortLike(*port);
  }
  attachment.mapped_ = true;
  if (!attachment.options_.moved) {
    attachment.pins_ = true;
    bo_.Pin();
  }
  return status;
}

}  // namespace twostep
