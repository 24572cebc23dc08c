#ifndef EVICTION_RANDOM_POLICY_H_
#define EVICTION_RANDOM_POLICY_H_

// Any entry, drawn with equal chances: what no access pattern can fool, and
// what an order that is worth its cost must beat. Parameter `seed`: the same
// draws for the same seed. Owns 8 bytes an entry, in an array that doubles.
// Thread-compatible.

#include <vector>

#include "twostep/eviction/eviction_policy.h"

namespace twostep {

class RandomPolicy final : public EvictionPolicy {
 public:
  explicit RandomPolicy(uint64_t seed) : random_(seed) {}

  void Insert(EvictionHook& entry) override {
    entry.set_state(entries_.size());
    entries_.push_back(&entry);
  }
  void Touch(EvictionHook&) override {}
  void Remove(EvictionHook& entry, Departure) override {
    if (&entry == drawn_) drawn_ = nullptr;
    entries_[entry.state()] = entries_.back();
    entries_.back()->set_state(entry.state());
    entries_.pop_back();
  }
  // What was drawn stays drawn until it leaves.
  bool TouchesBlindly() const override { return true; }
  EvictionHook* First() override {
    if (drawn_ == nullptr && !entries_.empty()) {
      drawn_ = entries_[Draw() % entries_.size()];
    }
    return drawn_;
  }
  EvictionHook* After(EvictionHook& entry) override {
    EvictionHook* next = entries_[(entry.state() + 1) % entries_.size()];
    return next == First() ? nullptr : next;
  }

 private:
  // splitmix64 (Steele, Lea, Flood 2014).
  uint64_t Draw() {
    uint64_t z = random_ += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
  }

  uint64_t random_;
  std::vector<EvictionHook*> entries_;  // the state is the index
  EvictionHook* drawn_ = nullptr;
};

}  // namespace twostep

#endif  // EVICTION_RANDOM_POLICY_H_
