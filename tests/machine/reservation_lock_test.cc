#include "twostep/machine/reservation_lock.h"

#include <algorithm>
#include <array>
#include <deque>
#include <random>
#include <vector>

#include "gtest/gtest.h"

namespace twostep {
namespace {

using Meeting = ReservationLock::Meeting;
using Outcome = ReservationLock::Outcome;

constexpr WaitLimit kForever;

// Polls: what the other thread is about to do happens without our help.
template <typename Condition>
void Await(Condition condition) {
  for (uint64_t rounds = 0; !condition(); ++rounds) YieldFor(rounds);
}

TEST(ReservationLock, KnowsWhoHasIt) {
  ReservationLock lock;
  EXPECT_FALSE(lock.Held());
  lock.Lock();
  EXPECT_TRUE(lock.HeldByMe());
  EXPECT_FALSE(lock.HeldByOther());
  EXPECT_FALSE(lock.TryLock());
  EXPECT_EQ(lock.LockWithin(kForever, Meeting::kWait), Outcome::kMine);
  Thread([&] {
    EXPECT_TRUE(lock.HeldByOther());
    EXPECT_FALSE(lock.HeldByMe());
    EXPECT_EQ(lock.LockWithin({WaitLimit::Mode::kNoWait}, Meeting::kWait),
              Outcome::kBusy);
  }).Join();
  lock.Unlock();
  EXPECT_FALSE(lock.Held());
}

TEST(ReservationLock, AWaitEndsAtItsDeadlineAndWhenInterrupted) {
  ReservationLock lock;
  lock.Lock();
  Interrupt interrupt;
  Atomic<bool> waits{false};
  Thread waiter([&] {
    EXPECT_EQ(lock.LockWithin(WaitLimit::Within(1'000'000), Meeting::kWait),
              Outcome::kDeadline);
    WaitLimit limit;
    limit.interrupt = &interrupt;
    waits.store(true);
    EXPECT_EQ(lock.LockWithin(limit, Meeting::kWait), Outcome::kInterrupted);
    // Raised before the wait counts, too.
    EXPECT_EQ(lock.LockWithin(limit, Meeting::kWait), Outcome::kInterrupted);
    interrupt.Clear();
    waits.store(false);
    EXPECT_EQ(lock.LockWithin(limit, Meeting::kWait), Outcome::kTaken);
    lock.Unlock();
  });
  Await([&] { return waits.load(); });
  interrupt.Raise();
  Await([&] { return !waits.load(); });
  lock.Unlock();
  waiter.Join();
  EXPECT_FALSE(lock.Held());
}

TEST(ReservationLock, AYoungerTicketBacksOffFromAnOlderHolder) {
  ReservationLock lock;
  Ticket older;
  lock.Lock();
  Thread([&] {
    Ticket younger;
    EXPECT_TRUE(older.OlderThan(younger));
    EXPECT_EQ(lock.LockWithin(kForever, Meeting::kBackOff), Outcome::kBackOff);
    EXPECT_EQ(lock.LockWithin(WaitLimit::Within(1), Meeting::kWait),
              Outcome::kDeadline);
  }).Join();
  lock.Unlock();
}

TEST(ReservationLock, AnOlderTicketWaitsForAYoungerHolder) {
  ReservationLock lock;
  Ticket older;
  Atomic<bool> held{false};
  Thread holder([&] {
    Ticket younger;
    lock.Lock();
    held.store(true);
    Await([&] { return lock.DebugHasWaiters(); });
    lock.Unlock();
  });
  Await([&] { return held.load(); });
  EXPECT_EQ(lock.LockWithin(kForever, Meeting::kBackOff), Outcome::kTaken);
  lock.Unlock();
}

// The younger one waited for a holder that was younger still. When the oldest
// gets the lock, waiting on would be waiting for an older holder.
TEST(ReservationLock, HandedToTheOldestAndTheYoungerBackOff) {
  ReservationLock lock;
  std::deque<Atomic<bool>> waits(2);
  Outcome outcomes[2];
  Atomic<bool> released{false};
  Atomic<int> tickets{0};
  std::vector<Thread> threads;
  for (int t = 0; t < 2; ++t) {
    threads.emplace_back([&, t] {
      Await([&] { return tickets.load() == t; });
      Ticket ticket;
      tickets.fetch_add(1);
      // The younger one first.
      Await([&] { return tickets.load() == 3 && (t == 1 || waits[1]); });
      waits[t].store(true);
      outcomes[t] = lock.LockWithin(kForever, Meeting::kBackOff);
      if (outcomes[t] != Outcome::kTaken) return;
      Await([&] { return released.load(); });
      lock.Unlock();
    });
  }
  Thread holder([&] {
    Await([&] { return tickets.load() == 2; });
    Ticket youngest;
    lock.Lock();
    tickets.fetch_add(1);
    Await([&] { return waits[0].load() && lock.DebugHasWaiters(); });
    // Both are asleep, or will find the lock taken: no order is given away.
    for (int i = 0; i < 50; ++i) YieldFor(100);
    lock.Unlock();
  });
  threads[1].Join();
  released.store(true);
  threads[0].Join();
  EXPECT_EQ(outcomes[0], Outcome::kTaken);
  EXPECT_EQ(outcomes[1], Outcome::kBackOff);
}

// R11 in small: any number of threads take random sets in random order. The
// counters are guarded by the locks alone.
TEST(ReservationLock, RandomSetsAllFinish) {
  constexpr int kLocks = 8;
  constexpr int kRounds = 300;
  std::array<ReservationLock, kLocks> locks;
  std::array<uint64_t, kLocks> counters{};
  std::vector<Thread> threads;
  for (uint32_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937 random(t);
      for (int round = 0; round < kRounds; ++round) {
        std::vector<int> wanted;
        for (int lock = 0; lock < kLocks; ++lock) {
          if (random() % 2 == 0) wanted.push_back(lock);
        }
        std::shuffle(wanted.begin(), wanted.end(), random);
        Ticket ticket;
        for (int contended = -1;;) {
          std::vector<int> held;
          if (contended >= 0) {
            ASSERT_EQ(locks[contended].LockWithin(kForever, Meeting::kWait),
                      Outcome::kTaken);
            held.push_back(contended);
          }
          contended = -1;
          for (const int lock : wanted) {
            const Outcome outcome =
                locks[lock].LockWithin(kForever, Meeting::kBackOff);
            if (outcome == Outcome::kTaken) {
              held.push_back(lock);
            } else if (outcome == Outcome::kBackOff) {
              contended = lock;
              break;
            }
            YieldFor(0);
          }
          if (contended < 0) {
            for (const int lock : held) ++counters[lock];
          }
          for (const int lock : held) locks[lock].Unlock();
          if (contended < 0) break;
        }
      }
    });
  }
  threads.clear();
  uint64_t total = 0;
  for (const uint64_t counter : counters) total += counter;
  EXPECT_GT(total, 0u);
}

