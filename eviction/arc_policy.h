#ifndef EVICTION_ARC_POLICY_H_
#define EVICTION_ARC_POLICY_H_

// Two LRUs, of what was used once and of what was used again, whose shares
// follow the hits on the keys that each gave up (Megiddo, Modha, "ARC: A
// Self-Tuning, Low Overhead Replacement Cache", FAST 2003). Adapts between
// recency and frequency; resists scans. Sizes count in bytes, as in
// libCacheSim; the share moves by at least one byte a ghost hit.
//
// No parameters. Where the capacity is not known, what is there counts.
// Remembers as many keys of each queue as its owner allows, 40 bytes each.
// Thread-compatible.

#include <optional>

#include "twostep/eviction/ghost_keys.h"
#include "twostep/eviction/sized_queue.h"

namespace twostep {

class ArcPolicy final : public EvictionPolicy {
 public:
  void Insert(EvictionHook& entry) override;
  void TouchArrival(EvictionHook&) override {}
  void Touch(EvictionHook& entry) override {
    if (IsFrequent(entry)) {
      frequent_.MoveToBack(entry);
    } else {
      SizedState::SetTag(entry, 1);
      // SetTag leaves the bytes as they are.
      frequent_.MoveToBack(entry, recent_);
    }
  }
  void Remove(EvictionHook& entry, Departure why) override;
  bool TouchesBlindly() const override { return true; }
  EvictionHook* First() override {
    return (RecentFirst() ? recent_ : frequent_).front();
  }
  EvictionHook* After(EvictionHook& entry) override;
  void Expect(const EvictionFacts& entry) override;

 private:
  enum class Ghost : uint8_t { kNone, kRecent, kFrequent };

  // The tag: which queue.
  static bool IsFrequent(const EvictionHook& entry) {
    return SizedState::TagOf(entry) != 0;
  }

  void Prepare() override;
  uint64_t Capacity() const {
    return owner().capacity_bytes != 0 ? owner().capacity_bytes
                                       : recent_.bytes() + frequent_.bytes();
  }
  // Whether what was used once, ghosts and all, would outgrow the capacity.
  bool RecentIsFull() const {
    return recent_.bytes() + recent_ghosts_.bytes() + expected_bytes_ >
           Capacity();
  }
  bool RecentFirst() const;
  void ForgetOldest();

  SizedQueue recent_;          // T1 in the paper
  SizedQueue frequent_;        // T2
  GhostKeys recent_ghosts_;    // B1
  GhostKeys frequent_ghosts_;  // B2
  // Bytes that recent_ should have: p in the paper.
  double target_ = 0;
  // What Expect heard of, until it is inserted, and what it was.
  std::optional<uint64_t> expected_key_;
  uint64_t expected_bytes_ = 0;
  Ghost expected_ghost_ = Ghost::kNone;
};

}  // namespace twostep

#endif  // EVICTION_ARC_POLICY_H_
