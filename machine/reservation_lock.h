#ifndef MACHINE_RESERVATION_LOCK_H_
#define MACHINE_RESERVATION_LOCK_H_

// The lock of whatever is reserved for the length of an operation: a bo, the
// room of a memory type. One word; uncontended, a compare-and-swap to take and
// another to give back. Knows who has it. May be held across waits and copies.
//
// Those who take several are aged by a Ticket, and cannot deadlock: an older
// one waits for a younger holder, a younger one that meets an older holder
// backs off (gives back all it has, waits for that one lock, and starts again
// with the age it had), so the oldest always gets on. Whoever waits is given
// the lock by the holder, the oldest first: nobody overtakes, nobody starves.
// (Wait-die, as the reservations of Linux's TTM; ordered hand-over is ours.)

#include <cstdint>

#include "twostep/machine/check.h"
#include "twostep/machine/sync.h"
#include "twostep/machine/wait_limit.h"

namespace twostep {

class ReservationLock;

namespace internal {

// What others may know of a thread that takes reservations. Never freed, used
// again by another thread once its own ends.
struct alignas(64) TWOSTEP_EXPORT ReservationHolder {
  explicit ReservationHolder(uint32_t number) : number(number) {}

  // From 0 on; low as long as there are few threads at a time.
  const uint32_t number;
  // The age of its ticket, lower is older; 0: it has none.
  Atomic<uint64_t> stamp{0};
  // Odd while it is InTransit, and where; null: in several places.
  Atomic<uint64_t> transit{0};
  Atomic<const void*> transit_where{nullptr};
  // It waits for all others to come out of transit.
  Atomic<bool> settling{false};
  // Who has what it waits for.
  Atomic<ReservationHolder*> waits_on{nullptr};
  uint32_t tickets = 0;   // nested, of this thread
  uint32_t transits = 0;  // nested, of this thread

  // While it waits, guarded by the mutex of its room.
  enum class Wait : uint8_t { kWaiting, kTaken, kBackOff };
  Wait wait = Wait::kWaiting;
  bool may_back_off = false;
  uint64_t age = 0;
  const ReservationLock* waits_for = nullptr;
  ReservationHolder* next_waiter = nullptr;
  CondVar wake;

  ReservationHolder* next = nullptr;  // of all, or of those that are unused
};

// This thread's; null before its first reservation.
inline ReservationHolder*& HolderOrNull() {
  return PerThread<ReservationHolder*, ReservationHolder>::Get();
}
ReservationHolder* NewHolder();
inline ReservationHolder* ThisHolder() {
  ReservationHolder* const holder = HolderOrNull();
  return holder != nullptr ? holder : NewHolder();
}

}  // namespace internal

class ReservationLock {
 public:
  enum class Outcome : uint8_t {
    kTaken,
    kMine,         // this thread has it already
    kBackOff,      // an older ticket has it: back off
    kBusy,         // waiting was forbidden
    kDeadline,     // the limit ended the wait
    kInterrupted,  // the same
  };
  // What a thread that meets an older ticket does. Waiting is for those who
  // hold nothing that the older one might want.
  enum class Meeting : uint8_t { kWait, kBackOff };

  // What a wait within `limit` ends with when an older ticket is met.
  static Outcome MadeWay(const WaitLimit& limit) {
    return limit.mode == WaitLimit::Mode::kNoWait ? Outcome::kBusy
                                                  : Outcome::kBackOff;
  }

  bool TryLock() {
    uintptr_t free = 0;
    // Also a release: others look at the holder through the word.
    return word_.compare_exchange_strong(
        free, reinterpret_cast<uintptr_t>(internal::ThisHolder()),
        std::memory_order_acq_rel, std::memory_order_relaxed);
  }
  // Waits as long as it takes. REQUIRES: this thread does not have it.
  void Lock() {
    if (!TryLock()) LockSlow();
  }
  Outcome LockWithin(const WaitLimit& limit, Meeting meeting) {
    return TryLock() ? Outcome::kTaken : LockSlow(limit, meeting);
  }
  void Unlock() {
    auto mine = reinterpret_cast<uintptr_t>(internal::HolderOrNull());
    TWOSTEP_DCHECK(HeldByMe());
    if (!word_.compare_exchange_strong(mine, 0, std::memory_order_release,
                                       std::memory_order_relaxed)) {
      HandOver();
    }
  }
  bool HeldByMe() const {
    const uintptr_t word = word_.load(std::memory_order_relaxed);
    return word != 0 && Holder(word) == internal::HolderOrNull();
  }
  bool Held() const { return word_.load(std::memory_order_relaxed) != 0; }
  bool HeldByOther() const {
    const uintptr_t word = word_.load(std::memory_order_relaxed);
    return word != 0 && Holder(word) != internal::HolderOrNull();
  }
  // For tests: whether anybody waits, or did when it was last handed over.
  bool DebugHasWaiters() const {
    return (word_.load(std::memory_order_relaxed) & kWaiters) != 0;
  }

 private:
  static constexpr uintptr_t kWaiters = 1;

  static internal::ReservationHolder* Holder(uintptr_t word) {
    return reinterpret_cast<internal::ReservationHolder*>(word & ~kWaiters);
  }
  void LockSlow();
  Outcome LockSlow(const WaitLimit& limit, Meeting meeting);
  void HandOver();

  // The holder, and whether others wait for it.
  Atomic<uintptr_t> word_{0};
};

// The age of a thread that takes several reservations. While one exists, more
// of the same thread share its age.
class Ticket {
 public:
  Ticket();
  ~Ticket();
  Ticket(const Ticket&) = delete;
  Ticket& operator=(const Ticket&) = delete;

  bool OlderThan(const Ticket& other) const { return stamp() < other.stamp(); }
  // Whether this thread has one.
  static bool Exists() {
    const internal::ReservationHolder* holder = internal::HolderOrNull();
    return holder != nullptr && holder->tickets != 0;
  }

 private:
  uint64_t stamp() const {
    return holder_->stamp.load(std::memory_order_relaxed);
  }

  internal::ReservationHolder* const holder_;
};

// While it lives this thread may hold room that stands in no eviction order yet
// or any more: what it has taken but not shown. Whoever finds nothing to evict
// waits for these before it believes so. Nests, also in another place: who is
// in transit in two is waited for in either, until it is out of both. Costs a
// few stores.
class InTransit {
 public:
  // `where` names what the room belongs to: a host.
  explicit InTransit(const void* where);
  ~InTransit();
  InTransit(const InTransit&) = delete;
  InTransit& operator=(const InTransit&) = delete;

  // Waits until every other thread that is in transit here now has come out of
  // it once. kBackOff: one of them waits for this thread, and is older. kBusy:
  // some are, and waiting is forbidden. kTaken: done.
  ReservationLock::Outcome WaitForOthers(const WaitLimit& limit);

 private:
  bool MustMakeWay(const internal::ReservationHolder& other) const;
  // Whether `other`, being in transit, may be so here.
  bool MayBeHere(const internal::ReservationHolder& other) const;

  internal::ReservationHolder* const holder_;
  const void* const where_;
};

}  // namespace twostep

#endif  // MACHINE_RESERVATION_LOCK_H_
