#include "twostep/eviction/arc_policy.h"

#include <algorithm>

namespace twostep {

void ArcPolicy::Prepare() {
  recent_ghosts_.Reset(owner().most_ghosts);
  frequent_ghosts_.Reset(owner().most_ghosts);
}

// Cases II and III of the paper.
void ArcPolicy::Expect(const EvictionFacts& entry) {
  if (expected_key_ == entry.key) return;
  expected_key_ = entry.key;
  expected_bytes_ = entry.bytes;
  expected_ghost_ = Ghost::kNone;
  const auto recent = static_cast<double>(recent_ghosts_.bytes());
  const auto frequent = static_cast<double>(frequent_ghosts_.bytes());
  if (recent_ghosts_.Take(entry.key).has_value()) {
    expected_ghost_ = Ghost::kRecent;
    target_ = std::min(target_ + std::max(frequent / recent, 1.),
                       static_cast<double>(Capacity()));
  } else if (frequent_ghosts_.Take(entry.key).has_value()) {
    expected_ghost_ = Ghost::kFrequent;
    target_ = std::max(target_ - std::max(recent / frequent, 1.), 0.);
  }
}

void ArcPolicy::Insert(EvictionHook& entry) {
  if (entry.state() == 0) {  // not back from aside
    const EvictionFacts facts = FactsOf(entry);
    Expect(facts);
    SizedState::Set(entry, facts.bytes, expected_ghost_ != Ghost::kNone);
    expected_key_.reset();
    expected_bytes_ = 0;
    expected_ghost_ = Ghost::kNone;
  }
  (IsFrequent(entry) ? frequent_ : recent_).PushBack(entry);
}

// REPLACE, and which queue case IV takes from.
bool ArcPolicy::RecentFirst() const {
  if (frequent_.empty()) return true;
  if (recent_.empty()) return false;
  if (expected_ghost_ == Ghost::kNone && RecentIsFull() &&
      recent_ghosts_.empty()) {
    return true;
  }
  const auto bytes = static_cast<double>(recent_.bytes());
  return bytes > target_ ||
         (bytes == target_ && expected_ghost_ == Ghost::kFrequent);
}

// Case IV: what is remembered stays within twice the capacity.
void ArcPolicy::ForgetOldest() {
  if (expected_ghost_ != Ghost::kNone) return;
  if (RecentIsFull()) {
    if (!recent_ghosts_.empty()) recent_ghosts_.TakeOldest();
  } else if (!frequent_ghosts_.empty() &&
             recent_.bytes() + recent_ghosts_.bytes() + frequent_.bytes() +
                     frequent_ghosts_.bytes() >=
                 2 * Capacity()) {
    frequent_ghosts_.TakeOldest();
  }
}

void ArcPolicy::Remove(EvictionHook& entry, Departure why) {
  const bool frequent = IsFrequent(entry);
  SizedQueue& queue = frequent ? frequent_ : recent_;
  if (why != Departure::kEvicted) {
    queue.Remove(entry);
    return;
  }
  // Where there is nothing to forget, this one is not remembered either.
  const bool remember = frequent || expected_ghost_ != Ghost::kNone ||
                        !RecentIsFull() || !recent_ghosts_.empty();
  ForgetOldest();
  queue.Remove(entry);
  if (!remember) return;
  (frequent ? frequent_ghosts_ : recent_ghosts_)
      .Add({.key = FactsOf(entry).key, .bytes = SizedState::BytesOf(entry)});
}

// The queue of the one to go first, then the other.
EvictionHook* ArcPolicy::After(EvictionHook& entry) {
  const bool frequent = IsFrequent(entry);
  EvictionHook* const behind = (frequent ? frequent_ : recent_).Behind(entry);
  if (behind != nullptr || IsFrequent(*First()) != frequent) return behind;
  return (frequent ? recent_ : frequent_).front();
}

}  // namespace twostep
