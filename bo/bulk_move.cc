#include "twostep/bo/bulk_move.h"

namespace twostep {

void BulkMove::Add(BufferObject& bo) {
  bo.AssertHeld();
  TWOSTEP_CHECK(bo.bulk_ == nullptr && bo.client_ == client_);
  bo.LeaveOrders(Departure::kAside);
  bo.bulk_ = this;
  bo.NotePlace();
  bo.JoinOrders();
}

void BulkMove::Remove(BufferObject& bo) {
  bo.AssertHeld();
  TWOSTEP_CHECK(bo.bulk_ == this);
  bo.LeaveOrders(Departure::kAside);
  bo.bulk_ = nullptr;
  bo.NotePlace();
  bo.JoinOrders();
}

void BulkMove::MoveToEnd() {
  MutexLock lock(mutex_);
  for (Part& part : parts_) {
    // Its order may be gone, with its device.
    if (part.group->empty()) continue;
    part.order->TouchGroup(*part.group, {part.account, part.group.get()});
  }
}

EvictionGroup& BulkMove::GroupIn(EvictionOrder& order,
                                 const EvictionAccountPtr* account) {
  MutexLock lock(mutex_);
  for (Part& part : parts_) {
    if (part.order == &order) return *part.group;
  }
  parts_.push_back(Part{&order, account, std::make_unique<EvictionGroup>()});
  return *parts_.back().group;
}

}  // namespace twostep
