#ifndef EVICTION_SIZED_QUEUE_H_
#define EVICTION_SIZED_QUEUE_H_

// For policies that go by bytes: an entry's state holds its size and a small
// tag, so that moving it asks nobody; and a queue that adds sizes up.
// Thread-compatible.

#include "twostep/eviction/entry_queue.h"

namespace twostep {

// The state of an entry: its bytes, below 2^53, and a tag below 2^8.
struct SizedState {
  static constexpr int kTagBits = 8;
  static constexpr uint64_t kTag = (uint64_t{1} << kTagBits) - 1;

  static uint64_t BytesOf(const EvictionHook& entry) {
    return entry.state() >> kTagBits;
  }
  static uint64_t TagOf(const EvictionHook& entry) {
    return entry.state() & kTag;
  }
  static void Set(EvictionHook& entry, uint64_t bytes, uint64_t tag) {
    entry.set_state(bytes << kTagBits | tag);
  }
  static void SetTag(EvictionHook& entry, uint64_t tag) {
    Set(entry, BytesOf(entry), tag);
  }
};

// REQUIRES: entries have a SizedState.
class SizedQueue {
 public:
  uint64_t bytes() const { return bytes_; }
  bool empty() const { return queue_.empty(); }
  EvictionHook* front() { return queue_.front(); }
  EvictionHook* Behind(EvictionHook& entry) { return queue_.Behind(entry); }

  void PushBack(EvictionHook& entry) {
    queue_.PushBack(entry);
    bytes_ += SizedState::BytesOf(entry);
  }
  void Remove(EvictionHook& entry) {
    queue_.Remove(entry);
    bytes_ -= SizedState::BytesOf(entry);
  }
  void MoveToBack(EvictionHook& entry) { queue_.MoveToBack(entry); }
  void MoveToBack(EvictionHook& entry, SizedQueue& from) {
    queue_.MoveToBack(entry, from.queue_);
    from.bytes_ -= SizedState::BytesOf(entry);
    bytes_ += SizedState::BytesOf(entry);
  }

 private:
  EntryQueue queue_;
  uint64_t bytes_ = 0;
};

}  // namespace twostep

#endif  // EVICTION_SIZED_QUEUE_H_
