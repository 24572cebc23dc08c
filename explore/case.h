#ifndef EXPLORE_CASE_H_
#define EXPLORE_CASE_H_

// What a case is, and what it may say while a schedule of it runs. Its body
// runs in a process of its own for every schedule, as fiber 0: it makes what it
// needs, starts Threads, joins them, and checks. It must do the same whenever
// the same fibers run: no real clock, no random device.

#include <functional>
#include <string>

#include "absl/strings/string_view.h"

namespace twostep::explore {

struct Case {
  std::string name;
  std::string about;
  std::function<void()> body;
};

// The case has gone wrong: ends the schedule. The first line says how, and
// what a shrunk schedule must still show.
[[noreturn]] void Fail(absl::string_view why);
inline void Expect(bool condition, absl::string_view why) {
  if (!condition) Fail(why);
}
// Somebody has got on: a livelock is a time without any of this, and without
// any fiber ending.
void Progress();

}  // namespace twostep::explore

#endif  // EXPLORE_CASE_H_
