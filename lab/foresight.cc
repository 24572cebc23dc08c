#include "twostep/lab/foresight.h"

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

}  // namespace twostep
