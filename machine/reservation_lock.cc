#include "twostep/machine/reservation_lock.h"

#include <array>

#include "absl/container/inlined_vector.h"

namespace twostep {

using internal::ReservationHolder;

namespace {

// Holders, once made, stay: locks and waiters point at them.
struct AllHolders {
  // Every holder there is, newest first. Never shrinks.
  Atomic<ReservationHolder*> first{nullptr};
  SpinLock lock;
  absl::InlinedVector<ReservationHolder*, 64> unused ABSL_GUARDED_BY(lock);
  uint32_t count ABSL_GUARDED_BY(lock) = 0;
};

// Threads may end after static objects do: never destroyed.
AllHolders& Registry() {
  static AllHolders* const registry = new AllHolders;
  return *registry;
}

// Gives the holder back when its thread ends.
struct HolderOfThread {
  ReservationHolder* holder = nullptr;
  ~HolderOfThread() {
    if (holder == nullptr) return;
    internal::HolderOrNull() = nullptr;
    AllHolders& all = Registry();
    SpinLockHolder hold(all.lock);
    all.unused.push_back(holder);
  }
};
HolderOfThread& OfThisThread() {
  return PerThread<HolderOfThread, HolderOfThread>::Get();
}

// Where threads wait. Locks share a few, by address.
struct WaitingRoom {
  Mutex mutex;
  ReservationHolder* first ABSL_GUARDED_BY(mutex) = nullptr;

  void Add(ReservationHolder& waiter) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    waiter.next_waiter = first;
    first = &waiter;
  }
  void Remove(ReservationHolder& waiter) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    ReservationHolder** link = &first;
    while (*link != &waiter) link = &(*link)->next_waiter;
    *link = waiter.next_waiter;
  }
};

WaitingRoom& RoomOf(const ReservationLock& lock) {
  static std::array<WaitingRoom, kWaitingRooms>* const rooms =
      new std::array<WaitingRoom, kWaitingRooms>;
  const auto address = reinterpret_cast<uintptr_t>(&lock);
  return (*rooms)[(address >> 6 ^ address >> 12) % kWaitingRooms];
}

uint64_t NextStamp() {
  static constinit Atomic<uint64_t> next{1};
  return next.fetch_add(1, std::memory_order_relaxed);
}

uint64_t StampOf(const ReservationHolder& holder) {
  return holder.stamp.load(std::memory_order_relaxed);
}

// Whether the one that waits must give way to the one that has.
bool MustBackOff(const ReservationHolder& waits, const ReservationHolder& has) {
  const uint64_t stamp = StampOf(has);
  return waits.may_back_off && stamp != 0 && stamp < StampOf(waits);
}

}  // namespace

ReservationHolder* internal::NewHolder() {
  AllHolders& all = Registry();
  ReservationHolder* holder = nullptr;
  uint32_t number = 0;
  {
    SpinLockHolder hold(all.lock);
    if (!all.unused.empty()) {
      holder = all.unused.back();
      all.unused.pop_back();
    } else {
      number = all.count++;
    }
  }
  if (holder == nullptr) {
    holder = new ReservationHolder(number);
    holder->next = all.first.load(std::memory_order_relaxed);
    while (!all.first.compare_exchange_weak(holder->next, holder,
                                            std::memory_order_release,
                                            std::memory_order_relaxed)) {
    }
  }
  OfThisThread().holder = holder;
  HolderOrNull() = holder;
  return holder;
}

void ReservationLock::LockSlow() {
  const Outcome outcome = LockSlow(WaitLimit{}, Meeting::kWait);
  // Waiting for itself would never end.
  TWOSTEP_CHECK(outcome == Outcome::kTaken);
}

ReservationLock::Outcome ReservationLock::LockSlow(const WaitLimit& limit,
                                                   Meeting meeting) {
  if (HeldByMe()) return Outcome::kMine;
  if (limit.mode == WaitLimit::Mode::kNoWait) return Outcome::kBusy;
  for (int spins = 0; spins < kSpinsBeforeSleep; ++spins) {
    if (!Held() && TryLock()) return Outcome::kTaken;
    CpuRelax();
  }

  ReservationHolder& me = *internal::ThisHolder();
  WaitingRoom& room = RoomOf(*this);
  Interrupt::Sleep sleep(limit.interrupt, room.mutex, me.wake);
  MutexLock lock(room.mutex);
  me.may_back_off = meeting == Meeting::kBackOff && StampOf(me) != 0;
  for (;;) {
    uintptr_t word = word_.load(std::memory_order_acquire);
    if (word == 0) {
      if (TryLock()) return Outcome::kTaken;
      continue;
    }
    if (MustBackOff(me, *Holder(word))) return Outcome::kBackOff;
    // Marked under the room's mutex: the holder looks for us there.
    if ((word & kWaiters) != 0 ||
        word_.compare_exchange_strong(word, word | kWaiters,
                                      std::memory_order_relaxed)) {
      break;
    }
  }
  // Without a ticket it is as old as its wait.
  me.age = StampOf(me) != 0 ? StampOf(me) : NextStamp();
  me.wait = ReservationHolder::Wait::kWaiting;
  me.waits_for = this;
  me.waits_on.store(Holder(word_.load(std::memory_order_acquire)),
                    std::memory_order_release);
  room.Add(me);
  Outcome outcome = Outcome::kTaken;
  while (me.wait == ReservationHolder::Wait::kWaiting &&
         outcome == Outcome::kTaken) {
    switch (limit.Ended()) {
      case WaitLimit::End::kNot:
        limit.SleepOn(me.wake, room.mutex);
        break;
      case WaitLimit::End::kDeadline:
        outcome = Outcome::kDeadline;
        break;
      case WaitLimit::End::kInterrupted:
        outcome = Outcome::kInterrupted;
        break;
    }
  }
  me.waits_on.store(nullptr, std::memory_order_release);
  if (me.wait == ReservationHolder::Wait::kWaiting) {
    room.Remove(me);
    return outcome;
  }
  return me.wait == ReservationHolder::Wait::kTaken ? Outcome::kTaken
                                                    : Outcome::kBackOff;
}

