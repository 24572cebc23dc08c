#ifndef EVICTION_USE_LOG_H_
#define EVICTION_USE_LOG_H_

// What was used lately, in order: a ring of the last uses, each linked to the
// use of the same bo before and after it, and where in it the same few uses
// came in the same order before. Knows bos by their keys only.
// Thread-compatible.

#include <cstddef>
#include <cstdint>
#include <vector>

namespace twostep {

class UseLog {
 public:
  // The number of a use, counted from 1; 0 is none.
  using Position = uint64_t;

  // Room for `capacity` uses, a power of two; keeps those it holds.
  // Allocates 32 bytes a use.
  void Grow(size_t capacity);
  size_t capacity() const { return slots_.size(); }

  // The use to come; those from oldest() up to it are held.
  Position head() const { return head_; }
  Position oldest() const {
    return head_ - begin_ > slots_.size() ? head_ - slots_.size() : begin_;
  }
  bool Holds(Position use) const { return use >= oldest() && use < head_; }

  // Logs a use of `key`, whose last one was `last` if the log holds that, else
  // 0. Drops the oldest use when full. `kind` is kept for the caller.
  Position Append(uint64_t key, uint32_t kind, Position last);

  // REQUIRES for all: Holds(use).
  uint64_t key(Position use) const { return At(use).key; }
  uint32_t kind(Position use) const { return At(use).kind; }
  // The next and the previous use of the same bo, and its first; 0 when there
  // is none, or it is not held.
  Position Next(Position use) const {
    const Slot& slot = At(use);
    return slot.to_next == 0 ? 0 : use + slot.to_next;
  }
  Position Previous(Position use) const;
  // May be one that is no longer held.
  Position First(Position use) const { return use - At(use).from_first; }

  // The first use of the bo of `use` after `after`, or 0.
  Position FirstAfter(Position after, Position use) const;
  // Where, the last time before, `key` was used right after the same kContext
  // uses that came just now; or 0.
  Position SeenBefore(uint64_t key) const;

  // The last use of `key`, from what Remember was told; 0 if that is forgotten.
  Position LastUse(uint64_t key) const;
  // Keeps findable the bo whose last use is `last`.
  void Remember(Position last);

 private:
  struct Slot {
    uint64_t key;
    uint32_t kind;
    uint32_t to_next;
    uint32_t to_previous;
    uint32_t from_first;
  };
  static constexpr size_t kWays = 4;
  static constexpr uint64_t kContext = 3;

  Slot& At(Position use) { return slots_[use & (slots_.size() - 1)]; }
  const Slot& At(Position use) const {
    return slots_[use & (slots_.size() - 1)];
  }
  // Tables hold the low 32 bits.
  Position Widen(uint32_t low) const {
    return head_ - static_cast<uint32_t>(head_ - low);
  }
  size_t ContextIndex(Position use, uint64_t key) const;
  size_t KeyIndex(uint64_t key) const;

  std::vector<Slot> slots_;
  Position head_ = 1;
  // None before it was kept when the ring grew last.
  Position begin_ = 1;
  // Last positions, by hash; what is found there is checked against the log.
  std::vector<uint32_t> contexts_;
  std::vector<uint32_t> last_uses_;
};

}  // namespace twostep

#endif  // EVICTION_USE_LOG_H_
