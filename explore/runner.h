#ifndef EXPLORE_RUNNER_H_
#define EXPLORE_RUNNER_H_

// Runs schedules, each in a forked process: nothing of one is left for the
// next, and a crash is a result like any other. REQUIRES: the calling process
// has one thread.

#include <memory>
#include <string>

#include "twostep/explore/case.h"
#include "twostep/explore/report.h"
#include "twostep/explore/strategy.h"

namespace twostep::explore {

struct Outcome {
  enum class Kind : uint8_t {
    kDone,
    kFailed,
    kCrashed,
    kDeadlock,
    kLivelock,
    // Ran for a minute of CPU time: a loop without a scheduling point.
    kStuck,
  };
  Kind kind = Kind::kDone;
  // What the case, the scheduler or, after a crash, the library said.
  std::string message;

  // The same kind and, but for numbers, the same first line.
  bool SameAs(const Outcome& other) const;
};
const char* NameOf(Outcome::Kind kind);

class Runner {
 public:
  Runner();
  ~Runner();
  Runner(const Runner&) = delete;
  Runner& operator=(const Runner&) = delete;

  Outcome Run(const Case& one, Strategy& strategy, const Limits& limits);
  // Of the last schedule.
  const Report& report() const { return *report_; }
  // The last schedule as a script. REQUIRES: report().lost_decisions == 0.
  Script ScriptOf(const Case& one) const;

 private:
  [[noreturn]] void RunInChild(const Case& one, Strategy& strategy,
                               const Limits& limits);
  std::string TakeOutput();

  Report* const report_;  // shared with the child
  const int output_;      // a file that takes what the child prints
};

}  // namespace twostep::explore

#endif  // EXPLORE_RUNNER_H_
