#ifndef EVICTION_LRU_POLICY_H_
#define EVICTION_LRU_POLICY_H_

// The order of last uses, taken from either end. No parameters, no memory.
// Thread-compatible.

#include "twostep/eviction/queue_policy.h"

namespace twostep {

// Least recently used first: good where what was used lately is used again, and
// the worst there is for a cyclic scan of more than fits.
class LruPolicy final : public QueuePolicy {
 public:
  void Touch(EvictionHook& entry) override { queue().MoveToBack(entry); }
};

// Most recently used first: keeps the start of a cyclic scan, and everything
// that is never used again.
class MruPolicy final : public QueuePolicy {
 public:
  void Touch(EvictionHook& entry) override { queue().MoveToBack(entry); }
  EvictionHook* First() override { return queue().back(); }
  EvictionHook* After(EvictionHook& entry) override {
    return queue().Before(entry);
  }
};

}  // namespace twostep

#endif  // EVICTION_LRU_POLICY_H_
