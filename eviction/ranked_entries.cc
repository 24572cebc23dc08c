#include "twostep/eviction/ranked_entries.h"

#include <algorithm>

namespace twostep {

// Finds the place for what belongs at or above or below `index`, which is free.
void RankedEntries::Settle(size_t index, const Place& place) {
  walked_ = nullptr;
  while (index != 0) {
    const size_t parent = (index - 1) / kChildren;
    if (!(place < heap_[parent])) break;
    Put(index, heap_[parent]);
    index = parent;
  }
  for (;;) {
    const size_t begin = index * kChildren + 1;
    const size_t end = std::min(begin + kChildren, heap_.size());
    if (begin >= end) break;
    const auto least =
        std::min_element(heap_.begin() + begin, heap_.begin() + end);
    if (!(*least < place)) break;
    Put(index, *least);
    index = least - heap_.begin();
  }
  Put(index, place);
}

void RankedEntries::Insert(EvictionHook& entry, double rank) {
  heap_.emplace_back();
  Settle(heap_.size() - 1, Place{rank, ranked_++, &entry});
}

void RankedEntries::SetRank(EvictionHook& entry, double rank) {
  Settle(IndexOf(entry), Place{rank, ranked_++, &entry});
}

void RankedEntries::Remove(EvictionHook& entry) {
  walked_ = nullptr;
  const Place last = heap_.back();
  heap_.pop_back();
  if (last.entry != &entry) Settle(IndexOf(entry), last);
}

void RankedEntries::Step() {
  const auto later = [this](uint32_t a, uint32_t b) {
    return heap_[b] < heap_[a];
  };
  std::pop_heap(walk_.begin(), walk_.end(), later);
  const size_t index = walk_.back();
  walk_.pop_back();
  const size_t begin = index * kChildren + 1;
  const size_t end = std::min(begin + kChildren, heap_.size());
  for (size_t child = begin; child < end; ++child) {
    walk_.push_back(static_cast<uint32_t>(child));
    std::push_heap(walk_.begin(), walk_.end(), later);
  }
  walked_ = heap_[index].entry;
}

EvictionHook* RankedEntries::After(EvictionHook& entry) {
  const bool goes_on = walked_ != nullptr && !walk_.empty() &&
                       heap_[walk_.front()].entry == &entry;
  if (walked_ != &entry && !goes_on) walk_.assign(1, 0);
  while (walked_ != &entry) Step();
  return walk_.empty() ? nullptr : heap_[walk_.front()].entry;
}

}  // namespace twostep
