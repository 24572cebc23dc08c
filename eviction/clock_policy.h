#ifndef EVICTION_CLOCK_POLICY_H_
#define EVICTION_CLOCK_POLICY_H_

// FIFO with a second chance: what was used since the hand last came by goes
// round once more (F. J. Corbato, "A Paging Experiment with the Multics
// System", 1968). About as good as LRU, and a use only counts up: no list moves
// but under pressure. Parameter `bits`: of the count of uses, each of which is
// a chance. No memory. Thread-compatible.

#include "twostep/eviction/entry_queue.h"

namespace twostep {

class ClockPolicy final : public EvictionPolicy {
 public:
  explicit ClockPolicy(int bits) : most_uses_((uint64_t{1} << bits) - 1) {}

  void Insert(EvictionHook& entry) override { queue_.PushBack(entry); }
  void Touch(EvictionHook& entry) override {
    if (entry.state() < most_uses_) entry.set_state(entry.state() + 1);
  }
  void Remove(EvictionHook& entry, Departure) override { queue_.Remove(entry); }
  // The state is how often the entry goes round.
  bool TouchesBlindly() const override { return true; }
  EvictionHook* First() override {
    for (EvictionHook* entry; (entry = queue_.front()) != nullptr;) {
      if (entry->state() == 0) return entry;
      GoRound(*entry);
    }
    return nullptr;
  }
  EvictionHook* After(EvictionHook& entry) override {
    for (EvictionHook* next; (next = queue_.Behind(entry)) != nullptr;) {
      if (next->state() == 0) return next;
      GoRound(*next);
    }
    return nullptr;
  }

 private:
  void GoRound(EvictionHook& entry) {
    entry.set_state(entry.state() - 1);
    queue_.MoveToBack(entry);
  }

  const uint64_t most_uses_;
  EntryQueue queue_;
};

}  // namespace twostep

#endif  // EVICTION_CLOCK_POLICY_H_
