#include "twostep/eviction/adaptive_policy.h"

#include <algorithm>
#include <bit>
#include <utility>

namespace twostep {
namespace {

constexpr size_t kLeastUses = 4096;
constexpr size_t kMostUses = 65536;
constexpr size_t kUsesPerEntry = 4;
// A program does not repeat itself to the letter: what comes this much sooner
// than its turn is still in step.
constexpr uint64_t kWindow = 16;
// So many uses out of step, and the place in the past is lost.
constexpr int kMostStrays = 16;
// A young entry is given up after this many times its siblings' gap.
constexpr float kPatience = 4;
// How many siblings are remembered, about.
constexpr float kMemory = 8;
// Places looked at for one that is free.
constexpr int kMostProbes = 16;
// Entries that one choice may find to be foretold too late.
constexpr int kMostMoved = 256;

constexpr int64_t kFarAway = int64_t{1} << 40;

// Of an entry's state: two positions, the lane, whether it is late.
constexpr int kPositionBits = 29;
constexpr uint64_t kPositionMask = (uint64_t{1} << kPositionBits) - 1;
constexpr int kLaneShift = 2 * kPositionBits;
constexpr int kLateShift = kLaneShift + 2;
static_assert(kLateShift < EvictionHook::kStateBits);

}  // namespace

AdaptivePolicy::Mark AdaptivePolicy::MarkOf(const EvictionHook& entry) const {
  // All positions are below this, and above it less a wrap.
  const uint64_t top = log_.head() + log_.capacity();
  const auto widen = [&](uint64_t low) {
    return top - ((top - low) & kPositionMask);
  };
  const uint64_t state = entry.state();
  const Position last = widen(state & kPositionMask);
  return Mark{log_.Holds(last) ? last : 0,
              widen((state >> kPositionBits) & kPositionMask),
              static_cast<Lane>((state >> kLaneShift) & 3),
              (state >> kLateShift) != 0};
}

void AdaptivePolicy::SetMark(EvictionHook& entry, const Mark& mark) {
  entry.set_state((mark.last & kPositionMask) |
                  (mark.due & kPositionMask) << kPositionBits |
                  static_cast<uint64_t>(mark.lane) << kLaneShift |
                  uint64_t{mark.late} << kLateShift);
}

uint64_t AdaptivePolicy::GuessFloor() const {
  const uint64_t reach = log_.capacity() / 2;
  return log_.head() > reach ? log_.head() - reach : 0;
}

void AdaptivePolicy::GrowFor(size_t entries) {
  const size_t wanted =
      std::clamp(std::bit_ceil(entries * kUsesPerEntry), kLeastUses, kMostUses);
  if (log_.capacity() >= wanted) return;
  std::vector<EvictionHook*> users(wanted);
  for (Position use = log_.oldest(); use < log_.head(); ++use) {
    users[use & (wanted - 1)] = UserAt(use);
  }
  users_ = std::move(users);
  repeats_.Grow(wanted, log_.oldest());
  guessed_.Grow(wanted, GuessFloor());
  overdue_.Grow(wanted, GuessFloor());
  log_.Grow(wanted);
}

void AdaptivePolicy::Insert(EvictionHook& entry) {
  GrowFor(++entries_);
  if (owner().touches_arrivals) {
    Queue(entry, Mark{});
  } else {
    UseUnlogged(entry);
  }
}

void AdaptivePolicy::Touch(EvictionHook& entry) {
  const Mark mark = MarkOf(entry);
  // Twice in a row tells nothing new.
  if (mark.last != 0 && mark.last + 1 == log_.head()) return;
  Unplace(entry, mark);
  if (mark.last == 0) {
    UseUnlogged(entry);
  } else {
    Use(entry, log_.key(mark.last), log_.kind(mark.last), mark);
  }
}

void AdaptivePolicy::UseUnlogged(EvictionHook& entry) {
  const EvictionFacts facts = FactsOf(entry);
  Mark mark;
  mark.last = log_.LastUse(facts.key);
  Use(entry, facts.key, static_cast<uint32_t>(std::bit_width(facts.bytes)) & 63,
      mark);
}

void AdaptivePolicy::Remove(EvictionHook& entry, Departure why) {
  --entries_;
  const Mark mark = MarkOf(entry);
  Unplace(entry, mark);
  if (why == Departure::kGone && mark.last != 0 && UsedOnce(mark.last)) {
    LearnReturn(mark.last, 0);
  }
  if (mark.last != 0) log_.Remember(mark.last);
  entry.set_state(0);
}

void AdaptivePolicy::Expect(const EvictionFacts& entry) {
  expected_ = 0;
  if (present_ == 0 || !log_.Holds(present_)) return;
  const Position last = log_.LastUse(entry.key);
  const Position next = last == 0 ? 0 : log_.FirstAfter(present_, last);
  const Position seen =
      next != 0 && next - present_ <= Window() ? 0 : log_.SeenBefore(entry.key);
  expected_ = seen != 0 ? seen : next;
  // Nothing comes after the last use in the log.
  if (expected_ + 1 == log_.head()) expected_ = 0;
}

uint64_t AdaptivePolicy::Window() const {
  return std::clamp<uint64_t>((log_.head() - present_) / 2, 1, kWindow);
}

void AdaptivePolicy::Follow(uint64_t key, Position next, Position last) {
  if (next != 0 && next - present_ <= Window()) {
    present_ = next;
    strays_ = 0;
  } else if (const Position seen = log_.SeenBefore(key); seen != 0) {
    present_ = seen;
  } else if (last != 0 && (present_ == 0 || ++strays_ >= kMostStrays)) {
    present_ = last;
    strays_ = 0;
  }
}

// REQUIRES: `entry` stands nowhere. Of `mark` only what tells of the past
// counts.
void AdaptivePolicy::Use(EvictionHook& entry, uint64_t key, uint32_t kind,
                         Mark mark) {
  expected_ = 0;
  if (present_ != 0 && !log_.Holds(present_)) present_ = 0;
  Position next = 0;
  if (present_ != 0 && mark.last != 0) {
    next = log_.FirstAfter(present_, NearDue(mark));
  }
  Follow(key, next, mark.last);
  if (mark.last != 0) LearnGap(mark.last);
  ForgetOldest();
  mark.last = log_.Append(key, kind, mark.last);
  mark.late = false;
  mark.due = next;
  mark.lane = Lane::kRepeats;
  Foretell(entry, mark);
}

AdaptivePolicy::Position AdaptivePolicy::NearDue(const Mark& mark) const {
  const bool repeats = mark.due != 0 && mark.lane == Lane::kRepeats;
  return repeats && log_.Holds(mark.due) ? mark.due : mark.last;
}

void AdaptivePolicy::LearnGap(Position last) {
  if (UsedOnce(last)) LearnReturn(last, 1);
  const Position before = log_.Previous(last);
  if (before != 0 && before != log_.First(last)) return;
  float& gap = sibling_gap_[log_.kind(last)];
  const auto now = static_cast<float>(log_.head() - last);
  gap = gap == kUnknown ? now : gap + (now - gap) / kMemory;
}

bool AdaptivePolicy::UsedOnce(Position last) const {
  return log_.First(last) == last;
}

// Whether, 1 or 0, the bo of `use` came back after its first use.
void AdaptivePolicy::LearnReturn(Position use, float came_back) {
  float& returns = sibling_returns_[log_.kind(use)];
  returns += (came_back - returns) / kMemory;
}

void AdaptivePolicy::Foretell(EvictionHook& entry, Mark mark) {
  const Position horizon = Horizon();
  if (horizon == 0 || mark.last <= horizon) {
    Queue(entry, mark);
    return;
  }
  if (UsedOnce(mark.last) && sibling_returns_[log_.kind(mark.last)] < .5f) {
    mark.late = true;
    Queue(entry, mark);
    return;
  }
  const float gap = sibling_gap_[log_.kind(mark.last)];
  const uint64_t cycle = log_.head() - horizon;
  if (log_.First(mark.last) <= horizon || gap == kUnknown ||
      gap >= static_cast<float>(cycle)) {
    mark.due = log_.FirstAfter(horizon, NearDue(mark));
    mark.lane = Lane::kRepeats;
    Place(entry, mark);
  } else {
    PlaceAt(entry, mark, Lane::kGuessed,
            log_.head() + static_cast<uint64_t>(gap) + 1);
  }
}

void AdaptivePolicy::PlaceAt(EvictionHook& entry, Mark mark, Lane lane,
                             uint64_t moment) {
  mark.lane = lane;
  mark.due = std::clamp(moment, log_.head(), GuessLimit() - 1);
  for (int probe = 0; RingOf(lane).At(mark.due) != nullptr; ++probe) {
    if (++mark.due == GuessLimit() || probe == kMostProbes) {
      Queue(entry, mark);
      return;
    }
  }
  Place(entry, mark);
}

void AdaptivePolicy::Place(EvictionHook& entry, const Mark& mark) {
  RingOf(mark.lane).Put(mark.due, entry);
  UserAt(mark.last) = &entry;
  SetMark(entry, mark);
}

void AdaptivePolicy::Unplace(EvictionHook& entry, const Mark& mark) {
  if (mark.lane == Lane::kStale) {
    stale_.Remove(entry);
  } else {
    RingOf(mark.lane).Clear(mark.due);
    UserAt(mark.last) = nullptr;
  }
}

void AdaptivePolicy::Queue(EvictionHook& entry, Mark mark) {
  mark.lane = Lane::kStale;
  SetMark(entry, mark);
  stale_.PushBack(entry);
}

void AdaptivePolicy::ForgetOldest() {
  const auto forget = [this](EvictionHook* entry) {
    if (entry == nullptr) return;
    Mark mark = MarkOf(*entry);
    Unplace(*entry, mark);
    mark.late = false;
    Queue(*entry, mark);
  };
  if (log_.head() > log_.capacity()) {
    forget(UserAt(log_.oldest()));
    forget(repeats_.At(log_.oldest()));
  }
  forget(guessed_.At(GuessLimit()));
  forget(overdue_.At(GuessLimit()));
}

void AdaptivePolicy::Sweep() {
  for (const Lane lane : {Lane::kRepeats, Lane::kGuessed, Lane::kOverdue}) {
    const bool repeats = lane == Lane::kRepeats;
    DueRing& ring = RingOf(lane);
    const uint64_t floor = repeats ? log_.oldest() : GuessFloor();
    const uint64_t limit = (repeats ? Horizon() : log_.head()) + 1;
    for (;;) {
      const uint64_t due = ring.FirstIn(floor, limit);
      if (due == DueRing::kNone) break;
      EvictionHook& entry = *ring.At(due);
      const Mark mark = MarkOf(entry);
      Unplace(entry, mark);
      Reconsider(entry, mark);
    }
  }
}

// REQUIRES: `entry` stands nowhere; its turn, mark.due, has passed without it.
void AdaptivePolicy::Reconsider(EvictionHook& entry, Mark mark) {
  const Position horizon = Horizon();
  if (mark.lane == Lane::kOverdue) {
    if (UsedOnce(mark.last)) LearnReturn(mark.last, 0);
    mark.late = true;
    Queue(entry, mark);
  } else if (mark.last > horizon && log_.First(mark.last) <= horizon) {
    Foretell(entry, mark);
  } else if (mark.last > horizon) {
    // Young: it comes any moment, or never.
    const float gap = sibling_gap_[log_.kind(mark.last)];
    PlaceAt(entry, mark, Lane::kOverdue,
            mark.last + static_cast<uint64_t>(kPatience * std::max(gap, 0.f)));
  } else if (const Position again = mark.last + (log_.head() - horizon);
             !mark.late && again > horizon) {
    // Missed for one cycle: it may be used in the next.
    mark.late = true;
    PlaceAt(entry, mark, Lane::kGuessed, log_.head() + (again - horizon));
  } else {
    if (UsedOnce(mark.last)) LearnReturn(mark.last, 0);
    mark.late = false;
    Queue(entry, mark);
  }
}

EvictionHook* AdaptivePolicy::Farthest(int64_t repeats_below,
                                       int64_t guessed_below) const {
  const auto horizon = static_cast<int64_t>(Horizon());
  const auto now = static_cast<int64_t>(log_.head());
  const auto limit = [](int64_t from, int64_t below, uint64_t most) {
    return std::min(static_cast<uint64_t>(std::max<int64_t>(from + below, 0)),
                    most);
  };
  const uint64_t repeats = repeats_.LastIn(
      log_.oldest(), limit(horizon, repeats_below, log_.head()));
  const uint64_t guessed =
      guessed_.LastIn(GuessFloor(), limit(now, guessed_below, GuessLimit()));
  if (guessed == DueRing::kNone ||
      (repeats != DueRing::kNone && static_cast<int64_t>(repeats) - horizon >=
                                        static_cast<int64_t>(guessed) - now)) {
    return repeats == DueRing::kNone ? nullptr : repeats_.At(repeats);
  }
  return guessed_.At(guessed);
}

// Following may have gone back in the past: then the turn of an entry is sooner
// than it was foretold to be. Whether `entry` was such a one, and moved.
bool AdaptivePolicy::MovedUp(EvictionHook& entry) {
  const Mark mark = MarkOf(entry);
  const Position horizon = Horizon();
  if (horizon == 0 || mark.last <= horizon) return false;
  const bool moves = mark.lane == Lane::kRepeats
                         ? log_.FirstAfter(horizon, NearDue(mark)) != mark.due
                         : mark.late != (mark.lane == Lane::kStale);
  if (!moves) return false;
  Unplace(entry, mark);
  Foretell(entry, mark);
  return true;
}

EvictionHook* AdaptivePolicy::FirstOverdue(uint64_t from) const {
  const uint64_t due = overdue_.FirstIn(from, GuessLimit());
  return due == DueRing::kNone ? nullptr : overdue_.At(due);
}

EvictionHook* AdaptivePolicy::First() {
  if (entries_ == 0) return nullptr;
  if (Horizon() != 0) Sweep();
  for (int moved = 0;; ++moved) {
    EvictionHook* entry = stale_.front();
    if (entry == nullptr) entry = Farthest(kFarAway, kFarAway);
    if (entry == nullptr) return FirstOverdue(GuessFloor());
    if (moved == kMostMoved || !MovedUp(*entry)) return entry;
  }
}

EvictionHook* AdaptivePolicy::After(EvictionHook& entry) {
  const Mark mark = MarkOf(entry);
  EvictionHook* next = nullptr;
  switch (mark.lane) {
    case Lane::kOverdue:
      return FirstOverdue(mark.due + 1);
    case Lane::kStale:
      next = stale_.Behind(entry);
      if (next == nullptr) next = Farthest(kFarAway, kFarAway);
      break;
    case Lane::kRepeats: {
      // Of those due at once, what repeats goes before what is guessed.
      const auto uses_from_now = static_cast<int64_t>(mark.due - Horizon());
      next = Farthest(uses_from_now, uses_from_now + 1);
      break;
    }
    case Lane::kGuessed: {
      const auto uses_from_now = static_cast<int64_t>(mark.due - log_.head());
      next = Farthest(uses_from_now, uses_from_now);
      break;
    }
  }
  return next != nullptr ? next : FirstOverdue(GuessFloor());
}

}  // namespace twostep
