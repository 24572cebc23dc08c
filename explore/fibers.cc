#include "twostep/explore/fibers.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "absl/debugging/stacktrace.h"
#include "absl/debugging/symbolize.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "boost/context/protected_fixedsize_stack.hpp"
#include "twostep/machine/check.h"
#include "twostep/machine/sync.h"

#ifndef TWOSTEP_FIBERS
#error "the library under test runs on threads: build with --config=fibers"
#endif

namespace twostep::explore {
namespace {

using std::chrono::microseconds;

// A CPU fault is served on the stack of the fiber that faulted.
constexpr size_t kStackBytes = 256 * 1024;

const char* NameOf(fibers::Op op) {
  switch (op) {
    case fibers::Op::kLoad:
      return "before a load";
    case fibers::Op::kStore:
      return "before a store";
    case fibers::Op::kReadWrite:
      return "before a read-modify-write";
    case fibers::Op::kLock:
      return "before a lock";
    case fibers::Op::kUnlocked:
      return "after an unlock";
    case fibers::Op::kNotify:
      return "before a notification";
    case fibers::Op::kStart:
      return "after starting a fiber";
  }
  return "";
}

}  // namespace

std::string Whereabouts() {
  static constexpr int kMostFrames = 24;
  static constexpr int kMostNames = 5;
  void* frames[kMostFrames];
  const int count = absl::GetStackTrace(frames, kMostFrames, 1);
  std::string text;
  int names = 0;
  for (int i = 0; i < count && names < kMostNames; ++i) {
    char name[512];
    // The call is before the address that it returns to.
    if (!absl::Symbolize(static_cast<char*>(frames[i]) - 1, name,
                         sizeof(name))) {
      continue;
    }
    absl::string_view shown = name;
    // Where the stack of a fiber begins.
    if (shown == "make_fcontext") break;
    if (absl::StartsWith(shown, "twostep::explore::Fibers") ||
        absl::StartsWith(shown, "twostep::fibers::") ||
        absl::StartsWith(shown, "twostep::Atomic<") ||
        absl::StartsWith(shown, "std::") ||
        absl::StartsWith(shown, "boost::")) {
      continue;
    }
    absl::ConsumePrefix(&shown, "twostep::");
    absl::StrAppend(&text, names++ == 0 ? "" : " < ", shown);
  }
  return text;
}

Fibers::Fibers(Strategy& strategy, const Limits& limits, Report& report)
    : strategy_(strategy), limits_(limits), report_(report) {
  fibers_.emplace_back();
}

void Fibers::Run(const std::function<void()>& body) {
  fibers::scheduler = this;
  body();
  DestroyLocals();
  fibers::scheduler = nullptr;
  for (const Fiber& fiber : fibers_) {
    // Its Thread would have joined it.
    TWOSTEP_CHECK(&fiber == &fibers_[0] || fiber.state == State::kEnded);
  }
  Finish(End::kDone, "");
}

void Fibers::Finish(End end, absl::string_view why) {
  report_.end = end;
  report_.Append(why);
  std::_Exit(0);
}

void Fibers::Step(uint8_t code) {
  Fiber& fiber = fibers_[current_];
  ++fiber.steps;
  ++report_.steps;
  now_ += microseconds(1);
  constexpr uint64_t kPrime = 0x100000001b3;  // FNV-1a
  report_.trace = (report_.trace ^ static_cast<uint64_t>(current_)) * kPrime;
  report_.trace = (report_.trace ^ code) * kPrime;
}

void Fibers::Expire() {
  for (Fiber& fiber : fibers_) {
    if (fiber.until > now_) continue;
    if (fiber.state == State::kBlocked) {
      fiber.state = State::kReady;
      fiber.timed_out = true;
    } else if (fiber.state == State::kPolling) {
      fiber.state = State::kReady;
    }
  }
}

uint32_t Fibers::Eligible() const {
  uint32_t eligible = 0;
  for (size_t i = 0; i < fibers_.size(); ++i) {
    const Fiber& fiber = fibers_[i];
    const bool can =
        fiber.state == State::kReady ||
        (fiber.state == State::kPolling && fiber.seen_writes != writes_);
    if (can) eligible |= uint32_t{1} << i;
  }
  return eligible;
}

bool Fibers::SkipIdleTime() {
  Time first = Time::max();
  for (const Fiber& fiber : fibers_) {
    if (fiber.state == State::kPolling || fiber.state == State::kBlocked) {
      first = std::min(first, fiber.until);
    }
  }
  if (first == Time::max()) return false;
  now_ = std::max(now_, first);
  Expire();
  return true;
}

void Fibers::CheckProgress() {
  const uint64_t idle = report_.steps - progress_at_;
  if (idle <= 2 * limits_.unfair_steps) return;
  Finish(End::kLivelock,
         absl::StrCat("livelock: ", idle,
                      " steps, half of them in turns, and nobody got on\n",
                      Describe()));
}

int Fibers::Pick(bool relaxed, const char* doing) {
  Expire();
  uint32_t eligible = Eligible();
  while (eligible == 0) {
    if (!SkipIdleTime()) ReportDeadlock();
    eligible = Eligible();
  }
  CheckProgress();
  Decision at;
  at.eligible = eligible;
  at.fiber = static_cast<uint8_t>(current_);
  at.step = fibers_[current_].steps;
  at.can_stay = fibers_[current_].state == State::kReady;
  at.relaxed = relaxed;
  if (report_.steps - progress_at_ > limits_.unfair_steps) {
    // In turns, each a few steps.
    constexpr uint64_t kTurn = 8;
    at.can_stay &= report_.steps % kTurn != 0;
    return at.Default();
  }
  if ((eligible & (eligible - 1)) == 0) return __builtin_ctz(eligible);
  at.next = static_cast<uint8_t>(strategy_.Choose(at));
  TWOSTEP_CHECK((eligible >> at.next & 1) != 0);
  report_.Add(at);
  if (limits_.explain != Limits::Explain::kNothing && at.next != current_) {
    Explain(at, doing);
  }
  return at.next;
}

void Fibers::Explain(const Decision& at, const char* doing) {
  report_.Append(absl::StrCat("at ", static_cast<int>(at.fiber), ".", at.step,
                              " run ", static_cast<int>(at.next),
                              at.next == at.Default() ? "  (by itself) " : "  ",
                              doing, ", ", Whereabouts(), "\n"));
}

void Fibers::GoOn(bool relaxed, const char* doing) {
  if (limits_.explain == Limits::Explain::kSteps && alive_ > 1) {
    report_.Append(absl::StrCat("  ", current_, ".", fibers_[current_].steps,
                                " ", doing, ", ", Whereabouts(), "\n"));
  }
  const int next = Pick(relaxed, doing);
  if (next != current_) SwitchTo(next);
  fibers_[current_].state = State::kReady;
}

void Fibers::SwitchTo(int next) {
  previous_ = current_;
  current_ = next;
  boost::context::fiber from = std::move(fibers_[next].context).resume();
  // Somebody came back to us: keep where it is, unless it has ended.
  fibers_[previous_].context = std::move(from);
}

void Fibers::Point(fibers::Op op, bool relaxed) {
  Step(static_cast<uint8_t>(op));
  if (alive_ == 1) {
    // Nobody waits for it.
    Progress();
  } else {
    GoOn(relaxed, NameOf(op));
  }
  if (op != fibers::Op::kLoad && op != fibers::Op::kLock) ++writes_;
}

void Fibers::Poll(uint64_t microseconds_at_most) {
  constexpr uint8_t kCode = 32;
  Step(kCode);
  Fiber& me = fibers_[current_];
  me.state = State::kPolling;
  me.seen_writes = writes_;
  // Also when nobody writes: what it waits for may be the time.
  constexpr uint64_t kAtLeast = 100;
  me.until = now_ + microseconds(std::max(microseconds_at_most, kAtLeast));
  strategy_.Polls(current_);
  GoOn(false, "polling");
}

bool Fibers::Block(const void* where, const char* what, int owner,
                   Time deadline) {
  constexpr uint8_t kCode = 33;
  Step(kCode);
  Fiber& me = fibers_[current_];
  me.state = State::kBlocked;
  me.where = where;
  me.what = what;
  me.owner = owner;
  me.until = deadline;
  me.timed_out = false;
  GoOn(false, what);
  return !me.timed_out;
}

void Fibers::WakeAll(const void* where) {
  ++writes_;
  for (Fiber& fiber : fibers_) {
    if (fiber.state == State::kBlocked && fiber.where == where) {
      fiber.state = State::kReady;
    }
  }
}

int Fibers::Start(std::function<void()> body) {
  const int number = static_cast<int>(fibers_.size());
  TWOSTEP_CHECK(number < kMaxFibers);
  Fiber& fiber = fibers_.emplace_back();
  ++alive_;
  fiber.body = std::move(body);
  fiber.context = boost::context::fiber(
      std::allocator_arg,
      boost::context::protected_fixedsize_stack(kStackBytes),
      [this, &fiber](boost::context::fiber&& from) {
        fibers_[previous_].context = std::move(from);
        fiber.body();
        fiber.body = nullptr;
        DestroyLocals();
        constexpr uint8_t kCode = 34;
        Step(kCode);
        Progress();
        fiber.state = State::kEnded;
        --alive_;
        WakeAll(&fiber);
        const int next = Pick(false, "ending");
        previous_ = current_;
        current_ = next;
        return std::move(fibers_[next].context);
      });
  Point(fibers::Op::kStart, false);
  return number;
}

void Fibers::Join(int fiber) {
  while (fibers_[fiber].state != State::kEnded) {
    Block(&fibers_[fiber], "a fiber", fiber, Time::max());
  }
}

void* Fibers::Local(const fibers::LocalKey& key) {
  std::vector<Fiber::Local>& locals = fibers_[current_].locals;
  for (const Fiber::Local& local : locals) {
    if (local.key == &key) return local.value;
  }
  return locals.emplace_back(Fiber::Local{&key, key.make()}).value;
}

void Fibers::DestroyLocals() {
  // One may use those made before it while it goes.
  for (auto& locals = fibers_[current_].locals; !locals.empty();) {
    const Fiber::Local last = locals.back();
    locals.pop_back();
    last.key->destroy(last.value);
  }
}

void Fibers::ReportDeadlock() {
  Finish(
      End::kDeadlock,
      absl::StrCat("deadlock: nobody can run, and nobody will\n", Describe()));
}

std::string Fibers::Describe() const {
  std::string text;
  for (size_t i = 0; i < fibers_.size(); ++i) {
    const Fiber& fiber = fibers_[i];
    if (fiber.state == State::kEnded) continue;
    absl::StrAppend(&text, "  fiber ", i, ", step ", fiber.steps, ": ");
    if (fiber.state == State::kBlocked) {
      absl::StrAppend(&text, "waits for ", fiber.what);
      if (fiber.owner >= 0) {
        absl::StrAppend(&text, " of fiber ", fiber.owner);
      }
    } else {
      absl::StrAppend(&text,
                      fiber.state == State::kPolling ? "polls" : "can run");
    }
    text += '\n';
  }
  return text;
}

}  // namespace twostep::explore
