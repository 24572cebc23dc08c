#ifndef EVICTION_QUEUE_POLICY_H_
#define EVICTION_QUEUE_POLICY_H_

// What policies of one queue have in common: an entry comes in at the back, and
// the front goes first. Thread-compatible.

#include "twostep/eviction/entry_queue.h"

namespace twostep {

class QueuePolicy : public EvictionPolicy {
 public:
  void Insert(EvictionHook& entry) override { queue_.PushBack(entry); }
  void Remove(EvictionHook& entry, Departure) override { queue_.Remove(entry); }
  bool TouchesBlindly() const override { return true; }
  EvictionHook* First() override { return queue_.front(); }
  EvictionHook* After(EvictionHook& entry) override {
    return queue_.Behind(entry);
  }

 protected:
  EntryQueue& queue() { return queue_; }

 private:
  EntryQueue queue_;
};

}  // namespace twostep

#endif  // EVICTION_QUEUE_POLICY_H_
