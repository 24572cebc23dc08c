#ifndef EVICTION_FIFO_POLICY_H_
#define EVICTION_FIFO_POLICY_H_

// First in, first out: uses do not count. The cheapest order there is, and what
// the others must beat. No parameters, no memory. Thread-compatible.

#include "twostep/eviction/entry_queue.h"

namespace twostep {

class FifoPolicy final : public EvictionPolicy {
 public:
  void Insert(EvictionHook& entry) override { queue_.PushBack(entry); }
  void Touch(EvictionHook&) override {}
  void Remove(EvictionHook& entry, Departure) override { queue_.Remove(entry); }
  bool TouchesBlindly() const override { return true; }
  EvictionHook* First() override { return queue_.front(); }
  EvictionHook* After(EvictionHook& entry) override {
    return queue_.Behind(entry);
  }

 private:
  EntryQueue queue_;
};

}  // namespace twostep

#endif  // EVICTION_FIFO_POLICY_H_
