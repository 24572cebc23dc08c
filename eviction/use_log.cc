#include "twostep/eviction/use_log.h"

#include <utility>

namespace twostep {
namespace {

// Uses of a bo that are looked at for the context.
constexpr int kMostSteps = 32;

}  // namespace

void UseLog::Grow(size_t capacity) {
  std::vector<Use> uses(capacity);
  for (Position use = oldest_; use < head_; ++use) {
    uses[use & (capacity - 1)] = At(use);
  }
  uses_ = std::move(uses);
  mask_ = capacity - 1;
  full_ = head_ + kBatch;
}

UseLog::Position UseLog::SameContext(Position use, Position now) const {
  for (int step = 0; step < kMostSteps && use >= oldest_ + kContext; ++step) {
    uint64_t same = 0;
    while (same < kContext && bo(use - same - 1) == bo(now - same - 1)) ++same;
    if (same == kContext) return use;
    use = Previous(use);
  }
  return 0;
}

}  // namespace twostep
