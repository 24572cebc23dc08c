#ifndef EXPLORE_STRATEGY_H_
#define EXPLORE_STRATEGY_H_

// Who runs next. A strategy is asked where more than one fiber can run, and
// makes one schedule. Deterministic: what it is made with decides it.

#include <array>
#include <cstdint>
#include <memory>
#include <random>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "twostep/explore/schedule.h"

namespace twostep::explore {

class Strategy {
 public:
  virtual ~Strategy() = default;
  // One of the eligible ones. `at.next` is not set yet.
  virtual int Choose(const Decision& at) = 0;
  // `fiber` polls for what others do.
  virtual void Polls(int /*fiber*/) {}
};

// Switches with some probability at every step, which differs from seed to
// seed: short and long runs of one fiber both happen.
class RandomStrategy final : public Strategy {
 public:
  explicit RandomStrategy(uint64_t seed);
  int Choose(const Decision& at) override;

 private:
  std::mt19937_64 random_;
  uint64_t one_in_;
};

// Random priorities, of which the highest runs, and `depth` - 1 steps, random
// as well, at which the running one becomes the lowest. Finds a bug that takes
// `depth` ordered steps with a probability of at least 1/(n k^(depth-1)), for n
// fibers and k steps (Burckhardt et al., "A Randomized Scheduler with
// Probabilistic Guarantees of Finding Bugs", ASPLOS 2010). Who polls becomes
// the lowest too: it waits for others.
class PctStrategy final : public Strategy {
 public:
  // `length`: about how many decisions a schedule has.
  PctStrategy(uint64_t seed, int depth, uint64_t length);
  int Choose(const Decision& at) override;
  void Polls(int fiber) override { priorities_[fiber] = --lowest_; }

 private:
  std::mt19937_64 random_;
  std::vector<uint64_t> changes_;  // numbers of decisions
  uint64_t decisions_ = 0;
  int64_t lowest_ = 0;
  std::array<int64_t, kMaxFibers> priorities_;
};

// What a script says, and its rule elsewhere.
class ScriptStrategy final : public Strategy {
 public:
  explicit ScriptStrategy(const Script& script);
  int Choose(const Decision& at) override;

 private:
  absl::flat_hash_map<uint64_t, int> next_;
};

// Given choices for the first decisions, the rule of scripts for the rest.
class PrefixStrategy final : public Strategy {
 public:
  explicit PrefixStrategy(std::vector<uint8_t> choices)
      : choices_(std::move(choices)) {}
  int Choose(const Decision& at) override;

 private:
  const std::vector<uint8_t> choices_;
  size_t decisions_ = 0;
};

}  // namespace twostep::explore

#endif  // EXPLORE_STRATEGY_H_
