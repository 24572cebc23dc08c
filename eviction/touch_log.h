#ifndef EVICTION_TOUCH_LOG_H_
#define EVICTION_TOUCH_LOG_H_

// Uses that one thread has made of the entries of an order, and ends of its
// submissions, that the policy has not been told of: a use costs two stores and
// no lock, and threads that use entries of the same order do not meet. Add and
// MustTell are for that thread, Take for who holds the lock of the order.
// Private to the library.

#include <array>
#include <cstdint>

#include "twostep/eviction/eviction_policy.h"
#include "twostep/machine/reservation_lock.h"
#include "twostep/machine/sync.h"

namespace twostep {

class TouchLog {
 public:
  static constexpr uint32_t kMostUses = 128;
  // The policy is to be told after every so many.
  static constexpr uint32_t kTellAfter = kMostUses / 4;

  explicit TouchLog(const internal::ReservationHolder& thread)
      : thread_(&thread) {}

  // Of a thread that has ended, and whose holder another has now, it is that
  // one's.
  bool BelongsTo(const internal::ReservationHolder& thread) const {
    return thread_ == &thread;
  }
  // A use of `entry`; null: the end of a submission. True: before the next one
  // the policy is to be told, if that can be; at any rate if MustTell().
  bool Add(EvictionHook* entry) {
    const uint32_t end = end_.load(std::memory_order_relaxed);
    entries_[end % kMostUses] = entry;
    end_.store(end + 1, std::memory_order_release);
    return (end + 1) % kTellAfter == 0;
  }
  // Once Add has said so: whether there is no room for kTellAfter more.
  bool MustTell() const {
    return end_.load(std::memory_order_relaxed) -
               first_.load(std::memory_order_acquire) >
           kMostUses - kTellAfter;
  }
  bool empty() const {
    return first_.load(std::memory_order_relaxed) ==
           end_.load(std::memory_order_acquire);
  }
  // Hands out all, the oldest first.
  template <typename Use>
  void Take(Use use) {
    uint32_t first = first_.load(std::memory_order_relaxed);
    const uint32_t end = end_.load(std::memory_order_acquire);
    if (first == end) return;
    for (; first != end; ++first) use(entries_[first % kMostUses]);
    first_.store(end, std::memory_order_release);
  }

 private:
  // Written by who tells the policy; what follows by the thread alone.
  Atomic<uint32_t> first_{0};
  alignas(64) const internal::ReservationHolder* const thread_;
  Atomic<uint32_t> end_{0};
  std::array<EvictionHook*, kMostUses> entries_;
};

}  // namespace twostep

#endif  // EVICTION_TOUCH_LOG_H_
