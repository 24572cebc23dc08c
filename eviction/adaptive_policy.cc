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
// A jump passes what lies between. On average so much for each use.
constexpr int64_t kJumpsPerUse = 8;
// Uses that are followed anew after a time in which none were.
constexpr uint64_t kRefollowed = 256;
// Uses of one submission, at most: of a driver that does not tell them apart,
// each is one. Less than the log has.
constexpr uint64_t kMostOfOne = 2048;

}  // namespace

void AdaptivePolicy::GrowFor(size_t entries) {
  const size_t wanted =
      std::clamp(std::bit_ceil(entries * kUsesPerEntry), kLeastUses, kMostUses);
  if (log_.capacity() >= wanted) return;
  CatchUp();
  log_.Grow(wanted);
  lasts_.Reset(wanted);
  dues_.Reset(wanted);
  for (Position use = log_.oldest(); use < hinted_; ++use) lasts_.Insert(use);
  if (present_ != 0) HintAfter(present_, present_ + 1, log_.head());
  jumps_left_ = static_cast<int64_t>(wanted);
}

void AdaptivePolicy::Insert(EvictionHook& entry) {
  GrowFor(++entries_);
  const EvictionFacts facts = FactsOf(entry);
  if (wanted_.has_value() && wanted_->key == facts.key) wanted_.reset();
  uint32_t number = bos_.Find(facts.key);
  if (number == 0) number = bos_.Add(facts.key);
  BoRecord& bo = bos_[number];
  bo.in = &entry;
  shadow_.Insert(bo, facts.bytes);
  entry.set_state(kArrived | uint64_t{number} << kBoShift |
                  LowBits(log_.head()));
  arrivals_.PushBack(entry);
  walked_ = nullptr;
  if (!owner().touches_arrivals) TouchUnlogged(entry);
}

void AdaptivePolicy::TouchUnlogged(EvictionHook& entry) {
  const uint32_t number = BoOf(entry.state());
  BoRecord& bo = bos_[number];
  QueueOf(entry).Remove(entry);
  walked_ = nullptr;
  if (bo.due != 0 && log_.Widen(bo.due) >= log_.oldest()) {
    dues_.Insert(log_.Widen(bo.due));
  }
  bo.due = 0;
  Log(entry, entry.state(), bo.last == 0 ? 0 : LowBits(log_.head()) - bo.last);
}

void AdaptivePolicy::Remove(EvictionHook& entry, Departure why) {
  if (why == Departure::kGone) CatchUp();
  walked_ = nullptr;
  const uint32_t number = BoOf(entry.state());
  BoRecord& bo = bos_[number];
  if (Unlogged(entry)) {
    QueueOf(entry).Remove(entry);
  } else {
    bo.last = LowBits(entry.state());
  }
  --entries_;
  shadow_.Remove(bo, why);
  bo.in = nullptr;
  entry.set_state(0);
  if (bo.last != 0) return;
  if (why == Departure::kAside) {
    aside_.push_back(number);
  } else {
    Forget(number);
  }
}

void AdaptivePolicy::Forget(uint32_t number) {
  BoRecord& bo = bos_[number];
  shadow_.Forget(bo);
  bo.last = 0;
  if (bo.in == nullptr) {
    std::erase(aside_, number);
    bos_.Forget(number);
  } else if (!Unlogged(*bo.in)) {
    bo.in->set_state(kForgotten | uint64_t{number} << kBoShift);
    forgotten_.PushBack(*bo.in);
  }
}

bool AdaptivePolicy::Submits() const {
  return submitted_ != 0 && log_.head() < submitted_ + kMostOfOne;
}

void AdaptivePolicy::Note(EvictionBoundary boundary) {
  if (boundary != EvictionBoundary::kSubmission) return;
  LogWanted();
  ForgetAside();
  submitted_ = log_.head();
  if (idle_) return;
  CatchUp();
  shadow_.Submit();
}

void AdaptivePolicy::ForgetAside() {
  while (!aside_.empty()) {
    const uint32_t number = aside_.back();
    aside_.pop_back();
    if (bos_[number].in == nullptr && bos_[number].last == 0) Forget(number);
  }
}

