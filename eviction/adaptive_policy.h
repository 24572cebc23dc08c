#ifndef EVICTION_ADAPTIVE_POLICY_H_
#define EVICTION_ADAPTIVE_POLICY_H_

// Evicts what will be used farthest in the future, as far as the past tells.
//
// GPU programs repeat themselves: frame after frame the same bos, nearly in the
// same order. So the policy keeps a log of the last uses and follows where in
// it the present repeats the past (`present_`). What was used after that place
// is foretold to be used again, in that order; the entry whose turn comes last
// goes first. An entry that was not used after that place is stale: stale ones
// go before all others. A young entry, which has no use before that place, is
// foretold by how soon others of its size were used again when they were young.
//
// No parameters. Owns 65 bytes for each use in the log: a power of two, at
// least four for each entry there ever was at a time, between 4,096 and 65,536.
// Entries that were not used for that long go like those of LRU. Allocates when
// the number of entries passes a power of two. Touch and the choice take
// constant time, amortized. Thread-compatible.

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "twostep/eviction/due_ring.h"
#include "twostep/eviction/entry_queue.h"
#include "twostep/eviction/eviction_policy.h"
#include "twostep/eviction/use_log.h"

namespace twostep {

class AdaptivePolicy final : public EvictionPolicy {
 public:
  AdaptivePolicy() {
    sibling_gap_.fill(kUnknown);
    sibling_returns_.fill(1);
  }

  void Insert(EvictionHook& entry) override;
  void Touch(EvictionHook& entry) override;
  void Remove(EvictionHook& entry, Departure why) override;
  EvictionHook* First() override;
  EvictionHook* After(EvictionHook& entry) override;
  void Expect(const EvictionFacts& entry) override;

 private:
  using Position = UseLog::Position;
  // Where an entry stands.
  enum class Lane : uint8_t {
    kStale,    // in stale_
    kRepeats,  // in repeats_: foretold by where it was used before
    kGuessed,  // in guessed_: so many uses from now, as it is young or late
    kOverdue,  // in overdue_: young, its turn passed; until it is given up
  };
  // What an entry's state says.
  struct Mark {
    Position last = 0;  // its last use; 0: no longer in the log
    // In kRepeats the use that its next one is to repeat, otherwise what
    // log_.head() will be then.
    uint64_t due = 0;
    Lane lane = Lane::kStale;
    // It has missed its turn (kGuessed), or was overdue for too long (kStale).
    bool late = false;
  };
  static constexpr float kUnknown = -1;

  Mark MarkOf(const EvictionHook& entry) const;
  static void SetMark(EvictionHook& entry, const Mark& mark);
  void GrowFor(size_t entries);
  void Use(EvictionHook& entry, uint64_t key, uint32_t kind, Mark mark);
  // Of an entry whose mark does not say where in the log it is.
  void UseUnlogged(EvictionHook& entry);
  // Moves present_ to where the past had what is used now.
  void Follow(uint64_t key, Position next, Position last);
  // A use of the entry from where to look for its next turn.
  Position NearDue(const Mark& mark) const;
  bool UsedOnce(Position last) const;
  void LearnGap(Position last);
  void LearnReturn(Position use, float came_back);
  // Where an entry that stands nowhere belongs.
  void Foretell(EvictionHook& entry, Mark mark);
  void Place(EvictionHook& entry, const Mark& mark);
  // In `lane`, at about `moment`.
  void PlaceAt(EvictionHook& entry, Mark mark, Lane lane, uint64_t moment);
  void Unplace(EvictionHook& entry, const Mark& mark);
  void Queue(EvictionHook& entry, Mark mark);
  // Makes room in the log for one more use.
  void ForgetOldest();
  // Sees to all that were due by now and were not used.
  void Sweep();
  void Reconsider(EvictionHook& entry, Mark mark);
  bool MovedUp(EvictionHook& entry);
  // Of the foretold that are due less than `repeats_below` and `guessed_below`
  // uses from now, in the two lanes, the last.
  EvictionHook* Farthest(int64_t repeats_below, int64_t guessed_below) const;
  EvictionHook* FirstOverdue(uint64_t from) const;

  Position Horizon() const { return expected_ != 0 ? expected_ : present_; }
  uint64_t Window() const;
  // Guesses reach half the ring ahead, and stay half the ring behind.
  uint64_t GuessFloor() const;
  uint64_t GuessLimit() const { return log_.head() + log_.capacity() / 2; }
  // REQUIRES: not kStale.
  DueRing& RingOf(Lane lane) {
    return lane == Lane::kRepeats   ? repeats_
           : lane == Lane::kGuessed ? guessed_
                                    : overdue_;
  }
  EvictionHook*& UserAt(Position use) {
    return users_[use & (users_.size() - 1)];
  }

  UseLog log_;
  // Where the past is that the present repeats; 0: not known.
  Position present_ = 0;
  // The same, as it will be once the expected entry is in; 0: none is.
  Position expected_ = 0;
  int strays_ = 0;
  size_t entries_ = 0;
  // By position in the log: whose last use it is, while that entry is due.
  std::vector<EvictionHook*> users_;
  DueRing repeats_;
  DueRing guessed_;
  DueRing overdue_;
  EntryQueue stale_;
  // By kind, that is log2 of the size: uses until a young entry's next use.
  std::array<float, 64> sibling_gap_;
  // And which share of them came back at all after their first use.
  std::array<float, 64> sibling_returns_;
};

}  // namespace twostep

#endif  // EVICTION_ADAPTIVE_POLICY_H_