TEST(InTransit, OthersHereAreWaitedForOnceAndOneselfNever) {
  int here = 0;
  int elsewhere = 0;
  InTransit mine(&here);
  EXPECT_EQ(mine.WaitForOthers(kForever), Outcome::kTaken);
  for (int* where : {&here, &elsewhere}) {
    Atomic<bool> entered{false};
    Atomic<bool> leave{false};
    Thread other([&] {
      InTransit outer(where);
      { InTransit inner(where); }
      entered.store(true);
      Await([&] { return leave.load(); });
    });
    Await([&] { return entered.load(); });
    if (where == &here) {
      EXPECT_EQ(mine.WaitForOthers({WaitLimit::Mode::kNoWait}), Outcome::kBusy);
      EXPECT_EQ(mine.WaitForOthers(WaitLimit::Within(1'000'000)),
                Outcome::kDeadline);
      leave.store(true);
    }
    EXPECT_EQ(mine.WaitForOthers(kForever), Outcome::kTaken);
    leave.store(true);
  }
}

// It would never end: the other one waits for what this thread has.
TEST(InTransit, AnOlderOneThatWaitsForUsIsMadeWayFor) {
  int here = 0;
  ReservationLock lock;
  Atomic<bool> aged{false};
  Atomic<bool> taken{false};
  Thread older([&] {
    Ticket ticket;
    aged.store(true);
    Await([&] { return taken.load(); });
    InTransit transit(&here);
    EXPECT_EQ(lock.LockWithin(kForever, Meeting::kBackOff), Outcome::kTaken);
    lock.Unlock();
  });
  Await([&] { return aged.load(); });
  Ticket younger;
  lock.Lock();
  taken.store(true);
  Await([&] { return lock.DebugHasWaiters(); });
  InTransit mine(&here);
  EXPECT_EQ(mine.WaitForOthers(kForever), Outcome::kBackOff);
  lock.Unlock();
}

// Nor would this: each waits for the other to come out.
TEST(InTransit, OfTwoThatWaitForEachOtherTheYoungerMakesWay) {
  int here = 0;
  Atomic<int> ready{0};
  Atomic<int> outcomes[2] = {-1, -1};
  std::vector<Thread> threads;
  for (int t = 0; t < 2; ++t) {
    threads.emplace_back([&, t] {
      Await([&] { return ready.load() >= t; });
      Ticket ticket;
      InTransit transit(&here);
      ready += 1;
      Await([&] { return ready.load() == 2; });
      outcomes[t].store(static_cast<int>(transit.WaitForOthers(kForever)));
    });
  }
  threads.clear();
  EXPECT_EQ(outcomes[0].load(), static_cast<int>(Outcome::kTaken));
  EXPECT_EQ(outcomes[1].load(), static_cast<int>(Outcome::kBackOff));
}

// As a callback of one host that calls into another one is.
TEST(InTransit, WhoIsInTwoPlacesIsWaitedForInEitherUntilItIsOutOfBoth) {
  int first = 0;
  int second = 0;
  int third = 0;
  enum { kOutside, kInFirst, kInBoth, kBackInFirst, kOut };
  Atomic<int> want{kOutside};
  Atomic<int> is{kOutside};
  const auto go_on = [&](int stage) {
    is.store(stage);
    Await([&] { return want.load() > stage; });
  };
  Thread other([&] {
    {
      InTransit outer(&first);
      go_on(kInFirst);
      {
        InTransit inner(&second);
        go_on(kInBoth);
      }
      go_on(kBackInFirst);
    }
    is.store(kOut);
  });
  const auto busy = [](const void* where) {
    return InTransit(where).WaitForOthers({WaitLimit::Mode::kNoWait}) ==
           Outcome::kBusy;
  };
  for (const int stage : {kInFirst, kInBoth, kBackInFirst, kOut}) {
    want.store(stage);
    Await([&] { return is.load() == stage; });
    EXPECT_EQ(busy(&first), stage != kOut) << stage;
    EXPECT_EQ(busy(&second), stage == kInBoth || stage == kBackInFirst);
    if (stage == kInFirst || stage == kOut) {
      EXPECT_FALSE(busy(&third));
    }
  }
  want.store(kOut + 1);
}

}  // namespace
}  // namespace twostep
