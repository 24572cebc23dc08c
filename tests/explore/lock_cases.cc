// The reservation lock alone: tickets, hand-over, waits that end, transits.

#include <array>
#include <vector>

#include "tests/explore/cases.h"
#include "twostep/explore/history.h"
#include "twostep/machine/reservation_lock.h"

namespace twostep::explore {
namespace {

using Meeting = ReservationLock::Meeting;
using Outcome = ReservationLock::Outcome;

// Whether somebody is where only one may be.
class Inside {
 public:
  void Enter() { Expect(++count_ == 1, "two are inside"); }
  void Leave() { --count_; }

 private:
  int count_ = 0;
};

void Exclusive() {
  ReservationLock lock;
  Inside inside;
  const auto rounds = [&] {
    for (int round = 0; round < 2; ++round) {
      lock.Lock();
      inside.Enter();
      Expect(lock.HeldByMe(), "the holder does not have it");
      inside.Leave();
      lock.Unlock();
      Progress();
    }
  };
  {
    std::vector<Thread> threads;
    for (int t = 0; t < 3; ++t) threads.emplace_back(rounds);
  }
  Expect(!lock.Held(), "held by nobody");
}

// Takes both locks with one ticket, as an exec does: backs off, waits for the
// lost one, starts again.
class Pair {
 public:
  void TakeBoth(int first) {
    Ticket ticket;
    for (;;) {
      ReservationLock& one = locks_[first];
      ReservationLock& other = locks_[1 - first];
      Expect(one.LockWithin({}, Meeting::kWait) == Outcome::kTaken,
             "a wait without end ended");
      const Outcome outcome = other.LockWithin({}, Meeting::kBackOff);
      if (outcome == Outcome::kTaken) break;
      Expect(outcome == Outcome::kBackOff, "a wait without end ended");
      one.Unlock();
      Expect(other.LockWithin({}, Meeting::kWait) == Outcome::kTaken,
             "a wait without end ended");
      other.Unlock();
    }
    inside_.Enter();
    inside_.Leave();
    locks_[0].Unlock();
    locks_[1].Unlock();
  }
  void CheckFree() const {
    for (const ReservationLock& lock : locks_) {
      Expect(!lock.Held(), "held by nobody");
    }
  }

