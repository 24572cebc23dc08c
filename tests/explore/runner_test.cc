// What a schedule can come to, and that the next one knows nothing of it.

#include "twostep/explore/runner.h"

#include <chrono>
#include <cstdlib>

#include "gtest/gtest.h"
#include "twostep/explore/explorer.h"
#include "twostep/machine/sync.h"
#include "twostep/machine/wait_limit.h"

namespace twostep::explore {
namespace {

Outcome RunOnce(void (*body)()) {
  return Replay(Case{"test", "", body}, Script{}, Limits{}).outcome;
}

TEST(Runner, TellsHowAScheduleEnds) {
  EXPECT_EQ(RunOnce([] {}).kind, Outcome::Kind::kDone);
  const Outcome failed = RunOnce([] { Fail("wrong, 17 times"); });
  EXPECT_EQ(failed.kind, Outcome::Kind::kFailed);
  EXPECT_EQ(failed.message, "wrong, 17 times");
  EXPECT_TRUE(failed.SameAs(RunOnce([] { Fail("wrong, 4 times\nbecause"); })));
  EXPECT_FALSE(failed.SameAs(RunOnce([] { Fail("wrong"); })));
  const Outcome crashed = RunOnce([] { TWOSTEP_CHECK(1 == 2); });
  EXPECT_EQ(crashed.kind, Outcome::Kind::kCrashed);
  EXPECT_NE(crashed.message.find("1 == 2"), std::string::npos);
  EXPECT_EQ(RunOnce([] { std::_Exit(0); }).kind, Outcome::Kind::kCrashed);
}

TEST(Runner, ADeadlockSaysWhoWaitsForWhat) {
  const Outcome outcome = RunOnce([] {
    Mutex mutex;
    MutexLock lock(mutex);
    Thread([&] { MutexLock again(mutex); }).Join();
  });
  EXPECT_EQ(outcome.kind, Outcome::Kind::kDeadlock);
  EXPECT_NE(outcome.message.find("waits for a mutex of fiber 0"),
            std::string::npos)
      << outcome.message;
  EXPECT_NE(outcome.message.find("waits for a fiber of fiber 1"),
            std::string::npos);
}

TEST(Runner, AFailureTooLongForAScriptIsToldWithoutOne) {
  const Case late{"test", "", [] {
                    Atomic<uint64_t> count{0};
                    const auto add = [&] {
                      for (int i = 0; i < 1'200'000; ++i) {
                        ++count;
                        Progress();
                      }
                    };
                    Thread other(add);
                    add();
                    other.Join();
                    Fail("in the end");
                  }};
  const Search search{.kind = Search::Kind::kRandom, .schedules = 1};
  const Found found = Explore(late, search);
  ASSERT_TRUE(found.failure.has_value());
  EXPECT_EQ(found.failure->outcome.message, "in the end");
  EXPECT_TRUE(found.failure->too_long);
  EXPECT_TRUE(Shrink(late, *found.failure, search.limits).too_long);
}

// Polls for what never comes; and does not poll, which a fair schedule alone
// would not help.
TEST(Runner, ALivelockIsNoDeadlock) {
  for (const bool polls : {true, false}) {
    const Case spins{"test", "", [polls] {
                       Atomic<bool> never{false};
                       Thread other([&] { never.wait(false); });
                       while (!never.load()) {
                         if (polls) CpuRelax();
                       }
                     }};
    EXPECT_EQ(Replay(spins, Script{}, Limits{}).outcome.kind,
              Outcome::Kind::kLivelock);
  }
}

// The rule of scripts would keep the first one running for ever.
TEST(Runner, AfterTooManyStepsFibersTakeTurns) {
  EXPECT_EQ(RunOnce([] {
              Atomic<bool> done{false};
              Thread waits([&] {
                while (!done.load()) {
                }
              });
              Thread ends([&] { done.store(true); });
            }).kind,
            Outcome::Kind::kDone);
}

TEST(Runner, DeadlinesComeInVirtualTime) {
  const auto began = std::chrono::steady_clock::now();
  const Outcome outcome = RunOnce([] {
    Mutex mutex;
    CondVar never;
    const auto start = SteadyNow();
    const auto hour = std::chrono::hours(1);
    MutexLock lock(mutex);
    while (never.WaitUntil(mutex, start + hour)) {
    }
    Expect(SteadyNow() >= start + hour, "too early");
    Expect(SteadyNow() < start + 2 * hour, "too late");
  });
  EXPECT_EQ(outcome.kind, Outcome::Kind::kDone) << outcome.message;
  EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::hours(1));
}

struct Counter {
  int value = 0;
};

TEST(Runner, AFiberHasValuesOfItsOwn) {
  const Outcome outcome = RunOnce([] {
    using Mine = PerThread<Counter, Counter>;
    Mine::Get().value = 1;
    Thread([] {
      Expect(Mine::Get().value == 0, "another fiber's");
      Mine::Get().value = 2;
    }).Join();
    Expect(Mine::Get().value == 1, "overwritten");
  });
  EXPECT_EQ(outcome.kind, Outcome::Kind::kDone) << outcome.message;
}

int runs = 0;

TEST(Runner, NothingIsLeftForTheNextSchedule) {
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(RunOnce([] { Expect(++runs == 1, "it was run before"); }).kind,
              Outcome::Kind::kDone);
  }
}

}  // namespace
}  // namespace twostep::explore
