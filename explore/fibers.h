#ifndef EXPLORE_FIBERS_H_
#define EXPLORE_FIBERS_H_

// Fibers on Boost.Context, and the scheduler that runs one of them at a time.
// Time is virtual: a step takes a microsecond, and when nobody can run it goes
// on to the first deadline. Knows the strategy only by what it chooses.
//
// A schedule that goes wrong ends its process: what ran it is in no state to be
// unwound.

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <vector>

#include "boost/context/fiber.hpp"
#include "twostep/explore/report.h"
#include "twostep/explore/strategy.h"
#include "twostep/machine/fiber_scheduler.h"

namespace twostep::explore {

class Fibers final : public fibers::Scheduler {
 public:
  // All must outlive it.
  Fibers(Strategy& strategy, const Limits& limits, Report& report);
  Fibers(const Fibers&) = delete;
  Fibers& operator=(const Fibers&) = delete;

  // Runs `body` as fiber 0, and what it starts. Returns when all have ended
  // well; else the process ends, with the report filled in.
  void Run(const std::function<void()>& body);

  // Somebody got on: the count of steps without progress starts again.
  void Progress() { progress_at_ = report_.steps; }
  [[noreturn]] void Finish(End end, absl::string_view why);

  void Point(fibers::Op op, bool relaxed) override;
  void Poll(uint64_t microseconds) override;
  bool Block(const void* where, const char* what, int owner,
             std::chrono::steady_clock::time_point deadline) override;
  void WakeAll(const void* where) override;
  int Start(std::function<void()> body) override;
  void Join(int fiber) override;
  int current() const override { return current_; }
  std::chrono::steady_clock::time_point now() const override { return now_; }
  void* Local(const fibers::LocalKey& key) override;

 private:
  using Time = std::chrono::steady_clock::time_point;
  enum class State : uint8_t { kReady, kPolling, kBlocked, kEnded };

  struct Fiber {
    boost::context::fiber context;  // while it does not run
    std::function<void()> body;
    State state = State::kReady;
    uint32_t steps = 0;
    // Blocked: where, and until when. Polling: until when at the latest.
    const void* where = nullptr;
    const char* what = "";
    int owner = -1;
    Time until;
    bool timed_out = false;
    // Polling: the writes there had been.
    uint64_t seen_writes = 0;
    struct Local {
      const fibers::LocalKey* key;
      void* value;
    };
    std::vector<Local> locals;
  };

  // The running fiber is at a step of its own.
  void Step(uint8_t code);
  void Expire();
  uint32_t Eligible() const;
  // Time goes on to when somebody can run. False: nobody ever can.
  bool SkipIdleTime();
  // Who runs next, of at least one that can.
  int Pick(bool relaxed, const char* doing);
  void GoOn(bool relaxed, const char* doing);
  void SwitchTo(int next);
  void DestroyLocals();
  [[noreturn]] void ReportDeadlock();
  void CheckProgress();
  // Which fibers there are, and what each waits for.
  std::string Describe() const;
  void Explain(const Decision& at, const char* doing);

  Strategy& strategy_;
  const Limits limits_;
  Report& report_;
  std::deque<Fiber> fibers_;
  int current_ = 0;
  int previous_ = 0;  // the one that ran before
  int alive_ = 1;
  uint64_t writes_ = 0;
  uint64_t progress_at_ = 0;
  Time now_{};
};

// Where the caller is, innermost first, as far as it is not this library's
// scheduling: "A < B < C".
std::string Whereabouts();

}  // namespace twostep::explore

#endif  // EXPLORE_FIBERS_H_
