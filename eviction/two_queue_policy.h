#ifndef EVICTION_TWO_QUEUE_POLICY_H_
#define EVICTION_TWO_QUEUE_POLICY_H_

// 2Q (Johnson, Shasha, "2Q: A Low Overhead High Performance Buffer Management
// Replacement Algorithm", VLDB 1994, the full version): new entries pass
// through a FIFO; keys that left it are remembered, and an entry that comes
// back stands in an LRU. Good where much is used once or in short bursts.
//
// Parameters, of the capacity: `in`, the FIFO; `out`, bytes remembered. Where
// the capacity is not known, what is there counts. Remembers as many keys as
// its owner allows, 40 bytes each. Thread-compatible.

#include <optional>

#include "twostep/eviction/ghost_keys.h"
#include "twostep/eviction/sized_queue.h"

namespace twostep {

class TwoQueuePolicy final : public EvictionPolicy {
 public:
  struct Parameters {
    double in = .25;
    double out = .5;
  };
  explicit TwoQueuePolicy(const Parameters& parameters)
      : parameters_(parameters) {}

  void Insert(EvictionHook& entry) override;
  void Touch(EvictionHook& entry) override {
    if (InMain(entry)) main_.MoveToBack(entry);
  }
  void Remove(EvictionHook& entry, Departure why) override;
  bool TouchesBlindly() const override { return true; }
  EvictionHook* First() override;
  EvictionHook* After(EvictionHook& entry) override;
  void Expect(const EvictionFacts& entry) override;
  bool Admits(uint64_t bytes) const override { return bytes <= InBytes(); }
  // The LRU has a limit of its own, as libCacheSim has it.
  bool Overfull() const override {
    return expected_key_.has_value() && expected_was_ghost_ && !main_.empty() &&
           main_.bytes() + expected_bytes_ > Capacity() - InBytes();
  }

 private:
  // The tag: which queue.
  static bool InMain(const EvictionHook& entry) {
    return SizedState::TagOf(entry) != 0;
  }

  void Prepare() override { ghosts_.Reset(owner().most_ghosts); }
  uint64_t Resident() const { return in_.bytes() + main_.bytes(); }
  uint64_t Capacity() const {
    return owner().capacity_bytes != 0 ? owner().capacity_bytes : Resident();
  }
  uint64_t InBytes() const {
    return static_cast<uint64_t>(Capacity() * parameters_.in);
  }
  bool MainFirst() const;

  const Parameters parameters_;
  SizedQueue in_;
  SizedQueue main_;  // least recently used first
  GhostKeys ghosts_;
  // What Expect heard of, until it is inserted, and whether it was a ghost.
  std::optional<uint64_t> expected_key_;
  uint64_t expected_bytes_ = 0;
  bool expected_was_ghost_ = false;
};

}  // namespace twostep

#endif  // EVICTION_TWO_QUEUE_POLICY_H_
