#include "twostep/eviction/two_queue_policy.h"

namespace twostep {

void TwoQueuePolicy::Expect(const EvictionFacts& entry) {
  if (expected_key_ == entry.key) return;
  expected_key_ = entry.key;
  expected_bytes_ = entry.bytes;
  expected_was_ghost_ = ghosts_.Take(entry.key).has_value();
}

void TwoQueuePolicy::Insert(EvictionHook& entry) {
  if (entry.state() == 0) {  // not back from aside
    const EvictionFacts facts = FactsOf(entry);
    Expect(facts);
    expected_key_.reset();
    SizedState::Set(entry, facts.bytes, expected_was_ghost_);
  }
  (InMain(entry) ? main_ : in_).PushBack(entry);
}

void TwoQueuePolicy::Remove(EvictionHook& entry, Departure why) {
  if (InMain(entry)) {
    main_.Remove(entry);
    return;
  }
  in_.Remove(entry);
  const auto most = static_cast<uint64_t>(Capacity() * parameters_.out);
  const uint64_t bytes = SizedState::BytesOf(entry);
  if (why != Departure::kEvicted || bytes > most) return;
  while (ghosts_.bytes() + bytes > most) ghosts_.TakeOldest();
  ghosts_.Add({.key = FactsOf(entry).key, .bytes = bytes});
}

// Short of room, the FIFO keeps its share; where there is room, only the LRU
// may be too large.
bool TwoQueuePolicy::MainFirst() const {
  const bool room =
      expected_key_.has_value() && Resident() + expected_bytes_ <= Capacity();
  return (room && Overfull()) || in_.bytes() <= InBytes();
}

EvictionHook* TwoQueuePolicy::First() {
  const bool main_first = MainFirst();
  EvictionHook* entry = (main_first ? main_ : in_).front();
  return entry != nullptr ? entry : (main_first ? in_ : main_).front();
}

// The queue of the one to go first, then the other.
EvictionHook* TwoQueuePolicy::After(EvictionHook& entry) {
  const bool in_main = InMain(entry);
  EvictionHook* const behind = (in_main ? main_ : in_).Behind(entry);
  if (behind != nullptr || InMain(*First()) != in_main) return behind;
  return (in_main ? in_ : main_).front();
}

}  // namespace twostep