// To the oldest that waits. Those who wait on, holding reservations of their
// own, are younger than the new holder: they back off.
void ReservationLock::HandOver() {
  WaitingRoom& room = RoomOf(*this);
  MutexLock lock(room.mutex);
  ReservationHolder* oldest = nullptr;
  for (ReservationHolder* waiter = room.first; waiter != nullptr;
       waiter = waiter->next_waiter) {
    if (waiter->waits_for == this &&
        (oldest == nullptr || waiter->age < oldest->age)) {
      oldest = waiter;
    }
  }
  if (oldest == nullptr) {
    word_.store(0, std::memory_order_release);
    return;
  }
  room.Remove(*oldest);
  bool others = false;
  for (ReservationHolder** link = &room.first; *link != nullptr;) {
    ReservationHolder& waiter = **link;
    const bool ours = waiter.waits_for == this;
    if (ours && MustBackOff(waiter, *oldest)) {
      *link = waiter.next_waiter;
      waiter.wait = ReservationHolder::Wait::kBackOff;
      waiter.wake.NotifyAll();
      continue;
    }
    if (ours) waiter.waits_on.store(oldest, std::memory_order_release);
    others |= ours;
    link = &waiter.next_waiter;
  }
  word_.store(reinterpret_cast<uintptr_t>(oldest) | (others ? kWaiters : 0),
              std::memory_order_release);
  oldest->wait = ReservationHolder::Wait::kTaken;
  oldest->wake.NotifyAll();
}

Ticket::Ticket() : holder_(internal::ThisHolder()) {
  if (holder_->tickets++ == 0) {
    holder_->stamp.store(NextStamp(), std::memory_order_relaxed);
  }
}

Ticket::~Ticket() {
  if (--holder_->tickets == 0) {
    holder_->stamp.store(0, std::memory_order_relaxed);
  }
}

InTransit::InTransit(const void* where)
    : holder_(internal::ThisHolder()), where_(where) {
  if (holder_->transits++ != 0) {
    if (holder_->transit_where.load(std::memory_order_relaxed) != where) {
      holder_->transit_where.store(nullptr, std::memory_order_release);
    }
    return;
  }
  holder_->transit_where.store(where, std::memory_order_relaxed);
  holder_->transit.store(holder_->transit.load(std::memory_order_relaxed) + 1,
                         std::memory_order_release);
}

InTransit::~InTransit() {
  if (--holder_->transits != 0) return;
  holder_->transit.store(holder_->transit.load(std::memory_order_relaxed) + 1,
                         std::memory_order_release);
}

bool InTransit::MayBeHere(const ReservationHolder& other) const {
  const void* const where = other.transit_where.load(std::memory_order_acquire);
  return where == where_ || where == nullptr;
}

// Whether waiting for `other` might be waiting for ourselves. Of two that would
// wait for each other the younger makes way.
bool InTransit::MustMakeWay(const ReservationHolder& other) const {
  const uint64_t mine = StampOf(*holder_);
  // Others that wait for everybody wait for us as well; in two places we may be
  // waited for in either.
  const bool in_several =
      holder_->transit_where.load(std::memory_order_relaxed) == nullptr;
  for (const ReservationHolder* one =
           Registry().first.load(std::memory_order_acquire);
       one != nullptr; one = one->next) {
    if (one != holder_ && one->settling.load(std::memory_order_acquire) &&
        (in_several || MayBeHere(*one)) && StampOf(*one) < mine) {
      return true;
    }
  }
  // Who waits for a lock of ours and is younger is about to back off by itself.
  static constexpr int kMostHops = 64;
  const ReservationHolder* one = &other;
  for (int hops = 0; hops < kMostHops; ++hops) {
    const ReservationHolder* const next =
        one->waits_on.load(std::memory_order_acquire);
    if (next == nullptr) return false;
    if (next == holder_) return StampOf(*one) < mine;
    one = next;
  }
  return false;
}

ReservationLock::Outcome InTransit::WaitForOthers(const WaitLimit& limit) {
  using Outcome = ReservationLock::Outcome;
  holder_->settling.store(true, std::memory_order_release);
  Outcome outcome = Outcome::kTaken;
  for (ReservationHolder* other =
           Registry().first.load(std::memory_order_acquire);
       other != nullptr && outcome == Outcome::kTaken; other = other->next) {
    const uint64_t seen = other->transit.load(std::memory_order_acquire);
    if (other == holder_ || seen % 2 == 0 || !MayBeHere(*other)) continue;
    for (uint64_t waits = 0;
         outcome == Outcome::kTaken &&
         other->transit.load(std::memory_order_acquire) == seen;
         ++waits) {
      if (limit.mode == WaitLimit::Mode::kNoWait) {
        outcome = Outcome::kBusy;
      } else if (MustMakeWay(*other)) {
        outcome = Outcome::kBackOff;
      } else if (const WaitLimit::End end = limit.Ended();
                 end != WaitLimit::End::kNot) {
        outcome = end == WaitLimit::End::kDeadline ? Outcome::kDeadline
                                                   : Outcome::kInterrupted;
      } else {
        YieldFor(waits);
      }
    }
  }
  holder_->settling.store(false, std::memory_order_release);
  return outcome;
}

}  // namespace twostep
