#ifndef EVICTION_LRU_POLICY_H_
#define EVICTION_LRU_POLICY_H_

// The order of last uses, taken from either end. No parameters, no memory.
// Thread-compatible.

#include "twostep/eviction/entry_queue.h"

namespace twostep {

// Least recently used first: good where what was used lately is used again, and
// the worst there is for a cyclic scan of more than fits.
class LruPolicy final : public EvictionPolicy {
 public:
  void Insert(EvictionHook& entry) override { queue_.PushBack(entry); }
  void Touch(EvictionHook& entry) override { queue_.MoveToBack(entry); }
  void Remove(EvictionHook& entry, Departure) override { queue_.Remove(entry); }
  bool TouchesBlindly() const override { return true; }
  EvictionHook* First() override { return queue_.front(); }
  EvictionHook* After(EvictionHook& entry) override {
    return queue_.Behind(entry);
  }

 private:
  EntryQueue queue_;
};

// Most recently used first: keeps the start of a cyclic scan, and everything
// that is never used again.
class MruPolicy final : public EvictionPolicy {
 public:
  void Insert(EvictionHook& entry) override { queue_.PushBack(entry); }
  void Touch(EvictionHook& entry) override { queue_.MoveToBack(entry); }
  void Remove(EvictionHook& entry, Departure) override { queue_.Remove(entry); }
  bool TouchesBlindly() const override { return true; }
  EvictionHook* First() override { return queue_.back(); }
  EvictionHook* After(EvictionHook& entry) override {
    return queue_.Before(entry);
  }

 private:
  EntryQueue queue_;
};

}  // namespace twostep

#endif  // EVICTION_LRU_POLICY_H_
