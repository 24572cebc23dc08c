#ifndef STRESS_HOST_SNAPSHOT_H_
#define STRESS_HOST_SNAPSHOT_H_

// What a submission in which something fails must leave as it was (R12), beside
// the bos that it named: where all others are and in which order they stand,
// and the accounts. For a host that one thread has to itself.

#include <list>
#include <string>
#include <utility>
#include <vector>

#include "twostep/bo/host.h"
#include "twostep/stress/accounts.h"
#include "twostep/stress/submission.h"

namespace twostep {

// Where the two steps have brought a bo, and what it has of the host.
struct Stand {
  const MemoryManager* memory;
  const DmaBinder* dma;
  PageCount start;
  bool pinned;
  bool purged;
  Pages::Home home;
  friend bool operator==(const Stand&, const Stand&) = default;
};
// REQUIRES: reserved, or nobody else uses the bo.
Stand StandOf(const BufferObject& bo);

class HostSnapshot {
 public:
  // `bos`: all that the host has. REQUIRES: the host's policy is one that a
  // failure does not stir, as "lru": it knows nothing but when bos were used.
  HostSnapshot(Machine& machine, Host& host, Device& device,
               const std::list<KnownBo>& bos);

  // Of the bos that the submission did not name, what is not as it was in
  // `before`, in words; empty: nothing. They are where they were, but for as
  // many as were evicted, swapped out or purged, which a failure does not undo,
  // and stand in the orders as they did, but for those that left one, and those
  // that could not go, which were set aside.
  std::string OthersDiffer(const HostSnapshot& before,
                           const std::vector<BoUse>& uses) const;
  // Whether nobody was evicted, swapped or purged since. Then no account may be
  // higher once nothing is left behind that only waits for its fence: which
  // one is, in words. Otherwise accounts follow from where bos are, which the
  // audit adds up.
  bool NobodyHadToGo(const HostSnapshot& before) const {
    return gone_ == before.gone_;
  }
  std::string AccountsDiffer(const HostSnapshot& before) const;

 private:
  // By the order's name, who goes first at the start.
  struct Order {
    std::string name;
    std::vector<const EvictionHook*> entries;
  };
  // How many had to leave a place or lost their contents, and bytes swapped, so
  // far.
  struct Gone {
    uint64_t evicted = 0;
    uint64_t purged = 0;
    uint64_t bytes_out = 0;
    uint64_t bytes_in = 0;
    friend bool operator==(const Gone&, const Gone&) = default;
  };
  void Walk(std::string name, EvictionOrder& order);
  std::string OthersMoved(const HostSnapshot& before,
                          const std::vector<BoUse>& uses) const;

  Accounts accounts_;
  Gone gone_;
  std::vector<Order> orders_;
  std::vector<std::pair<const BufferObject*, Stand>> stands_;
};

}  // namespace twostep

#endif  // STRESS_HOST_SNAPSHOT_H_
