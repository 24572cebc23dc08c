#ifndef EVICTION_USE_LOG_H_
#define EVICTION_USE_LOG_H_

// What was used lately, in order: a ring of the last uses, each linked to the
// use of the same bo before and after it. Knows bos by numbers only.
//
//        oldest()              linked()        head()
//   ...  |  links both ways    |  back only    |  to come
//        forgotten before it                     full() so many uses on
//
// A use is logged with a few stores; what else there is to do waits until
// LinkNext and ForgetOldest are called. Thread-compatible.

#include <cstddef>
#include <cstdint>
#include <vector>

namespace twostep {

class UseLog {
 public:
  // The number of a use, counted from 1; 0 is none.
  using Position = uint64_t;

  // Room for `capacity` uses, a power of two above kBatch, less kBatch; keeps
  // those it holds. Allocates 12 bytes a use. REQUIRES: all are linked.
  void Grow(size_t capacity);
  size_t capacity() const { return uses_.size(); }

  Position head() const { return head_; }
  Position linked() const { return linked_; }
  Position oldest() const { return oldest_; }
  // The position below head() with these low bits.
  Position Widen(uint32_t low) const {
    return head_ - static_cast<uint32_t>(static_cast<uint32_t>(head_) - low);
  }

  // Logs a use of `bo`, whose last use is `to_previous` before this one; 0:
  // none in the log. REQUIRES: not full.
  void Append(uint32_t bo, uint32_t to_previous) {
    uses_[head_ & mask_] = Use{bo, to_previous, 0};
    ++head_;
  }
  // No use can be logged until all are linked and the oldest forgotten.
  bool full() const { return head_ == full_; }
  // Returns the use at linked(), which now is.
  Position LinkNext() {
    const Use& use = At(linked_);
    if (use.to_previous != 0) {
      At(linked_ - use.to_previous).to_next = use.to_previous;
    }
    return linked_++;
  }
  // Makes room for kBatch uses. Says of each use that it was the last of its bo
  // in the log, before it goes. REQUIRES: all are linked.
  template <typename WasLast>
  void ForgetOldest(WasLast was_last) {
    full_ = head_ + kBatch;
    if (full_ <= uses_.size()) return;
    for (const Position floor = full_ - uses_.size(); oldest_ < floor;
         ++oldest_) {
      if (IsLast(oldest_)) was_last(bo(oldest_));
    }
  }

  // REQUIRES for all: oldest() <= use < linked(), or < head() for bo() and
  // Previous().
  uint32_t bo(Position use) const { return At(use).bo; }
  bool IsLast(Position use) const { return At(use).to_next == 0; }
  // The uses of the same bo on either side; 0 when the log has none.
  Position Next(Position use) const {
    const uint32_t distance = At(use).to_next;
    return distance == 0 ? 0 : use + distance;
  }
  Position Previous(Position use) const {
    const uint32_t distance = At(use).to_previous;
    const bool held = distance != 0 && use - distance >= oldest_;
    return held ? use - distance : 0;
  }
  // The first use of the bo of `use` after `after`. REQUIRES: after < use.
  Position FirstAfter(Position after, Position use) const {
    for (Position before; (before = Previous(use)) > after;) use = before;
    return use;
  }
  // Of `use` and a few uses of the same bo before it, the last that came right
  // after the same kContext uses as `now` does; or 0. `now` may be head().
  Position SameContext(Position use, Position now) const;

  // Uses that can be logged without a pause.
  static constexpr uint64_t kBatch = 256;

 private:
  struct Use {
    uint32_t bo;
    uint32_t to_previous;
    uint32_t to_next;
  };
  static constexpr uint64_t kContext = 3;

  Use& At(Position use) { return uses_[use & mask_]; }
  const Use& At(Position use) const { return uses_[use & mask_]; }

  std::vector<Use> uses_;
  uint64_t mask_ = 0;
  Position head_ = 1;
  Position full_ = 1;
  Position linked_ = 1;
  Position oldest_ = 1;
};

}  // namespace twostep

#endif  // EVICTION_USE_LOG_H_
