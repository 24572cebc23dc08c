#include "twostep/eviction/use_log.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace twostep {
namespace {

// A bo that is used many times a cycle is followed back no further than this:
// a use somewhat later than the first is a fair answer, too.
constexpr int kMostSteps = 64;

uint64_t Mix(uint64_t value) {
  value *= 0x9e3779b97f4a7c15u;
  return value ^ (value >> 29);
}

uint32_t Clamp(uint64_t distance) {
  return static_cast<uint32_t>(
      std::min<uint64_t>(distance, std::numeric_limits<uint32_t>::max()));
}

}  // namespace

void UseLog::Grow(size_t capacity) {
  std::vector<Slot> slots(capacity);
  for (Position use = oldest(); use < head_; ++use) {
    slots[use & (capacity - 1)] = At(use);
  }
  const Position first = oldest();
  slots_ = std::move(slots);
  begin_ = first;
  contexts_.assign(capacity, 0);
  last_uses_.assign(capacity, 0);
  for (Position use = first; use < head_; ++use) {
    if (use >= first + kContext) {
      contexts_[ContextIndex(use, key(use))] = static_cast<uint32_t>(use);
    }
    if (Next(use) == 0) Remember(use);
  }
}

UseLog::Position UseLog::Append(uint64_t key, uint32_t kind, Position last) {
  const Position use = head_;
  Slot slot{key, kind, 0, 0, 0};
  if (last != 0) {
    Slot& before = At(last);
    slot.to_previous = Clamp(use - last);
    slot.from_first = Clamp(use - last + before.from_first);
    before.to_next = slot.to_previous;
  }
  if (use >= oldest() + kContext) {
    contexts_[ContextIndex(use, key)] = static_cast<uint32_t>(use);
  }
  At(use) = slot;
  ++head_;
  return use;
}

UseLog::Position UseLog::Previous(Position use) const {
  const uint32_t distance = At(use).to_previous;
  if (distance == 0 || distance > use || !Holds(use - distance)) return 0;
  return use - distance;
}

UseLog::Position UseLog::FirstAfter(Position after, Position use) const {
  while (use != 0 && use <= after) use = Next(use);
  if (use == 0) return 0;
  for (int step = 0; step < kMostSteps; ++step) {
    const Position before = Previous(use);
    if (before == 0 || before <= after) break;
    use = before;
  }
  return use;
}

UseLog::Position UseLog::SeenBefore(uint64_t key) const {
  if (head_ < oldest() + kContext) return 0;
  const Position use = Widen(contexts_[ContextIndex(head_, key)]);
  if (use < oldest() + kContext || use >= head_ || At(use).key != key) return 0;
  for (uint64_t back = 1; back <= kContext; ++back) {
    if (At(use - back).key != At(head_ - back).key) return 0;
  }
  return use;
}

// For a use of `key` at `use`, after those that precede it.
size_t UseLog::ContextIndex(Position use, uint64_t key) const {
  uint64_t hash = Mix(key);
  for (uint64_t back = 1; back <= kContext; ++back) {
    hash = Mix(hash + At(use - back).key);
  }
  return hash & (contexts_.size() - 1);
}

size_t UseLog::KeyIndex(uint64_t key) const {
  return Mix(key) & (last_uses_.size() - kWays);
}

UseLog::Position UseLog::LastUse(uint64_t key) const {
  if (slots_.empty()) return 0;
  const size_t index = KeyIndex(key);
  for (size_t way = 0; way < kWays; ++way) {
    const Position use = Widen(last_uses_[index + way]);
    if (Holds(use) && At(use).key == key && At(use).to_next == 0) return use;
  }
  return 0;
}

void UseLog::Remember(Position last) {
  const size_t index = KeyIndex(At(last).key);
  // Over the one that is gone, or will be first.
  size_t oldest_way = 0;
  for (size_t way = 1; way < kWays; ++way) {
    if (Widen(last_uses_[index + way]) <
        Widen(last_uses_[index + oldest_way])) {
      oldest_way = way;
    }
  }
  last_uses_[index + oldest_way] = static_cast<uint32_t>(last);
}

}  // namespace twostep
