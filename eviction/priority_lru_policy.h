#ifndef EVICTION_PRIORITY_LRU_POLICY_H_
#define EVICTION_PRIORITY_LRU_POLICY_H_

// Least recently used first within a priority, all of a lower priority before
// any of a higher one: what Linux TTM does (TTM_MAX_BO_PRIORITY queues a memory
// type). A new priority counts from the next use on. Good where drivers know
// what must stay, like page tables. No parameters, no memory.
// Thread-compatible.

#include <algorithm>
#include <array>

#include "twostep/eviction/entry_queue.h"

namespace twostep {

class PriorityLruPolicy final : public EvictionPolicy {
 public:
  // As TTM_MAX_BO_PRIORITY; what is above counts as the highest.
  static constexpr size_t kPriorities = 4;

  void Insert(EvictionHook& entry) override {
    entry.set_state(PriorityOf(entry));
    QueueOf(entry).PushBack(entry);
  }
  void Touch(EvictionHook& entry) override {
    EntryQueue& from = QueueOf(entry);
    entry.set_state(PriorityOf(entry));
    QueueOf(entry).MoveToBack(entry, from);
  }
  void Remove(EvictionHook& entry, Departure) override {
    QueueOf(entry).Remove(entry);
  }
  EvictionHook* First() override { return FirstFrom(0); }
  EvictionHook* After(EvictionHook& entry) override {
    EvictionHook* behind = QueueOf(entry).Behind(entry);
    return behind != nullptr ? behind : FirstFrom(entry.state() + 1);
  }

 private:
  size_t PriorityOf(const EvictionHook& entry) const {
    return std::min<size_t>(FactsOf(entry).priority, kPriorities - 1);
  }
  EntryQueue& QueueOf(const EvictionHook& entry) {
    return queues_[entry.state()];
  }
  EvictionHook* FirstFrom(size_t priority) {
    while (priority < kPriorities && queues_[priority].empty()) ++priority;
    return priority == kPriorities ? nullptr : queues_[priority].front();
  }

  std::array<EntryQueue, kPriorities> queues_;
};

}  // namespace twostep

#endif  // EVICTION_PRIORITY_LRU_POLICY_H_
