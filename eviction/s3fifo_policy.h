#ifndef EVICTION_S3FIFO_POLICY_H_
#define EVICTION_S3FIFO_POLICY_H_

// Three static queues (Yang, Zhang, Qiu, Yue, Rashmi, "FIFO Queues are All You
// Need for Cache Eviction", SOSP 2023): new entries pass through a small FIFO,
// those used there go on to a main one, a clock that counts to 3; keys that
// left the small one unused are remembered, and go to the main one when they
// come back. Good where most entries are used once, as in scans and streams.
// Until the first eviction what the small queue has no room for starts in the
// main one, as libCacheSim has it.
//
// Parameters: `small`, of the capacity; `ghost`, bytes remembered, of the
// capacity; `threshold`, uses in the small queue that it takes to go on. Where
// the capacity is not known, what is there counts. Remembers as many keys as
// its owner allows, 40 bytes each. Thread-compatible.

#include <optional>

#include "twostep/eviction/ghost_keys.h"
#include "twostep/eviction/sized_queue.h"

namespace twostep {

class S3FifoPolicy final : public EvictionPolicy {
 public:
  struct Parameters {
    double small = .1;
    double ghost = .9;
    uint32_t threshold = 2;
  };
  explicit S3FifoPolicy(const Parameters& parameters)
      : parameters_(parameters) {}

  void Insert(EvictionHook& entry) override;
  void TouchArrival(EvictionHook&) override {}
  void Touch(EvictionHook& entry) override {
    const uint64_t uses = SizedState::TagOf(entry) >> 1;
    if (uses < kMostUses) Mark(entry, InMain(entry), uses + 1);
    // It may no longer be the one to go.
    if (&entry == first_) first_ = nullptr;
  }
  void Remove(EvictionHook& entry, Departure why) override;
  bool TouchesBlindly() const override { return true; }
  EvictionHook* First() override {
    if (first_ == nullptr) first_ = Choose();
    return first_;
  }
  EvictionHook* After(EvictionHook& entry) override;
  void Expect(const EvictionFacts& entry) override;
  // Large ones would empty the small queue.
  bool Admits(uint64_t bytes) const override { return bytes < SmallBytes(); }

 private:
  // A tag is the number of uses, and the queue.
  static constexpr uint64_t kMostUses = 127;
  static bool InMain(const EvictionHook& entry) {
    return SizedState::TagOf(entry) & 1;
  }
  static uint64_t UsesOf(const EvictionHook& entry) {
    return SizedState::TagOf(entry) >> 1;
  }
  static void Mark(EvictionHook& entry, bool in_main, uint64_t uses) {
    SizedState::SetTag(entry, uses << 1 | uint64_t{in_main});
  }

  void Prepare() override { ghosts_.Reset(owner().most_ghosts); }
  uint64_t Capacity() const {
    return owner().capacity_bytes != 0 ? owner().capacity_bytes
                                       : small_.bytes() + main_.bytes();
  }
  uint64_t SmallBytes() const {
    return static_cast<uint64_t>(Capacity() * parameters_.small);
  }
  // From the small queue, respectively the main one: the first at or behind
  // `entry` that was not used enough to stay. Those that were, move.
  EvictionHook* UnusedInSmall(EvictionHook* entry);
  EvictionHook* UnusedInMain(EvictionHook* entry);
  EvictionHook* Choose();
  void Remember(const EvictionFacts& facts);

  const Parameters parameters_;
  SizedQueue small_;
  SizedQueue main_;
  GhostKeys ghosts_;
  // What First last said, while that holds.
  EvictionHook* first_ = nullptr;
  // What Expect heard of, until it is inserted, and whether it was a ghost.
  std::optional<uint64_t> expected_key_;
  bool expected_was_ghost_ = false;
  bool has_evicted_ = false;
};

}  // namespace twostep

#endif  // EVICTION_S3FIFO_POLICY_H_
