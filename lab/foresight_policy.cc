#include "twostep/lab/foresight_policy.h"

#include <cstddef>

namespace twostep {

Foresight::Foresight(const TraceHistory& history)
    : history_(history), begin_(history.uses.bytes.size() + 1, 0) {
  const UseSequence& uses = history.uses;
  for (const uint32_t bo : uses.objects) ++begin_[bo + size_t{1}];
  for (size_t bo = 1; bo < begin_.size(); ++bo) begin_[bo] += begin_[bo - 1];
  uses_.resize(uses.objects.size());
  at_ = begin_;
  for (size_t step = 0; step < uses.steps(); ++step) {
    for (size_t use = uses.begin_of(step); use < uses.begin_of(step + 1);
         ++use) {
      uses_[at_[uses.objects[use]]++] = static_cast<uint32_t>(step);
    }
  }
  at_ = begin_;
}

uint64_t Foresight::NextUse(uint64_t key) {
  const uint32_t bo = index_of_.at(key);
  uint64_t& at = at_[bo];
  while (at < begin_[bo + size_t{1}] && uses_[at] < submissions_) ++at;
  if (at < begin_[bo + size_t{1}]) return uses_[at];
  return history_.uses.steps() + 1 + history_.destroyed_before[bo];
}

void ForesightPolicy::Insert(EvictionHook& entry) {
  const uint64_t key = FactsOf(entry).key;
  entries_.PushBack(entry);
  place_of_[&entry] =
      order_.insert(Place{foresight_.NextUse(key), key, &entry}).first;
}

void ForesightPolicy::Touch(EvictionHook& entry) {
  auto& place = place_of_[&entry];
  const uint64_t next_use = foresight_.NextUse(place->key);
  if (next_use == place->next_use) return;
  auto node = order_.extract(place);
  node.value().next_use = next_use;
  place = order_.insert(std::move(node)).position;
}

void ForesightPolicy::Remove(EvictionHook& entry, Departure) {
  entries_.Remove(entry);
  auto it = place_of_.find(&entry);
  order_.erase(it->second);
  place_of_.erase(it);
}

EvictionHook* ForesightPolicy::First() {
  return order_.empty() ? nullptr : order_.begin()->entry;
}

EvictionHook* ForesightPolicy::After(EvictionHook& entry) {
  const auto next = std::next(place_of_.find(&entry)->second);
  return next == order_.end() ? nullptr : next->entry;
}

}  // namespace twostep
