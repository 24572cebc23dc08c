#ifndef EVICTION_GDSF_POLICY_H_
#define EVICTION_GDSF_POLICY_H_

// Greedy dual with size and frequency (Cherkasova, "Improving WWW Proxies
// Performance with Greedy-Dual-Size-Frequency Caching Policy", HP Labs 1998;
// after Cao, Irani, 1997): gives up first what saves least for its bytes,
// uses * cost / bytes, counted from the rank of what was given up last, so that
// what is no longer used ages. Good where sizes differ much, and misses cost
// per object: it keeps the small ones.
//
// Parameter `cost`: 0, every miss costs the same; 1, what the owner says that
// bringing the entry back takes. Owns 24 bytes an entry. Thread-compatible.

#include <algorithm>

#include "twostep/eviction/ranked_entries.h"

namespace twostep {

class GdsfPolicy final : public EvictionPolicy {
 public:
  enum class Cost : uint8_t { kAlike, kOwners };

  explicit GdsfPolicy(Cost cost) : cost_(cost) {}

  // The note is the number of uses.
  void Insert(EvictionHook& entry) override {
    RankedEntries::SetNote(entry,
                           std::max<uint64_t>(RankedEntries::NoteOf(entry), 1));
    entries_.Insert(entry, RankOf(entry));
  }
  void TouchArrival(EvictionHook&) override {}
  void Touch(EvictionHook& entry) override {
    const uint64_t uses = RankedEntries::NoteOf(entry);
    if (uses < kMostUses) RankedEntries::SetNote(entry, uses + 1);
    entries_.SetRank(entry, RankOf(entry));
  }
  void Remove(EvictionHook& entry, Departure why) override {
    // Only the lowest rank says what room costs.
    if (why == Departure::kEvicted && entries_.First() == &entry) {
      inflation_ = entries_.RankOf(entry);
    }
    entries_.Remove(entry);
  }
  EvictionHook* First() override { return entries_.First(); }
  EvictionHook* After(EvictionHook& entry) override {
    return entries_.After(entry);
  }

 private:
  static constexpr uint64_t kMostUses = (uint64_t{1} << 31) - 1;

  double RankOf(const EvictionHook& entry) const {
    const EvictionFacts facts = FactsOf(entry);
    const double cost = cost_ == Cost::kAlike
                            ? 1e6  // keeps ranks off the smallest numbers
                            : static_cast<double>(facts.cost_ns);
    return inflation_ + static_cast<double>(RankedEntries::NoteOf(entry)) *
                            cost / static_cast<double>(facts.bytes);
  }

  const Cost cost_;
  RankedEntries entries_;
  // The rank that the last one evicted had: L in the papers.
  double inflation_ = 0;
};

}  // namespace twostep

#endif  // EVICTION_GDSF_POLICY_H_
