#ifndef EXAMPLES_CUSTOM_POLICY_LARGEST_FIRST_POLICY_H_
#define EXAMPLES_CUSTOM_POLICY_LARGEST_FIRST_POLICY_H_

// An eviction policy from outside the library: gives up large entries before
// small ones, by powers of two; among those of about one size, the least
// recently used. One eviction then makes room for many. Its parameter `spared`
// is for entries of up to so many KiB, which all count as one size.

#include <array>
#include <bit>
#include <cstdint>

#include "twostep/eviction/entry_queue.h"

namespace twostep::example {

class LargestFirstPolicy final : public EvictionPolicy {
 public:
  explicit LargestFirstPolicy(uint64_t spared_kib)
      : spared_bytes_(spared_kib * 1024) {}

  // The state of an entry, a word that is the policy's: its class of size.
  void Insert(EvictionHook& entry) override {
    const uint64_t bytes = FactsOf(entry).bytes;
    entry.set_state(bytes <= spared_bytes_ ? 0 : std::bit_width(bytes));
    QueueOf(entry).PushBack(entry);
  }
  void Touch(EvictionHook& entry) override { QueueOf(entry).MoveToBack(entry); }
  void Remove(EvictionHook& entry, Departure) override {
    QueueOf(entry).Remove(entry);
  }
  EvictionHook* First() override { return FirstBelow(queues_.size()); }
  EvictionHook* After(EvictionHook& entry) override {
    EvictionHook* behind = QueueOf(entry).Behind(entry);
    return behind != nullptr ? behind : FirstBelow(entry.state());
  }

 private:
  EntryQueue& QueueOf(const EvictionHook& entry) {
    return queues_[entry.state()];
  }
  EvictionHook* FirstBelow(size_t size) {
    while (size > 0 && queues_[size - 1].empty()) --size;
    return size == 0 ? nullptr : queues_[size - 1].front();
  }

  const uint64_t spared_bytes_;
  std::array<EntryQueue, 65> queues_;
};

}  // namespace twostep::example

#endif  // EXAMPLES_CUSTOM_POLICY_LARGEST_FIRST_POLICY_H_
