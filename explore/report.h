#ifndef EXPLORE_REPORT_H_
#define EXPLORE_REPORT_H_

// What one schedule did, in memory that the process it ran in shares with the
// one that asked for it.

#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "twostep/explore/schedule.h"

namespace twostep::explore {

enum class End : uint8_t {
  kNone,      // did not get to an end: it crashed
  kDone,      // every fiber finished
  kFailed,    // the case said so
  kDeadlock,  // nobody can run, and nobody will
  kLivelock,  // under a fair schedule, too many steps without progress
};

struct Limits {
  // Steps without progress after which the strategy is no longer asked and
  // fibers take turns; after twice as many it is a livelock.
  uint64_t unfair_steps = 50'000;
  // What the report says of where fibers were: slow.
  enum class Explain : uint8_t { kNothing, kSwitches, kSteps };
  Explain explain = Explain::kNothing;
};

class Report {
 public:
  void Clear();
  // What fits is kept.
  void Append(absl::string_view text);
  void Add(const Decision& decision);

  absl::string_view text() const { return {text_, text_size_}; }
  absl::Span<const Decision> decisions() const {
    return {decisions_, decisions_size_};
  }

  End end = End::kNone;
  uint64_t steps = 0;
  uint64_t trace = 0;
  // Decisions that did not fit: such a schedule has no script.
  uint64_t lost_decisions = 0;

 private:
  static constexpr size_t kMaxText = 1 << 21;
  static constexpr size_t kMaxDecisions = 1 << 20;

  size_t text_size_ = 0;
  size_t decisions_size_ = 0;
  char text_[kMaxText];
  Decision decisions_[kMaxDecisions];
};

}  // namespace twostep::explore

#endif  // EXPLORE_REPORT_H_
