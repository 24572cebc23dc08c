#ifndef EVICTION_DUE_RING_H_
#define EVICTION_DUE_RING_H_

// Which entry is due when, for a window of moments that moves on: at most one
// at a moment. Finds the nearest and the farthest in a few words.
// Thread-compatible.

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "twostep/eviction/eviction_policy.h"
#include "twostep/machine/bit_tree.h"

namespace twostep {

class DueRing {
 public:
  static constexpr uint64_t kNone = ~uint64_t{0};

  // For windows of `capacity` moments, a power of two; those in the window from
  // `floor` on stay. Allocates 8.2 bytes a moment.
  void Grow(size_t capacity, uint64_t floor) {
    DueRing larger;
    larger.entries_.resize(capacity);
    larger.words_.resize(internal::BitTree::WordsFor(capacity));
    larger.taken_.Init(larger.words_.data(), capacity);
    for (size_t i = 0; i < entries_.size(); ++i) {
      if (EvictionHook* entry = At(floor + i)) larger.Put(floor + i, *entry);
    }
    *this = std::move(larger);
  }

  // Null when none is due then.
  EvictionHook* At(uint64_t moment) const { return entries_[Index(moment)]; }
  // REQUIRES: none is.
  void Put(uint64_t moment, EvictionHook& entry) {
    entries_[Index(moment)] = &entry;
    taken_.Insert(Index(moment));
  }
  void Clear(uint64_t moment) {
    entries_[Index(moment)] = nullptr;
    taken_.Erase(Index(moment));
  }

  // The last (first) moment in [floor, limit) at which one is due, or kNone.
  // REQUIRES: [floor, limit) is within the window.
  uint64_t LastIn(uint64_t floor, uint64_t limit) const {
    if (limit <= floor) return kNone;
    uint64_t found = taken_.AtOrBefore(Index(limit - 1));
    if (found == kNone) found = taken_.AtOrBefore(entries_.size() - 1);
    if (found == kNone) return kNone;
    const uint64_t back = Index(limit - 1 - found);
    return back < limit - floor ? limit - 1 - back : kNone;
  }
  uint64_t FirstIn(uint64_t floor, uint64_t limit) const {
    if (limit <= floor) return kNone;
    uint64_t found = taken_.AtOrAfter(Index(floor));
    if (found == kNone) found = taken_.AtOrAfter(0);
    if (found == kNone) return kNone;
    const uint64_t ahead = Index(found - floor);
    return ahead < limit - floor ? floor + ahead : kNone;
  }

 private:
  size_t Index(uint64_t moment) const { return moment & (entries_.size() - 1); }

  std::vector<EvictionHook*> entries_;
  std::vector<uint64_t> words_;
  internal::BitTree taken_;
};

}  // namespace twostep

#endif  // EVICTION_DUE_RING_H_
