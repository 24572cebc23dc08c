#ifndef EXPLORE_EXPLORER_H_
#define EXPLORE_EXPLORER_H_

// Looks for a schedule in which a case goes wrong, makes it small, and runs it
// again. The same search finds the same schedule.

#include <cstdint>
#include <optional>
#include <string>

#include "twostep/explore/case.h"
#include "twostep/explore/runner.h"
#include "twostep/explore/schedule.h"

namespace twostep::explore {

struct Search {
  enum class Kind : uint8_t {
    kRandom,
    kPct,
    // Every schedule with at most `preemptions` switches away from a fiber that
    // could have gone on, at steps that ask for an order.
    kExhaustive,
  };
  Kind kind = Kind::kPct;
  uint64_t seed = 1;
  // At most.
  uint64_t schedules = 1000;
  int pct_depth = 3;
  int preemptions = 2;
  Limits limits;
};

struct Failure {
  Outcome outcome;
  Script script;
  // It made more decisions than are kept: `script` is empty.
  bool too_long = false;
};

struct Found {
  // Run, with the one that failed.
  uint64_t schedules = 0;
  // Of the longest one.
  uint64_t steps = 0;
  // Exhaustive: there are no more.
  bool complete = false;
  std::optional<Failure> failure;
};

// Stops at the first failure.
Found Explore(const Case& one, const Search& search);

// A failure with as few switches as leaving out can make it, of the same kind
// and first line. Runs at most `schedules`.
Failure Shrink(const Case& one, const Failure& failure, const Limits& limits,
               uint64_t schedules = 2000);

struct Replayed {
  Outcome outcome;
  // Of what ran: equal to the script's where that has one and all is as it was.
  uint64_t trace = 0;
};
// The message begins with what `limits.explain` asks for.
Replayed Replay(const Case& one, const Script& script, const Limits& limits);

}  // namespace twostep::explore

#endif  // EXPLORE_EXPLORER_H_
