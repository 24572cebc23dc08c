#ifndef EVICTION_CLOCK_POLICY_H_
#define EVICTION_CLOCK_POLICY_H_

// FIFO with a second chance: what was used since the hand last came by goes
// round once more (F. J. Corbato, "A Paging Experiment with the Multics
// System", 1968). About as good as LRU, and a use only counts up: no list moves
// but under pressure. Parameter `bits`: of the count of uses, each of which is
// a chance. No memory. Thread-compatible.

#include "twostep/eviction/queue_policy.h"

namespace twostep {

class ClockPolicy final : public QueuePolicy {
 public:
  explicit ClockPolicy(int bits) : most_uses_((uint64_t{1} << bits) - 1) {}

  void TouchArrival(EvictionHook&) override {}
  void Touch(EvictionHook& entry) override {
    if (entry.state() < most_uses_) entry.set_state(entry.state() + 1);
  }
  // The state is how often the entry goes round.
  EvictionHook* First() override {
    for (EvictionHook* entry; (entry = queue().front()) != nullptr;) {
      if (entry->state() == 0) return entry;
      GoRound(*entry);
    }
    return nullptr;
  }
  EvictionHook* After(EvictionHook& entry) override {
    for (EvictionHook* next; (next = queue().Behind(entry)) != nullptr;) {
      if (next->state() == 0) return next;
      GoRound(*next);
    }
    return nullptr;
  }

 private:
  void GoRound(EvictionHook& entry) {
    entry.set_state(entry.state() - 1);
    queue().MoveToBack(entry);
  }

  const uint64_t most_uses_;
};

}  // namespace twostep

#endif  // EVICTION_CLOCK_POLICY_H_
