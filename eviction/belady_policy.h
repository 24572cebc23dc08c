#ifndef EVICTION_BELADY_POLICY_H_
#define EVICTION_BELADY_POLICY_H_

// Gives up first what is used again last (Belady, "A study of replacement
// algorithms for a virtual-storage computer", IBM Systems Journal 1966). Needs
// the future, so only for replays. With entries of one size no policy misses
// less; with sizes it is a base to compare with. Owns 24 bytes an entry.
// Thread-compatible.

#include <functional>
#include <utility>

#include "twostep/eviction/ranked_entries.h"

namespace twostep {

class BeladyPolicy final : public EvictionPolicy {
 public:
  // When the entry of this key is used next, after the use that is going on:
  // any number below 2^53 that grows with time. Asked when an entry is inserted
  // and used.
  using NextUse = std::function<uint64_t(uint64_t key)>;

  explicit BeladyPolicy(NextUse next_use) : next_use_(std::move(next_use)) {}

  void Insert(EvictionHook& entry) override {
    entries_.Insert(entry, RankOf(entry));
  }
  void Touch(EvictionHook& entry) override {
    entries_.SetRank(entry, RankOf(entry));
  }
  void Remove(EvictionHook& entry, Departure) override {
    entries_.Remove(entry);
  }
  EvictionHook* First() override { return entries_.First(); }
  EvictionHook* After(EvictionHook& entry) override {
    return entries_.After(entry);
  }

 private:
  double RankOf(const EvictionHook& entry) const {
    return -static_cast<double>(next_use_(FactsOf(entry).key));
  }

  const NextUse next_use_;
  RankedEntries entries_;
};

}  // namespace twostep

#endif  // EVICTION_BELADY_POLICY_H_
