#ifndef EVICTION_ADAPTIVE_POLICY_H_
#define EVICTION_ADAPTIVE_POLICY_H_

// Evicts what will be used farthest in the future, as far as the past tells.
//
// GPU programs repeat themselves: frame after frame the same bos, nearly in the
// same order. So the policy keeps a log of the last uses and follows where in
// it the present repeats the past (`present_`). What was used after that place
// is foretold to be used again, in that order; the entry whose turn comes last
// goes first. An entry that was not used after that place is stale: stale ones
// go before all others, the longest unused first. An arrival that is not
// touched yet counts as used when it came. When all that has moved more bytes
// than LRU would have, then for a while, and while there is no such place, the
// order is LRU's. What is expected and finds no room in a submission counts as
// used all the same.
//
// No parameters. A touch writes a line of the log. Following it, and what makes
// the order, waits for a batch of touches or for First, and is left out while
// nobody asks for First. Owns 60 bytes for each use in the log (12 of them for
// the log itself, most for the bos it knows): a power of two, at least four for
// each entry there ever was at a time, between 4,096 and 65,536. Entries that
// were not used for that long go before all others. Touch allocates nothing;
// the others do when there are more entries, or bos in the log or aside, than
// ever before. All verbs take constant time, amortized, but After in the midst
// of a walk that did not lead there. Thread-compatible.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "twostep/eviction/entry_queue.h"
#include "twostep/eviction/eviction_policy.h"
#include "twostep/eviction/hint_ring.h"
#include "twostep/eviction/known_bos.h"
#include "twostep/eviction/lru_shadow.h"
#include "twostep/eviction/use_log.h"

namespace twostep {

class AdaptivePolicy final : public EvictionPolicy {
 public:
  void Insert(EvictionHook& entry) override;
  void Touch(EvictionHook& entry) override {
    const uint64_t state = entry.state();
    const uint32_t since = LowBits(log_.head()) - LowBits(state);
    if (Unlogged(entry)) {
      TouchUnlogged(entry);
    } else if (since != 1) {  // twice in a row tells nothing new
      Log(entry, state, since);
    }
  }
  bool TouchesBlindly() const override { return true; }
  void Remove(EvictionHook& entry, Departure why) override;
  EvictionHook* First() override;
  EvictionHook* After(EvictionHook& entry) override;
  void Expect(const EvictionFacts& entry) override;
  void Note(EvictionBoundary boundary) override;

 private:
  using Position = UseLog::Position;
  // An entry's state: the low bits of its last use, the number of its bo, and
  // whether it stands in a queue instead of in the log; in arrivals_ the low
  // bits are of the use that was next when it came.
  static constexpr int kBoShift = 32;
  static constexpr uint64_t kArrived = uint64_t{KnownBos::kEnd} << kBoShift;
  static constexpr uint64_t kForgotten = kArrived << 1;
  static_assert(kForgotten < uint64_t{1} << EvictionHook::kStateBits);

  static uint32_t LowBits(uint64_t word) { return static_cast<uint32_t>(word); }
  static uint32_t BoOf(uint64_t state) {
    return LowBits(state >> kBoShift) & (KnownBos::kEnd - 1);
  }
  static bool Unlogged(const EvictionHook& entry) {
    return (entry.state() & (kArrived | kForgotten)) != 0;
  }
  static bool Forgotten(const EvictionHook& entry) {
    return (entry.state() & kForgotten) != 0;
  }
  EntryQueue& QueueOf(const EvictionHook& entry) {
    return Forgotten(entry) ? forgotten_ : arrivals_;
  }
  // When it was used last, or came.
  Position When(const EvictionHook& entry) const {
    return log_.Widen(LowBits(entry.state()));
  }
  // 0 when it has none in the log.
  Position LastUse(const BoRecord& bo) const {
    return bo.last == 0 ? 0 : log_.Widen(bo.last);
  }
  void Log(EvictionHook& entry, uint64_t state, uint32_t since_last) {
    const uint64_t bo = state & (uint64_t{KnownBos::kEnd} - 1) << kBoShift;
    entry.set_state(bo | LowBits(log_.head()));
    log_.Append(BoOf(state), since_last);
    if (log_.full()) CatchUp();
  }
  void TouchUnlogged(EvictionHook& entry);
  // What was wanted and did not come was used all the same, elsewhere.
  void LogWanted();
  void GrowFor(size_t entries);

  // Those that are still aside when the submission is over.
  void ForgetAside();
  // Whether submissions are told apart, of late.
  bool Submits() const;
  // Takes note of what was logged since it was called last.
  void CatchUp();
  // The same, for who is about to choose.
  void Wake();
  void Learn(Position use);
  void Forget(uint32_t bo);

  // Moves present_ to where the past had what `use` is.
  void Follow(Position use);
  // The use of `bo` that comes next after present_, if it does soon and before
  // `limit`; or 0.
  Position Soon(uint32_t bo, Position limit) const;
  // Hints at what is due after `to`. False, and nothing is done, if what lies
  // between it and present_ is too much.
  bool Reach(Position to);
  // At the first uses after `place` of what is used in [begin, end).
  void HintAfter(Position place, Position begin, Position end);
  // At what becomes due next when [begin, end) has passed.
  void HintBeyond(Position begin, Position end);

  // The place in the past to go by, and whether to.
  Position Horizon() const { return expected_ != 0 ? expected_ : present_; }
  bool foretells() const { return Horizon() != 0 && shadow_.trusts(); }
  // What was used or came before this is stale: all, unless it foretells.
  Position StaleEnd() const {
    return foretells() ? Horizon() + 1 : log_.head() + 1;
  }
  // The first stale one in the log from `from` on; the one that is due last
  // before `limit`.
  EvictionHook* FirstStale(Position from);
  EvictionHook* LastDue(Position limit);
  // The one to give up next when those in the log are looked at from `from` on,
  // or before `limit`, and the others from `arrival` on.
  EvictionHook* NextStale(EvictionHook* arrival, Position from);
  EvictionHook* NextDue(EvictionHook* arrival, Position limit);
  EvictionHook* AfterLogged(EvictionHook& entry);

  UseLog log_;
  KnownBos bos_;
  LruShadow shadow_{log_, bos_};
  // Where the past is that the present repeats; 0: not known.
  Position present_ = 0;
  // The same, as it will be once the expected entry is in; 0: none is.
  Position expected_ = 0;
  int strays_ = 0;
  // Positions that jumps may still pass.
  int64_t jumps_left_ = 0;
  // Bos that went aside before their first use.
  std::vector<uint32_t> aside_;
  // Who is expected, and did not come yet.
  std::optional<EvictionFacts> wanted_;
  // Of the last submission that the policy was told of, the end; 0: none.
  Position submitted_ = 0;
  // When somebody chose last; and that this is long ago.
  Position asked_ = 0;
  bool idle_ = true;
  size_t entries_ = 0;
  // Perhaps the last uses of entries: all that are, and others.
  HintRing lasts_;
  Position hinted_ = 1;  // from here on there are none in lasts_
  // Perhaps the first uses after present_ of entries, likewise.
  HintRing dues_;
  // Entries that were not touched yet; and that were not, or came, longer ago
  // than the log tells.
  EntryQueue arrivals_;
  EntryQueue forgotten_;
  // The entry in the log that a walk is at, when it is due, and the arrival
  // that comes next in the walk.
  const EvictionHook* walked_ = nullptr;
  Position walked_due_ = 0;
  EvictionHook* walked_arrival_ = nullptr;
};

}  // namespace twostep

#endif  // EVICTION_ADAPTIVE_POLICY_H_
