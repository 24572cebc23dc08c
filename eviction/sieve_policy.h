#ifndef EVICTION_SIEVE_POLICY_H_
#define EVICTION_SIEVE_POLICY_H_

// A clock whose survivors stay where they are: the hand goes from old to new,
// spares what was used since it last came by, and never moves it, so that new
// entries are sifted quickly while old ones that are in use collect behind the
// hand (Zhang, Yang, Yue, Vigfusson, Rashmi, "SIEVE is Simpler than LRU", NSDI
// 2024). Good on skewed reuse; scans push the used ones out. No parameters, no
// memory. After may look at every entry. Thread-compatible.

#include "twostep/eviction/entry_queue.h"

namespace twostep {

class SievePolicy final : public EvictionPolicy {
 public:
  void Insert(EvictionHook& entry) override { queue_.PushBack(entry); }
  // The state is whether the entry was used since the hand came by.
  void TouchArrival(EvictionHook&) override {}
  void Touch(EvictionHook& entry) override { entry.set_state(1); }
  void Remove(EvictionHook& entry, Departure) override {
    if (&entry == hand_) hand_ = queue_.Behind(entry);
    queue_.Remove(entry);
  }
  bool TouchesBlindly() const override { return true; }
  EvictionHook* First() override {
    if (queue_.empty()) return nullptr;
    if (hand_ == nullptr) hand_ = queue_.front();
    while (hand_->state() != 0) {
      hand_->set_state(0);
      hand_ = Next(*hand_);
    }
    return hand_;
  }
  // From the hand round to it: first those that were not used, then the others.
  EvictionHook* After(EvictionHook& entry) override {
    EvictionHook* const start = First();
    uint64_t used = entry.state();
    EvictionHook* at = &entry;
    for (;;) {
      at = Next(*at);
      if (at == start && used++ != 0) return nullptr;
      if (at->state() == used) return at;
    }
  }

 private:
  EvictionHook* Next(EvictionHook& entry) {
    EvictionHook* behind = queue_.Behind(entry);
    return behind != nullptr ? behind : queue_.front();
  }

  EntryQueue queue_;  // oldest first
  // Where to look first; null: at the oldest.
  EvictionHook* hand_ = nullptr;
};

}  // namespace twostep

#endif  // EVICTION_SIEVE_POLICY_H_