 private:
  ReservationLock locks_[2];
  Inside inside_;
};

void Crosswise(int threads) {
  Pair pair;
  {
    std::vector<Thread> all;
    for (int t = 0; t < threads; ++t) {
      all.emplace_back([&pair, t] { pair.TakeBoth(t % 2); });
    }
  }
  pair.CheckFree();
}

// A ring: each wants its own lock and the next one's.
void Ring() {
  std::array<ReservationLock, 3> locks;
  {
    std::vector<Thread> threads;
    for (size_t t = 0; t < locks.size(); ++t) {
      threads.emplace_back([&, t] {
        Ticket ticket;
        ReservationLock& mine = locks[t];
        ReservationLock& next = locks[(t + 1) % locks.size()];
        for (;;) {
          mine.LockWithin({}, Meeting::kWait);
          if (next.LockWithin({}, Meeting::kBackOff) == Outcome::kTaken) break;
          mine.Unlock();
          next.LockWithin({}, Meeting::kWait);
          next.Unlock();
        }
        mine.Unlock();
        next.Unlock();
      });
    }
  }
  for (ReservationLock& lock : locks) Expect(!lock.Held(), "held by nobody");
}

// Waits that end by themselves or by others, beside one that does not.
void EndedWaits() {
  ReservationLock lock;
  Interrupt interrupt;
  Inside inside;
  const auto try_within = [&](const WaitLimit& limit, Outcome end) {
    const Outcome outcome = lock.LockWithin(limit, Meeting::kWait);
    Expect(outcome == Outcome::kTaken || outcome == end, "another end");
    if (outcome != Outcome::kTaken) return;
    inside.Enter();
    inside.Leave();
    lock.Unlock();
  };
  {
    lock.Lock();
    inside.Enter();
    Thread hurried(
        [&] { try_within(WaitLimit::Within(20'000), Outcome::kDeadline); });
    Thread interrupted([&] {
      WaitLimit limit;
      limit.interrupt = &interrupt;
      try_within(limit, Outcome::kInterrupted);
    });
    Thread patient([&] { try_within({}, Outcome::kTaken); });
    interrupt.Raise();
    inside.Leave();
    lock.Unlock();
  }
  Expect(!lock.Held(), "held by nobody");
}

// Given back when others wait for it, or are about to.
void Waiters() {
  ReservationLock lock;
  Inside inside;
  const auto once = [&] {
    lock.Lock();
    inside.Enter();
    inside.Leave();
    lock.Unlock();
  };
  lock.Lock();
  {
    Thread one(once);
    Thread other(once);
    // As often as who waits spins, and once more.
    for (int i = 0; i <= kSpinsBeforeSleep; ++i) CpuRelax();
    lock.Unlock();
  }
  Expect(!lock.Held(), "held by nobody");
}

// In transit, each waits for the others to come out of it.
void Transits(int threads) {
  const int where = 0;
  std::vector<Thread> all;
  for (int t = 0; t < threads; ++t) {
    all.emplace_back([&where] {
      Ticket ticket;
      for (bool done = false; !done; CpuRelax()) {
        InTransit transit(&where);
        const Outcome outcome = transit.WaitForOthers({});
        Expect(outcome == Outcome::kTaken || outcome == Outcome::kBackOff,
               "a wait without end ended");
        done = outcome == Outcome::kTaken;
      }
    });
  }
}

// A transit that ends only once its own wait for a lock has, while the one that
// has the lock waits for all transits.
void TransitAndLock() {
  const int where = 0;
  ReservationLock lock;
  {
    Thread waits([&] {
      Ticket ticket;
      for (bool done = false; !done; CpuRelax()) {
        InTransit transit(&where);
        done = lock.LockWithin({}, Meeting::kBackOff) == Outcome::kTaken;
      }
      lock.Unlock();
    });
    Thread settles([&] {
      Ticket ticket;
      for (bool done = false; !done; CpuRelax()) {
        InTransit transit(&where);
        if (lock.LockWithin({}, Meeting::kBackOff) != Outcome::kTaken) continue;
        done = transit.WaitForOthers({}) == Outcome::kTaken;
        lock.Unlock();
      }
    });
  }
  Expect(!lock.Held(), "held by nobody");
}

// Who has each lock; -1: nobody.
struct LockModel {
  std::array<int, 2> owner{-1, -1};
};

void Linearizable() {
  ReservationLock locks[2];
  History<LockModel> history;
  const auto try_lock = [&](int me, int which) {
    return history.Do(
        std::to_string(me) + " tries " + std::to_string(which),
        [&] { return locks[which].TryLock(); },
        [=](LockModel& model, bool taken) {
          const bool free = model.owner[which] == -1;
          if (taken && free) model.owner[which] = me;
          return taken == free;
        });
  };
  const auto unlock = [&](int me, int which) {
    history.Do(
        std::to_string(me) + " unlocks " + std::to_string(which),
        [&] {
          locks[which].Unlock();
          return true;
        },
        [=](LockModel& model, bool) {
          return std::exchange(model.owner[which], -1) == me;
        });
  };
  const auto wait = [&](int me, int which) {
    history.Do(
        std::to_string(me) + " waits for " + std::to_string(which),
        [&] {
          locks[which].Lock();
          return true;
        },
        [=](LockModel& model, bool) {
          return std::exchange(model.owner[which], me) == -1;
        });
  };
  {
    Thread one([&] {
      wait(1, 0);
      if (try_lock(1, 1)) unlock(1, 1);
      unlock(1, 0);
    });
    Thread two([&] {
      wait(2, 1);
      if (try_lock(2, 0)) unlock(2, 0);
      unlock(2, 1);
    });
    Thread three([&] {
      if (try_lock(3, 0)) unlock(3, 0);
    });
  }
  Expect(history.Linearizable({}), "no order explains:\n" + history.Describe());
}

}  // namespace

std::vector<Case> LockCases() {
  return {
      {"lock/exclusive", "three take one lock", Exclusive},
      {"lock/crosswise_2", "two take two locks in both orders",
       [] { Crosswise(2); }},
      {"lock/crosswise_3", "three do", [] { Crosswise(3); }},
      {"lock/ring", "three take two of three locks", Ring},
      {"lock/ended_waits", "deadline and interrupt beside a wait", EndedWaits},
      {"lock/waiters", "two wait for one lock that is given back", Waiters},
      {"lock/transits_2", "two settle at once", [] { Transits(2); }},
      {"lock/transits_3", "three do", [] { Transits(3); }},
      {"lock/transit_and_lock", "settling with a lock another waits for",
       TransitAndLock},
      {"lock/linearizable", "try, wait and unlock against a model",
       Linearizable},
  };
}

}  // namespace twostep::explore