void AdaptivePolicy::CatchUp() {
  const uint64_t uses = log_.head() - log_.linked();
  if (uses == 0) return;
  walked_ = nullptr;
  expected_ = 0;
  if (log_.head() >= asked_ + log_.capacity()) {
    idle_ = true;
    shadow_.Stop();
  }
  if (idle_) {
    present_ = 0;
    for (uint64_t i = 0; i < uses; ++i) log_.LinkNext();
  } else {
    jumps_left_ =
        std::min(jumps_left_ + kJumpsPerUse * static_cast<int64_t>(uses),
                 static_cast<int64_t>(log_.capacity()));
    for (uint64_t i = 0; i < uses; ++i) Learn(log_.LinkNext());
  }
  if (!Submits()) ForgetAside();
  log_.ForgetOldest([this](uint32_t bo) { Forget(bo); });
  for (EvictionHook* entry; (entry = arrivals_.front()) != nullptr &&
                            When(*entry) < log_.oldest();) {
    entry->set_state(entry->state() ^ kArrived ^ kForgotten);
    forgotten_.MoveToBack(*entry, arrivals_);
  }
  if (present_ < log_.oldest()) present_ = 0;
}

void AdaptivePolicy::Wake() {
  CatchUp();
  asked_ = log_.head();
  if (!idle_) return;
  idle_ = false;
  for (hinted_ = std::max(hinted_, log_.oldest()); hinted_ < log_.head();) {
    lasts_.Insert(hinted_++);
  }
  shadow_.Start();
  const Position from =
      log_.head() - std::min(log_.head() - log_.oldest(), kRefollowed);
  for (Position use = from; use < log_.head(); ++use) Follow(use);
}

void AdaptivePolicy::Learn(Position use) {
  Follow(use);
  lasts_.Insert(use);
  hinted_ = use + 1;
  if (present_ != 0) HintAfter(present_, use, use + 1);
  if (!Submits()) shadow_.Submit();
}

void AdaptivePolicy::Follow(Position use) {
  const Position next = Soon(log_.bo(use), use);
  if (next != 0) {
    HintBeyond(present_ + 1, next + 1);
    present_ = next;
    strays_ = 0;
    return;
  }
  const Position last = log_.Previous(use);
  if (last == 0) return;
  Position place = log_.SameContext(last, use);
  if (place == 0 && (present_ == 0 || ++strays_ >= kMostStrays)) {
    place = last;
    strays_ = 0;
  }
  if (place != 0 && Reach(place)) present_ = place;
}

AdaptivePolicy::Position AdaptivePolicy::Soon(uint32_t bo,
                                              Position limit) const {
  if (present_ == 0) return 0;
  const uint64_t window =
      std::clamp<uint64_t>((limit - present_) / 2, 1, kWindow);
  const Position end = std::min(present_ + window + 1, limit);
  for (Position use = present_ + 1; use < end; ++use) {
    if (log_.bo(use) == bo) return use;
  }
  return 0;
}

bool AdaptivePolicy::Reach(Position to) {
  const Position from = present_ != 0 ? present_ : log_.linked() - 1;
  const auto jump = static_cast<int64_t>(to > from ? to - from : from - to);
  if (jump > jumps_left_) return false;
  jumps_left_ -= jump;
  if (to > from) {
    HintBeyond(from + 1, to + 1);
  } else {
    HintAfter(to, to + 1, from + 1);
  }
  return true;
}

void AdaptivePolicy::HintAfter(Position place, Position begin, Position end) {
  for (Position use = begin; use < end; ++use) {
    if (log_.Previous(use) <= place) dues_.Insert(use);
  }
}

void AdaptivePolicy::HintBeyond(Position begin, Position end) {
  for (Position use = begin; use < end; ++use) {
    if (const Position next = log_.Next(use); next != 0) dues_.Insert(next);
  }
}

void AdaptivePolicy::LogWanted() {
  if (!wanted_.has_value()) return;
  const EvictionFacts wanted = *std::exchange(wanted_, std::nullopt);
  uint32_t number = bos_.Find(wanted.key);
  if (number == 0) number = bos_.Add(wanted.key);
  BoRecord& bo = bos_[number];
  // The submission may have begun anew.
  if (bo.here || LastUse(bo) >= submitted_) return;
  bo.bytes = wanted.bytes;
  bo.gone = false;
  const uint32_t now = LowBits(log_.head());
  log_.Append(number, bo.last == 0 ? 0 : now - bo.last);
  bo.last = now;
  if (log_.full()) CatchUp();
}

