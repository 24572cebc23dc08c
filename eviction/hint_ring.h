#ifndef EVICTION_HINT_RING_H_
#define EVICTION_HINT_RING_H_

// Which positions of a log are worth a look: a set of numbers within a window
// that moves on. Finds the first and the last of a range in a few words.
// Thread-compatible. Private to the library.

#include <cstddef>
#include <cstdint>
#include <vector>

#include "twostep/machine/bit_tree.h"

namespace twostep {

class HintRing {
 public:
  static constexpr uint64_t kNone = ~uint64_t{0};

  // For windows of `capacity` positions, a power of two. Empty. Allocates an
  // eighth of a byte a position, and a little.
  void Reset(size_t capacity) {
    words_.assign(internal::BitTree::WordsFor(capacity), 0);
    set_ = internal::BitTree();
    set_.Init(words_.data(), capacity);
    mask_ = capacity - 1;
  }

  void Insert(uint64_t position) { set_.Insert(position & mask_); }
  void Erase(uint64_t position) { set_.Erase(position & mask_); }

  // In [floor, limit), or kNone. REQUIRES: that is within the window.
  uint64_t FirstIn(uint64_t floor, uint64_t limit) const {
    if (limit <= floor) return kNone;
    uint64_t found = set_.AtOrAfter(floor & mask_);
    if (found == kNone) found = set_.AtOrAfter(0);
    if (found == kNone) return kNone;
    const uint64_t ahead = (found - floor) & mask_;
    return ahead < limit - floor ? floor + ahead : kNone;
  }
  uint64_t LastIn(uint64_t floor, uint64_t limit) const {
    if (limit <= floor) return kNone;
    uint64_t found = set_.AtOrBefore((limit - 1) & mask_);
    if (found == kNone) found = set_.AtOrBefore(mask_);
    if (found == kNone) return kNone;
    const uint64_t back = (limit - 1 - found) & mask_;
    return back < limit - floor ? limit - 1 - back : kNone;
  }

 private:
  std::vector<uint64_t> words_;
  internal::BitTree set_;
  uint64_t mask_ = 0;
};

}  // namespace twostep

#endif  // EVICTION_HINT_RING_H_
