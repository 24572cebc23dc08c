#include "twostep/bo/buffer_object.h"

#include "absl/strings/str_cat.h"
#include "twostep/bo/bo_views.h"
#include "twostep/bo/bulk_move.h"
#include "twostep/bo/error.h"
#include "twostep/bo/host.h"
#include "twostep/dma_types/dma_binder.h"

namespace twostep {

BufferObject::BufferObject(Host& host, ClientRef client, uint64_t id,
                           uint32_t slot, PageCount pages)
    : slot_(slot),
      manager_(&host.system_manager()),
      pages_(pages),
      host_(host),
      id_(id),
      client_(std::move(client)) {
  NotePlace();
}

BufferObject::~BufferObject() = default;

std::string BufferObject::DebugName() const {
  return absl::StrCat("bo ", id_, " (", PagesToBytes(page_count()) / kKiB,
                      " KiB)");
}

absl::Status BufferObject::Reserve(const WaitLimit& limit) {
  if (Ticket::Exists() && limit.mode == WaitLimit::Mode::kNoWait) {
    return MakeError(ErrorKind::kMisuse,
                     absl::StrCat(DebugName(),
                                  ": with a ticket one waits; not to wait, use "
                                  "TryReserve"));
  }
  return ReserveStatus(
      lock_.LockWithin(limit, ReservationLock::Meeting::kBackOff));
}

absl::Status BufferObject::ReserveAgain(const WaitLimit& limit) {
  return ReserveStatus(
      lock_.LockWithin(limit, ReservationLock::Meeting::kWait));
}

absl::Status BufferObject::ReserveStatus(
    ReservationLock::Outcome outcome) const {
  switch (outcome) {
    case ReservationLock::Outcome::kTaken:
      return absl::OkStatus();
    case ReservationLock::Outcome::kMine:
      return absl::AlreadyExistsError(
          absl::StrCat(DebugName(), " is reserved by this thread already"));
    default:
      return ReservationError(outcome, DebugName());
  }
}

void BufferObject::Unreserve() {
  if (flags_ & kInMemoryOrder) {
    memory_order().Touch(memory_hook_, MemoryPlace());
  }
  if (flags_ & kInDmaOrder) {
    binder_->order().Touch(dma_hook_, DmaPlace(*binder_));
  }
  lock_.Unlock();
}

void BufferObject::SetWorthless(bool worthless) {
  AssertHeld();
  flags_ &= ~(kWorthless | (worthless ? 0 : kPurged));
  if (worthless) flags_ |= kWorthless;
}

void BufferObject::SetPriority(uint8_t priority) {
  AssertHeld();
  priority_ = priority;
}

void BufferObject::Pin() {
  AssertHeld();
  TWOSTEP_CHECK(pins_ < UINT16_MAX);
  if (pins_++ != 0) return;
  // It cannot move before it comes back: the same orders take it in again.
  LeaveOrders(Departure::kAside);
  manager_->pinned_pages() += page_count();
  if (binder_ != nullptr) binder_->stats().pinned_pages += page_count();
}

void BufferObject::Unpin() {
  AssertHeld();
  TWOSTEP_CHECK(pins_ > 0);
  if (--pins_ != 0) return;
  JoinOrders();
  CountUnpinned();
}

void BufferObject::ForgetPins() {
  if (pins_ == 0) return;
  pins_ = 0;
  CountUnpinned();
}

void BufferObject::CountUnpinned() {
  manager_->pinned_pages() -= page_count();
  if (binder_ != nullptr) binder_->stats().pinned_pages -= page_count();
}

EvictionOrder::Place BufferObject::PlaceIn(EvictionOrder& order,
                                           Resource resource) const {
  EvictionOrder::Place place;
  if (client_ != nullptr) place.account = client_->section(resource);
  if (bulk_ != nullptr) place.group = &bulk_->GroupIn(order, place.account);
  return place;
}

EvictionOrder::Place BufferObject::DmaPlace(DmaBinder& binder) const {
  if (!placed_) return {};
  return PlaceIn(binder.order(), Resource::kDma);
}

void BufferObject::SetCharged(Resource resource, bool charged) {
  const int bit = kChargedShift + static_cast<int>(resource);
  flags_ = static_cast<uint8_t>((flags_ & ~(1 << bit)) | charged << bit);
}

bool BufferObject::Holds(Resource resource) const {
  switch (resource) {
    case Resource::kHost:
      return pages_.present();
    case Resource::kDma:
      return binder_ != nullptr && binder_->can_run_out();
    case Resource::kDevice:
      return manager_->fixed();
  }
  return false;
}

void BufferObject::Uncharge() {
  if (client_ == nullptr) return;
  for (int i = 0; i < kResources; ++i) {
    const auto resource = static_cast<Resource>(i);
    if (!Charged(resource) || Holds(resource)) continue;
    client_->ChargedTo(resource).Uncharge(page_count());
    SetCharged(resource, false);
  }
}

void BufferObject::JoinOrders() {
  if (pinned()) return;
  // In SYSTEM only those are worth finding that have frames to give: DMA types
  // with memory of their own take it back by their own order.
  const bool in_memory_order =
      manager_->kind() != MemoryManager::Kind::kNowhere ||
      pages_.home() == Pages::Home::kMemory;
  if (in_memory_order && !(flags_ & kInMemoryOrder)) {
    flags_ |= kInMemoryOrder;
    memory_order().Insert(memory_hook_, MemoryPlace());
  }
  if (binder_ != nullptr && binder_->can_run_out() && !(flags_ & kInDmaOrder)) {
    flags_ |= kInDmaOrder;
    binder_->order().Insert(dma_hook_, DmaPlace(*binder_));
  }
}

void BufferObject::LeaveMemoryOrder(Departure why) {
  if (!(flags_ & kInMemoryOrder)) return;
  flags_ &= ~kInMemoryOrder;
  memory_order().Remove(memory_hook_, why, MemoryPlace());
}

void BufferObject::LeaveDmaOrder(DmaBinder& binder, Departure why) {
  if (!(flags_ & kInDmaOrder)) return;
  flags_ &= ~kInDmaOrder;
  binder.order().Remove(dma_hook_, why, DmaPlace(binder));
}

void BufferObject::LeaveOrders(Departure why) {
  LeaveMemoryOrder(why);
  if (binder_ != nullptr) LeaveDmaOrder(*binder_, why);
}

bool BufferObject::TryAddReference() {
  uint32_t references = references_.load(std::memory_order_relaxed);
  while (references != 0 &&
         !references_.compare_exchange_weak(references, references + 1,
                                            std::memory_order_relaxed)) {
  }
  return references != 0;
}

void intrusive_ptr_add_ref(BufferObject* bo) {
  bo->references_.fetch_add(1, std::memory_order_relaxed);
}

void intrusive_ptr_release(BufferObject* bo) {
  // From here until its storage is given up, no order may show it.
  InTransit transit(&bo->host_);
  if (bo->references_.fetch_sub(1, std::memory_order_acq_rel) == 1) {
    bo->host_.Retire(*bo);
  }
}

}  // namespace twostep
