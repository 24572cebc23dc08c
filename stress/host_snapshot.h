#ifndef STRESS_HOST_SNAPSHOT_H_
#define STRESS_HOST_SNAPSHOT_H_

// What a submission that fails must have left as it was (R12), beside the bos
// that it named: the accounts, and the order in which all others stand. For a
// host that one thread has to itself.

#include <string>
#include <vector>

#include "twostep/bo/host.h"
#include "twostep/stress/accounts.h"
#include "twostep/stress/submission.h"

namespace twostep {

class HostSnapshot {
 public:
  // `walks_orders`: their policy is one that a failure does not stir, as "lru":
  // it knows nothing but when bos were used.
  HostSnapshot(Machine& machine, Host& host, Device& device, bool walks_orders);

  // What is not as it was in `before`, in words, once nothing is left behind
  // that only waits for its fence; empty: nothing. Where others were evicted or
  // swapped on the way, which a failure does not undo, accounts are for the
  // audit alone, and those that went stand in no order any more.
  std::string Differs(const HostSnapshot& before,
                      const std::vector<BoUse>& uses) const;

 private:
  // By the order's name, who goes first at the start.
  struct Order {
    std::string name;
    std::vector<const EvictionHook*> entries;
  };
  void Walk(std::string name, EvictionOrder& order);

  Accounts accounts_;
  // Bos that had to go, pages swapped, contents dropped, so far.
  uint64_t upheavals_ = 0;
  std::vector<Order> orders_;
};

}  // namespace twostep

#endif  // STRESS_HOST_SNAPSHOT_H_
