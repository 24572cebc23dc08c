#include "twostep/eviction/s3fifo_policy.h"

#include <algorithm>

namespace twostep {

void S3FifoPolicy::Expect(const EvictionFacts& entry) {
  if (expected_key_ == entry.key) return;
  expected_key_ = entry.key;
  expected_was_ghost_ = ghosts_.Take(entry.key).has_value();
}

void S3FifoPolicy::Insert(EvictionHook& entry) {
  if (entry.state() != 0) {  // back from aside
    (InMain(entry) ? main_ : small_).PushBack(entry);
    return;
  }
  const EvictionFacts facts = FactsOf(entry);
  Expect(facts);
  const bool small_is_full = !has_evicted_ && small_.bytes() >= SmallBytes();
  const bool to_main = expected_was_ghost_ || small_is_full;
  expected_key_.reset();
  SizedState::Set(entry, facts.bytes, 0);
  Mark(entry, to_main, 0);
  (to_main ? main_ : small_).PushBack(entry);
}

void S3FifoPolicy::Remove(EvictionHook& entry, Departure why) {
  if (&entry == first_) first_ = nullptr;
  const bool in_main = InMain(entry);
  (in_main ? main_ : small_).Remove(entry);
  if (why != Departure::kEvicted) return;
  has_evicted_ = true;
  if (!in_main) Remember(FactsOf(entry));
}

void S3FifoPolicy::Remember(const EvictionFacts& facts) {
  const auto most = static_cast<uint64_t>(Capacity() * parameters_.ghost);
  if (facts.bytes > most) return;
  while (ghosts_.bytes() + facts.bytes > most) ghosts_.TakeOldest();
  ghosts_.Add({.key = facts.key, .bytes = facts.bytes});
}

EvictionHook* S3FifoPolicy::UnusedInSmall(EvictionHook* entry) {
  while (entry != nullptr && UsesOf(*entry) >= parameters_.threshold) {
    EvictionHook* const behind = small_.Behind(*entry);
    Mark(*entry, true, 0);
    main_.MoveToBack(*entry, small_);
    entry = behind;
  }
  return entry;
}

EvictionHook* S3FifoPolicy::UnusedInMain(EvictionHook* entry) {
  while (entry != nullptr && UsesOf(*entry) != 0) {
    EvictionHook* const behind = main_.Behind(*entry);
    Mark(*entry, true, std::min<uint64_t>(UsesOf(*entry), 3) - 1);
    main_.MoveToBack(*entry);
    // The last one stays the last.
    if (behind != nullptr) entry = behind;
  }
  return entry;
}

EvictionHook* S3FifoPolicy::Choose() {
  if (main_.bytes() <= Capacity() - SmallBytes()) {
    EvictionHook* entry = UnusedInSmall(small_.front());
    if (entry != nullptr) return entry;
  }
  EvictionHook* entry = UnusedInMain(main_.front());
  return entry != nullptr ? entry : UnusedInSmall(small_.front());
}

// The queue of the one to go first, then the other.
EvictionHook* S3FifoPolicy::After(EvictionHook& entry) {
  const bool main_first = InMain(*First());
  if (!InMain(entry)) {
    EvictionHook* behind = small_.Behind(entry);
    // What moved to the main queue now would be passed over.
    if (main_first) return behind;
    behind = UnusedInSmall(behind);
    return behind != nullptr ? behind : UnusedInMain(main_.front());
  }
  EvictionHook* behind = UnusedInMain(main_.Behind(entry));
  return behind == nullptr && main_first ? small_.front() : behind;
}

}  // namespace twostep
