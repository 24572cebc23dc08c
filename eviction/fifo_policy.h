#ifndef EVICTION_FIFO_POLICY_H_
#define EVICTION_FIFO_POLICY_H_

// First in, first out: uses do not count. The cheapest order there is, and what
// the others must beat. No parameters, no memory. Thread-compatible.

#include "twostep/eviction/queue_policy.h"

namespace twostep {

class FifoPolicy final : public QueuePolicy {
 public:
  void Touch(EvictionHook&) override {}
};

}  // namespace twostep

#endif  // EVICTION_FIFO_POLICY_H_
