#ifndef EXPLORE_SCHEDULE_H_
#define EXPLORE_SCHEDULE_H_

// A schedule as a script: where a fiber stops and which one goes on. What a
// script does not name follows one rule: a fiber runs until it blocks, polls
// or ends, then the next one that can run, by number, does. So a script is
// short, and leaving lines out of it gives another schedule.
//
//   twostep schedule 1
//   case lock/hand_over
//   at 1.17 run 2
//   trace 5f2c09e1a3b4d677
//
// `at 1.17`: fiber 1 at its 17th step, counted from 1, from when it was made.

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace twostep::explore {

// Fibers have numbers in the order in which they were made; the case itself
// is 0.
inline constexpr int kMaxFibers = 32;

struct Switch {
  int fiber = 0;
  uint32_t step = 0;  // of that fiber
  int next = 0;

  friend bool operator==(const Switch&, const Switch&) = default;
};

struct Script {
  std::string case_name;
  std::vector<Switch> switches;
  // What the schedule did, as a hash of all its steps; 0: not known.
  uint64_t trace = 0;

  friend bool operator==(const Script&, const Script&) = default;
};

std::string Print(const Script& script);
// kInvalidArgument naming the line. Empty lines and those that begin with #
// are skipped.
absl::StatusOr<Script> Parse(absl::string_view text);

// One point of a schedule at which more than one fiber could run.
struct Decision {
  uint32_t eligible = 0;  // one bit for each fiber
  uint32_t step = 0;      // of `fiber`
  uint8_t fiber = 0;      // that ran
  uint8_t next = 0;       // that runs on
  // Whether `fiber` could have gone on.
  bool can_stay = false;
  // It was about to use an atomic with no order asked for.
  bool relaxed = false;

  // What the rule above says.
  int Default() const;
};

// The decisions that the rule would not have made.
std::vector<Switch> SwitchesOf(absl::Span<const Decision> decisions);

}  // namespace twostep::explore

#endif  // EXPLORE_SCHEDULE_H_
