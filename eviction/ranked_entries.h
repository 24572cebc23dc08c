#ifndef EVICTION_RANKED_ENTRIES_H_
#define EVICTION_RANKED_ENTRIES_H_

// Entries by a rank of their own, lowest first; of equal ranks the one ranked
// first. A heap with four children a node: an entry whose rank changes a little
// moves a little. For policies whose order is a number. Owns 24 bytes an entry,
// and while it is walked 4 bytes for every entry passed; both in arrays that
// double. Thread-compatible.

#include <cstdint>
#include <vector>

#include "twostep/eviction/eviction_policy.h"

namespace twostep {

class RankedEntries {
 public:
  // The low bits of an entry's state say where it is. The rest, below 2^30, is
  // the policy's.
  static uint64_t NoteOf(const EvictionHook& entry) {
    return entry.state() >> kIndexBits;
  }
  static void SetNote(EvictionHook& entry, uint64_t note) {
    entry.set_state(note << kIndexBits | IndexOf(entry));
  }

  // The note stays as it is.
  void Insert(EvictionHook& entry, double rank);
  void SetRank(EvictionHook& entry, double rank);
  void Remove(EvictionHook& entry);
  double RankOf(const EvictionHook& entry) const {
    return heap_[IndexOf(entry)].rank;
  }

  // Null when there is none.
  EvictionHook* First() {
    return heap_.empty() ? nullptr : heap_.front().entry;
  }
  // Goes on in a logarithm's time when `entry` is what was asked for last, as
  // in a walk from First on; otherwise walks there first.
  EvictionHook* After(EvictionHook& entry);

 private:
  struct Place {
    double rank;
    uint64_t ranked;  // ranks before are older
    EvictionHook* entry;

    bool operator<(const Place& other) const {
      return rank != other.rank ? rank < other.rank : ranked < other.ranked;
    }
  };
  static constexpr int kIndexBits = 32;
  static constexpr size_t kChildren = 4;

  static size_t IndexOf(const EvictionHook& entry) {
    return static_cast<uint32_t>(entry.state());
  }
  void Put(size_t index, const Place& place) {
    heap_[index] = place;
    place.entry->set_state(NoteOf(*place.entry) << kIndexBits | index);
  }
  void Settle(size_t index, const Place& place);
  // One further in the walk: the best of walk_, whose children come in for it.
  void Step();

  std::vector<Place> heap_;
  uint64_t ranked_ = 0;
  // Where a walk is, null for nowhere, and a heap of what may come next in it.
  const EvictionHook* walked_ = nullptr;
  std::vector<uint32_t> walk_;
};

}  // namespace twostep

#endif  // EVICTION_RANKED_ENTRIES_H_
