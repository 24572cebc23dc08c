#include "twostep/explore/strategy.h"

#include <algorithm>

namespace twostep::explore {
namespace {

int Nth(uint32_t bits, uint64_t n) {
  while (n-- > 0) bits &= bits - 1;
  return __builtin_ctz(bits);
}

}  // namespace

RandomStrategy::RandomStrategy(uint64_t seed) : random_(seed) {
  one_in_ = uint64_t{2} << 2 * (random_() % 4);
}

int RandomStrategy::Choose(const Decision& at) {
  if (at.can_stay && random_() % one_in_ != 0) return at.fiber;
  return Nth(at.eligible, random_() % __builtin_popcount(at.eligible));
}

PctStrategy::PctStrategy(uint64_t seed, int depth, uint64_t length)
    : random_(seed) {
  for (int i = 1; i < depth; ++i) {
    changes_.push_back(random_() % std::max<uint64_t>(length, 1));
  }
  for (int i = 0; i < kMaxFibers; ++i) priorities_[i] = i + 1;
  std::shuffle(priorities_.begin(), priorities_.end(), random_);
}

int PctStrategy::Choose(const Decision& at) {
  const bool changes = std::find(changes_.begin(), changes_.end(),
                                 decisions_++) != changes_.end();
  if (changes) priorities_[at.fiber] = --lowest_;
  int best = -1;
  for (int fiber = 0; fiber < kMaxFibers; ++fiber) {
    if ((at.eligible >> fiber & 1) == 0) continue;
    if (best < 0 || priorities_[fiber] > priorities_[best]) best = fiber;
  }
  return best;
}

ScriptStrategy::ScriptStrategy(const Script& script) {
  for (const Switch& at : script.switches) {
    next_[uint64_t{at.step} << 8 | static_cast<uint64_t>(at.fiber)] = at.next;
  }
}

int ScriptStrategy::Choose(const Decision& at) {
  const auto found = next_.find(uint64_t{at.step} << 8 | at.fiber);
  if (found != next_.end() && (at.eligible >> found->second & 1) != 0) {
    return found->second;
  }
  return at.Default();
}

int PrefixStrategy::Choose(const Decision& at) {
  if (decisions_ == choices_.size()) return at.Default();
  const int next = choices_[decisions_++];
  // A case that does not repeat: Explore finds the difference.
  return (at.eligible >> next & 1) != 0 ? next : at.Default();
}

}  // namespace twostep::explore
