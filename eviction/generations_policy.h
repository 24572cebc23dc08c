#ifndef EVICTION_GENERATIONS_POLICY_H_
#define EVICTION_GENERATIONS_POLICY_H_

// Entries stand in the generation that they were last used in, and the oldest
// generation goes first: aging as Zircon's page queues do it (Fuchsia,
// vm/page_queues.h: eight queues), and Linux's multi-generational LRU (2022).
// Within a generation the order of arrival counts. As good as LRU where the
// order of recent uses says little, and a use in the present generation moves
// nothing. Zircon ages by the clock; here the generation changes when the
// youngest holds its share of the bytes, or every so many frames.
//
// Parameters: `generations`; `frames`, after which the generation changes, 0:
// by share. No memory. Thread-compatible.

#include <algorithm>
#include <array>

#include "twostep/eviction/entry_queue.h"

namespace twostep {

class GenerationsPolicy final : public EvictionPolicy {
 public:
  static constexpr uint64_t kMostGenerations = 64;

  GenerationsPolicy(uint64_t generations, uint64_t frames)
      : generations_(generations), frames_(frames) {}

  void Insert(EvictionHook& entry) override {
    const uint64_t bytes = FactsOf(entry).bytes;
    bytes_ += bytes;
    Enter(entry, bytes);
    youngest_queue().PushBack(entry);
  }
  // The state is the generation.
  void Touch(EvictionHook& entry) override {
    if (entry.state() == youngest_) return;
    EntryQueue& from = QueueOf(entry);
    Enter(entry, FactsOf(entry).bytes);
    youngest_queue().MoveToBack(entry, from);
  }
  void Remove(EvictionHook& entry, Departure) override {
    const uint64_t bytes = FactsOf(entry).bytes;
    bytes_ -= bytes;
    if (entry.state() == youngest_) youngest_bytes_ -= bytes;
    QueueOf(entry).Remove(entry);
  }
  EvictionHook* First() override { return FirstFrom(oldest()); }
  EvictionHook* After(EvictionHook& entry) override {
    EvictionHook* behind = QueueOf(entry).Behind(entry);
    return behind != nullptr ? behind
                             : FirstFrom(std::max(entry.state(), oldest()) + 1);
  }
  void Note(EvictionBoundary boundary) override {
    if (frames_ == 0 || boundary != EvictionBoundary::kFrame) return;
    if (++frames_seen_ % frames_ == 0) Age();
  }

 private:
  // What was in older generations stands in front of the oldest.
  uint64_t oldest() const { return youngest_ + 1 - generations_; }
  EntryQueue& youngest_queue() { return queues_[youngest_ % generations_]; }
  EntryQueue& QueueOf(const EvictionHook& entry) {
    return queues_[std::max(entry.state(), oldest()) % generations_];
  }
  EvictionHook* FirstFrom(uint64_t generation) {
    for (; generation <= youngest_; ++generation) {
      EntryQueue& queue = queues_[generation % generations_];
      if (!queue.empty()) return queue.front();
    }
    return nullptr;
  }
  void Enter(EvictionHook& entry, uint64_t bytes) {
    if (frames_ == 0 && (youngest_bytes_ + bytes) * generations_ > bytes_) {
      Age();
    }
    entry.set_state(youngest_);
    youngest_bytes_ += bytes;
  }
  void Age() {
    // The oldest queue becomes the youngest: what is in it goes to the next.
    EntryQueue& reused = queues_[oldest() % generations_];
    queues_[(oldest() + 1) % generations_].PrependAll(reused);
    ++youngest_;
    youngest_bytes_ = 0;
  }

  const uint64_t generations_;
  const uint64_t frames_;
  uint64_t frames_seen_ = 0;
  // Numbers of generations, from kMostGenerations on.
  uint64_t youngest_ = kMostGenerations;
  uint64_t youngest_bytes_ = 0;
  uint64_t bytes_ = 0;
  std::array<EntryQueue, kMostGenerations> queues_;
};

}  // namespace twostep

#endif  // EVICTION_GENERATIONS_POLICY_H_
