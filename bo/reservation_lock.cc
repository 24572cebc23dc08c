#include "twostep/bo/reservation_lock.h"

namespace twostep {

uint32_t ReservationLock::NumberThisThread() {
  static constinit Atomic<uint32_t> next{1};
  this_thread_ = next.fetch_add(1, std::memory_order_relaxed);
  return this_thread_;
}

void ReservationLock::LockSlow() {
  // Waiting for itself would never end.
  TWOSTEP_CHECK(!HeldByMe());
  uint32_t word = 0;
  // Whoever waited cannot know whether others still do: keep the mark.
  while (!word_.compare_exchange_weak(word, ThisThread() | kWaiters,
                                      std::memory_order_acquire,
                                      std::memory_order_relaxed)) {
    if (word != 0) {
      if ((word & kWaiters) == 0 &&
          !word_.compare_exchange_weak(word, word | kWaiters,
                                       std::memory_order_relaxed)) {
        word = 0;
        continue;
      }
      word_.wait(word | kWaiters, std::memory_order_relaxed);
    }
    word = 0;
  }
}

}  // namespace twostep
