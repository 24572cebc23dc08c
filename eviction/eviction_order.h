#ifndef EVICTION_EVICTION_ORDER_H_
#define EVICTION_EVICTION_ORDER_H_

// The entries of one memory type or one DMA binder, in the order of a policy,
// behind a lock. A leaf lock: held for one verb, or while candidates are looked
// at and tried, never across a wait. Thread-safe.

#include <cstddef>
#include <memory>
#include <utility>

#include "absl/functional/function_ref.h"
#include "twostep/eviction/eviction_policy.h"
#include "twostep/machine/sync.h"

namespace twostep {

class EvictionOrder {
 public:
  explicit EvictionOrder(std::unique_ptr<EvictionPolicy> policy)
      : policy_(std::move(policy)) {}

  // At most once, before the first entry.
  void Serve(const EvictionOwner& owner) {
    SpinLockHolder hold(lock_);
    policy_->Serve(owner);
  }

  void Insert(EvictionHook& entry) {
    SpinLockHolder hold(lock_);
    policy_->Insert(entry);
    ++size_;
  }
  void Touch(EvictionHook& entry) {
    SpinLockHolder hold(lock_);
    policy_->Touch(entry);
  }
  void Remove(EvictionHook& entry, Departure why) {
    SpinLockHolder hold(lock_);
    policy_->Remove(entry, why);
    if (why != Departure::kAside) entry.set_state(0);
    --size_;
  }
  // As the policy's verbs of these names.
  void Expect(const EvictionFacts& entry) {
    SpinLockHolder hold(lock_);
    policy_->Expect(entry);
  }
  void Note(EvictionBoundary boundary) {
    SpinLockHolder hold(lock_);
    policy_->Note(boundary);
  }
  size_t size() const {
    SpinLockHolder hold(lock_);
    return size_;
  }

  // Shows the entries to `visit`, the one to give up first at the start, until
  // it returns false. `visit` runs under the lock: it may try locks, not wait,
  // and must not change the order.
  void Visit(absl::FunctionRef<bool(EvictionHook&)> visit) {
    SpinLockHolder hold(lock_);
    for (EvictionHook* entry = policy_->First(); entry != nullptr;
         entry = policy_->After(*entry)) {
      if (!visit(*entry)) return;
    }
  }

 private:
  mutable SpinLock lock_;
  std::unique_ptr<EvictionPolicy> policy_ ABSL_GUARDED_BY(lock_)
      ABSL_PT_GUARDED_BY(lock_);
  size_t size_ ABSL_GUARDED_BY(lock_) = 0;
};

}  // namespace twostep

#endif  // EVICTION_EVICTION_ORDER_H_
