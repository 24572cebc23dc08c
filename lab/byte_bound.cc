#include "twostep/lab/byte_bound.h"

#include <algorithm>
#include <cstddef>
#include <queue>
#include <vector>

namespace twostep {
namespace {

constexpr uint64_t kNever = ~uint64_t{0};

// For every use, the step of its object's next one.
std::vector<uint64_t> NextUses(const UseSequence& uses) {
  std::vector<uint64_t> next(uses.objects.size());
  std::vector<uint64_t> last_seen(uses.bytes.size(), kNever);
  for (size_t step = uses.steps(); step-- > 0;) {
    const size_t end = uses.begin_of(step + 1);
    for (size_t use = uses.begin_of(step); use < end; ++use) {
      uint64_t& seen = last_seen[uses.objects[use]];
      next[use] = seen;
      seen = step;
    }
  }
  return next;
}

// Bytes that stay from one use to the next, by the step of the next.
class Kept {
 public:
  explicit Kept(size_t steps) : until_(steps, 0) {}

  void Keep(uint64_t bytes, uint64_t until) {
    if (until_[until] == 0) latest_.push(until);
    until_[until] += bytes;
    total_ += bytes;
  }
  // Those that stayed until `step`, which are used now.
  uint64_t Take(uint64_t step) {
    const uint64_t bytes = until_[step];
    until_[step] = 0;
    total_ -= bytes;
    return bytes;
  }
  // Gives up what is used last, down to `bytes`.
  void ShrinkTo(uint64_t bytes) {
    while (total_ > bytes) {
      uint64_t& at = until_[latest_.top()];
      const uint64_t gone = std::min(at, total_ - bytes);
      at -= gone;
      total_ -= gone;
      if (at == 0) latest_.pop();
    }
  }

 private:
  std::vector<uint64_t> until_;
  // Every step with bytes, and some without.
  std::priority_queue<uint64_t> latest_;
  uint64_t total_ = 0;
};

}  // namespace

uint64_t LeastRefetchedBytes(const UseSequence& uses, uint64_t capacity_bytes,
                             StepNeeds needs) {
  const std::vector<uint64_t> next = NextUses(uses);
  std::vector<bool> seen(uses.bytes.size());
  Kept kept(uses.steps());
  uint64_t refetched = 0;
  for (size_t step = 0; step < uses.steps(); ++step) {
    const size_t begin = uses.begin_of(step);
    const size_t end = uses.begin_of(step + 1);
    uint64_t step_bytes = 0;
    uint64_t again_bytes = 0;
    for (size_t use = begin; use < end; ++use) {
      const uint32_t object = uses.objects[use];
      step_bytes += uses.bytes[object];
      if (seen[object]) again_bytes += uses.bytes[object];
      seen[object] = true;
    }
    refetched += again_bytes - kept.Take(step);
    if (needs == StepNeeds::kAllAtOnce) {
      kept.ShrinkTo(capacity_bytes - std::min(step_bytes, capacity_bytes));
    }
    for (size_t use = begin; use < end; ++use) {
      if (next[use] != kNever) {
        kept.Keep(uses.bytes[uses.objects[use]], next[use]);
      }
    }
    kept.ShrinkTo(capacity_bytes);
  }
  return refetched;
}

uint64_t LeastMissBytes(const UseSequence& uses, uint64_t capacity_bytes) {
  std::vector<bool> seen(uses.bytes.size());
  uint64_t first_bytes = 0;
  for (const uint32_t object : uses.objects) {
    if (!seen[object]) first_bytes += uses.bytes[object];
    seen[object] = true;
  }
  return first_bytes +
         LeastRefetchedBytes(uses, capacity_bytes, StepNeeds::kNothing);
}

uint64_t LeastMovedBytes(const TraceHistory& history, uint64_t capacity_bytes) {
  const UseSequence& uses = history.uses;
  std::vector<bool> seen(uses.bytes.size());
  uint64_t contents_bytes = 0;
  for (const uint32_t bo : uses.objects) {
    if (!seen[bo] && history.contents_first[bo]) {
      contents_bytes += uses.bytes[bo];
    }
    seen[bo] = true;
  }
  return contents_bytes +
         2 * LeastRefetchedBytes(uses, capacity_bytes, StepNeeds::kAllAtOnce);
}

}  // namespace twostep
