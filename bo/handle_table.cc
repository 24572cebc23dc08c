#include "twostep/bo/handle_table.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "twostep/bo/error.h"
#include "twostep/bo/host.h"
#include "twostep/machine/check.h"

namespace twostep {

HandleTable::HandleTable(ClientRef client)
    : client_(std::move(client)), global_names_(client_->host_.names()) {}

HandleTable::~HandleTable() {
  for (const Slot& slot : slots_) {
    if (slot.name != BoName::kNone) global_names_.Withdraw(slot.name);
  }
  client_->names_.fetch_sub(names_);
  client_->handles_.fetch_sub(handles_);
}

bool HandleTable::CountOne(Atomic<uint32_t>* counted, uint32_t most) {
  uint32_t now = counted->load();
  do {
    if (now >= most) return false;
  } while (!counted->compare_exchange_weak(now, now + 1));
  return true;
}

absl::Status HandleTable::CountHandle() {
  const uint32_t most = client_->handle_limits().handles;
  return CountOne(&client_->handles_, most) ? absl::OkStatus() : OverLimit();
}

absl::Status HandleTable::OverLimit() const {
  return MakeError(
      ErrorKind::kOverLimit,
      absl::StrCat(client_->name(), " has reached its limit of ",
                   client_->handle_limits().handles, " handles: close some"));
}

absl::Status HandleTable::Absent(BoHandle handle) const {
  return MakeError(ErrorKind::kAbsent,
                   absl::StrCat(client_->name(), " has no handle ",
                                static_cast<uint32_t>(handle)));
}

uint32_t HandleTable::SlotOfLocked(BoHandle handle) const {
  const auto value = static_cast<uint32_t>(handle);
  const uint32_t index = value & ((1u << kIndexBits) - 1);
  if (index >= slots_.size()) return kNoSlot;
  const Slot& slot = slots_[index];
  const bool mine =
      slot.bo != nullptr && slot.generation == value >> kIndexBits;
  return mine ? index : kNoSlot;
}

BoHandle HandleTable::AddLocked(BoRef bo) {
  uint32_t index = first_free_;
  if (index == kNoSlot) {
    index = static_cast<uint32_t>(slots_.size());
    slots_.emplace_back();
  } else {
    first_free_ = std::exchange(slots_[index].next_free, kNoSlot);
    if (first_free_ == kNoSlot) last_free_ = kNoSlot;
  }
  slots_[index].bo = std::move(bo);
  ++handles_;
  return BoHandle{slots_[index].generation << kIndexBits | index};
}

absl::StatusOr<BoHandle> HandleTable::Add(BoRef bo) {
  TWOSTEP_CHECK(bo != nullptr);
  absl::Status counted = CountHandle();
  if (!counted.ok()) return counted;
  MutexLock lock(mutex_);
  return AddLocked(std::move(bo));
}

absl::StatusOr<BoRef> HandleTable::Find(BoHandle handle) const {
  MutexLock lock(mutex_);
  const uint32_t index = SlotOfLocked(handle);
  if (index == kNoSlot) return Absent(handle);
  return slots_[index].bo;
}

absl::Status HandleTable::Close(BoHandle handle) {
  BoRef bo;  // goes, and perhaps its storage, outside of the lock
  MutexLock lock(mutex_);
  const uint32_t index = SlotOfLocked(handle);
  if (index == kNoSlot) return Absent(handle);
  Slot& slot = slots_[index];
  if (slot.name != BoName::kNone) {
    global_names_.Withdraw(std::exchange(slot.name, BoName::kNone));
    --names_;
    client_->names_.fetch_sub(1);
  }
  bo = std::move(slot.bo);
  // Never 0, so that no handle is.
  slot.generation =
      slot.generation == kLastGeneration ? 1 : slot.generation + 1;
  if (last_free_ == kNoSlot) {
    first_free_ = index;
  } else {
    slots_[last_free_].next_free = index;
  }
  last_free_ = index;
  --handles_;
  client_->handles_.fetch_sub(1);
  return absl::OkStatus();
}

absl::StatusOr<BoName> HandleTable::Publish(BoHandle handle) {
  MutexLock lock(mutex_);
  const uint32_t index = SlotOfLocked(handle);
  if (index == kNoSlot) return Absent(handle);
  Slot& slot = slots_[index];
  if (slot.name != BoName::kNone) return slot.name;
  const uint32_t most = client_->handle_limits().names;
  if (!CountOne(&client_->names_, most)) {
    return MakeError(
        ErrorKind::kOverLimit,
        absl::StrCat(client_->name(), " has reached its limit of ", most,
                     " global names: close handles that have one"));
  }
  slot.name = global_names_.Publish(slot.bo);
  ++names_;
  return slot.name;
}

absl::StatusOr<BoHandle> HandleTable::Open(BoName name) {
  BoRef bo = global_names_.Find(name);
  if (bo == nullptr) {
    // A client at its limit learns nothing of names.
    return client_->handles() < client_->handle_limits().handles
               ? MakeError(ErrorKind::kAbsent, "no bo has that global name")
               : OverLimit();
  }
  absl::Status counted = CountHandle();
  if (!counted.ok()) return counted;
  MutexLock lock(mutex_);
  return AddLocked(std::move(bo));
}

uint32_t HandleTable::handles() const {
  MutexLock lock(mutex_);
  return handles_;
}

uint32_t HandleTable::names() const {
  MutexLock lock(mutex_);
  return names_;
}

}  // namespace twostep