void AdaptivePolicy::Expect(const EvictionFacts& entry) {
  if (Submits() && log_.capacity() != 0) {
    LogWanted();
    wanted_ = entry;
  }
  CatchUp();
  expected_ = 0;
  if (!foretells()) return;
  const uint32_t bo = bos_.Find(entry.key);
  const Position last = bo == 0 ? 0 : LastUse(bos_[bo]);
  if (last == 0) return;
  Position place = Soon(bo, log_.head());
  if (place == 0) place = log_.SameContext(last, log_.head());
  if (place == 0) {
    place = last > present_ ? log_.FirstAfter(present_, last) : last;
  }
  // Nothing comes after the last use in the log.
  if (place + 1 < log_.head() && Reach(place)) expected_ = place;
}

EvictionHook* AdaptivePolicy::FirstStale(Position from) {
  const Position limit = std::min(StaleEnd(), log_.head());
  for (;;) {
    const Position last = lasts_.FirstIn(std::max(from, log_.oldest()), limit);
    if (last == HintRing::kNone) return nullptr;
    EvictionHook* entry = bos_[log_.bo(last)].in;
    if (log_.IsLast(last) && entry != nullptr && !Unlogged(*entry)) {
      return entry;
    }
    lasts_.Erase(last);
  }
}

EvictionHook* AdaptivePolicy::LastDue(Position limit) {
  limit = std::min(limit, log_.head());
  while ((limit = dues_.LastIn(Horizon() + 1, limit)) != HintRing::kNone) {
    BoRecord& bo = bos_[log_.bo(limit)];
    const Position before = log_.Previous(limit);
    const bool in = bo.in != nullptr && !Unlogged(*bo.in);
    if (in && before <= Horizon()) {
      walked_due_ = limit;
      return bo.in;
    }
    // It may be right again once nothing is expected.
    const bool right = limit > present_ && before <= present_;
    if (right && in) continue;
    if (right) bo.due = LowBits(limit);
    dues_.Erase(limit);
  }
  return nullptr;
}

EvictionHook* AdaptivePolicy::NextStale(EvictionHook* arrival, Position from) {
  if (arrival != nullptr && When(*arrival) >= StaleEnd()) arrival = nullptr;
  EvictionHook* const logged = FirstStale(from);
  if (arrival != nullptr &&
      (logged == nullptr || When(*arrival) <= When(*logged))) {
    return arrival;
  }
  walked_ = logged;
  walked_arrival_ = arrival;
  if (logged != nullptr) return logged;
  return foretells() ? NextDue(arrivals_.back(), log_.head()) : nullptr;
}

EvictionHook* AdaptivePolicy::NextDue(EvictionHook* arrival, Position limit) {
  if (arrival != nullptr && When(*arrival) < StaleEnd()) arrival = nullptr;
  walked_ = nullptr;
  EvictionHook* const logged = LastDue(limit);
  if (arrival != nullptr &&
      (logged == nullptr || When(*arrival) >= walked_due_)) {
    return arrival;
  }
  walked_ = logged;
  walked_arrival_ = arrival;
  return logged;
}

EvictionHook* AdaptivePolicy::First() {
  if (entries_ == 0) return nullptr;
  shadow_.NoteFull();
  Wake();
  EvictionHook* const first = forgotten_.front();
  return first != nullptr ? first : NextStale(arrivals_.front(), log_.oldest());
}

EvictionHook* AdaptivePolicy::After(EvictionHook& entry) {
  Wake();
  if (Forgotten(entry)) {
    EvictionHook* const next = forgotten_.Behind(entry);
    return next != nullptr ? next : NextStale(arrivals_.front(), log_.oldest());
  }
  if (!Unlogged(entry)) return AfterLogged(entry);
  const Position came = When(entry);
  return came < StaleEnd() ? NextStale(arrivals_.Behind(entry), came)
                           : NextDue(arrivals_.Before(entry), came + 1);
}

EvictionHook* AdaptivePolicy::AfterLogged(EvictionHook& entry) {
  const bool goes_on = walked_ == &entry;
  const Position last = When(entry);
  EvictionHook* arrival = walked_arrival_;
  if (last < StaleEnd()) {
    if (!goes_on) {
      arrival = arrivals_.front();
      while (arrival != nullptr && When(*arrival) <= last) {
        arrival = arrivals_.Behind(*arrival);
      }
    }
    return NextStale(arrival, last + 1);
  }
  const Position due = goes_on ? walked_due_ : log_.FirstAfter(Horizon(), last);
  if (!goes_on) {
    arrival = arrivals_.back();
    while (arrival != nullptr && When(*arrival) >= due) {
      arrival = arrivals_.Before(*arrival);
    }
  }
  return NextDue(arrival, due);
}

}  // namespace twostep
