#ifndef BO_RESERVATION_LOCK_H_
#define BO_RESERVATION_LOCK_H_

// The lock of a bo: every change of its bindings happens under it. One word;
// uncontended, a compare-and-swap to take and an exchange to give back. Holds
// who has it, so that taking it twice on one thread is found at once instead of
// hanging. Unlike a mutex it may be held across waits and copies. Thread-safe.

#include <cstdint>

#include "twostep/machine/check.h"
#include "twostep/machine/sync.h"

namespace twostep {

class ReservationLock {
 public:
  bool TryLock() {
    uint32_t free = 0;
    return word_.compare_exchange_strong(free, ThisThread(),
                                         std::memory_order_acquire,
                                         std::memory_order_relaxed);
  }
  void Lock() {
    if (!TryLock()) LockSlow();
  }
  void Unlock() {
    TWOSTEP_DCHECK(HeldByMe());
    if (word_.exchange(0, std::memory_order_release) & kWaiters) {
      word_.notify_all();
    }
  }
  bool HeldByMe() const {
    return (word_.load(std::memory_order_relaxed) & ~kWaiters) == ThisThread();
  }
  bool Held() const { return word_.load(std::memory_order_relaxed) != 0; }

 private:
  static constexpr uint32_t kWaiters = uint32_t{1} << 31;

  // A number of this thread's own, from 1 on.
  static uint32_t ThisThread() {
    return this_thread_ != 0 ? this_thread_ : NumberThisThread();
  }
  static uint32_t NumberThisThread();
  void LockSlow();

  // Here and constant-initialized, so that reading it is one load.
  static inline constinit thread_local uint32_t this_thread_ = 0;
  Atomic<uint32_t> word_{0};
};

}  // namespace twostep

#endif  // BO_RESERVATION_LOCK_H_
