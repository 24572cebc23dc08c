#ifndef MACHINE_SYNC_H_
#define MACHINE_SYNC_H_

// Every primitive that the library blocks or races on. Nothing outside this
// header uses the underlying ones, so that the whole library can be built on
// another scheduler: --config=fibers takes the second implementation, in
// sync_fibers.h, whose threads are fibers and whose every step is scheduled
// (docs/schedules.md).
//
// SpinLock guards leaves (an LRU, an address space): held for one operation on
// them, never across a wait. Mutex and CondVar guard what can wait.

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"

// Of what inline code shares with a shared library: one of it, also for those
// who compile with -fvisibility=hidden.
#define TWOSTEP_EXPORT [[gnu::visibility("default")]]

#ifdef TWOSTEP_FIBERS
#include "twostep/machine/sync_fibers.h"
#else

namespace twostep {

template <typename T>
using Atomic = std::atomic<T>;

// A T of each thread's own. `Of` tells several of the same type apart; where
// headers use it, it and T are TWOSTEP_EXPORT.
template <typename T, typename Of>
class TWOSTEP_EXPORT PerThread {
 public:
  static T& Get() { return value_; }

 private:
  static inline constinit thread_local T value_{};
};

// What deadlines are measured with.
inline std::chrono::steady_clock::time_point SteadyNow() {
  return std::chrono::steady_clock::now();
}

// How often to look before falling asleep: most locks are held for less than
// that takes.
inline constexpr int kSpinsBeforeSleep = 100;
// Over how many rooms to spread those who wait, by address.
inline constexpr size_t kWaitingRooms = 64;

// Tells the processor that this thread only waits for another.
inline void CpuRelax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#else
  std::this_thread::yield();
#endif
}

// For polling what seldom takes long: lets others run, and after some rounds
// sleeps, up to a millisecond.
inline void YieldFor(uint64_t rounds) {
  if (rounds < 16) {
    std::this_thread::yield();
  } else {
    std::this_thread::sleep_for(
        std::chrono::microseconds(rounds < 1000 ? rounds : 1000));
  }
}

class ABSL_LOCKABLE SpinLock {
 public:
  SpinLock() = default;
  SpinLock(const SpinLock&) = delete;
  SpinLock& operator=(const SpinLock&) = delete;

  void lock() ABSL_EXCLUSIVE_LOCK_FUNCTION() {
    while (locked_.exchange(true, std::memory_order_acquire)) {
      for (int spins = 0; locked_.load(std::memory_order_relaxed); ++spins) {
        if (spins < kSpinsBeforeYield) {
          CpuRelax();
        } else {
          std::this_thread::yield();
        }
      }
    }
  }
  bool try_lock() ABSL_EXCLUSIVE_TRYLOCK_FUNCTION(true) {
    return !locked_.load(std::memory_order_relaxed) &&
           !locked_.exchange(true, std::memory_order_acquire);
  }
  void unlock() ABSL_UNLOCK_FUNCTION() {
    locked_.store(false, std::memory_order_release);
  }

 private:
  // The holder may have been preempted: after this many polls, let it run.
  static constexpr int kSpinsBeforeYield = 64;
  std::atomic<bool> locked_{false};
};

class ABSL_LOCKABLE Mutex {
 public:
  void lock() ABSL_EXCLUSIVE_LOCK_FUNCTION() { mutex_.lock(); }
  void unlock() ABSL_UNLOCK_FUNCTION() { mutex_.unlock(); }

 private:
  friend class CondVar;
  std::mutex mutex_;
};

// Waits can wake for no reason: call them in a loop over the condition.
class CondVar {
 public:
  void Wait(Mutex& mutex) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    std::unique_lock<std::mutex> lock(mutex.mutex_, std::adopt_lock);
    condition_.wait(lock);
    lock.release();
  }
  // False once `deadline` has passed.
  bool WaitUntil(Mutex& mutex, std::chrono::steady_clock::time_point deadline)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    std::unique_lock<std::mutex> lock(mutex.mutex_, std::adopt_lock);
    const bool in_time =
        condition_.wait_until(lock, deadline) == std::cv_status::no_timeout;
    lock.release();
    return in_time;
  }
  void NotifyAll() { condition_.notify_all(); }

 private:
  std::condition_variable condition_;
};

// A thread that is joined when it goes out of scope.
class Thread {
 public:
  Thread() = default;
  template <typename F>
  explicit Thread(F&& body) : thread_(std::forward<F>(body)) {}
  Thread(Thread&&) = default;
  Thread& operator=(Thread&&) = delete;
  ~Thread() { Join(); }

  void Join() {
    if (thread_.joinable()) thread_.join();
  }

 private:
  std::thread thread_;
};

}  // namespace twostep

#endif  // TWOSTEP_FIBERS

namespace twostep {

class ABSL_SCOPED_LOCKABLE SpinLockHolder {
 public:
  explicit SpinLockHolder(SpinLock& lock) ABSL_EXCLUSIVE_LOCK_FUNCTION(lock)
      : lock_(lock) {
    lock_.lock();
  }
  ~SpinLockHolder() ABSL_UNLOCK_FUNCTION() { lock_.unlock(); }
  SpinLockHolder(const SpinLockHolder&) = delete;
  SpinLockHolder& operator=(const SpinLockHolder&) = delete;

 private:
  SpinLock& lock_;
};

class ABSL_SCOPED_LOCKABLE MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) ABSL_EXCLUSIVE_LOCK_FUNCTION(mutex)
      : mutex_(mutex) {
    mutex_.lock();
  }
  ~MutexLock() ABSL_UNLOCK_FUNCTION() { mutex_.unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex& mutex_;
};

}  // namespace twostep

#endif  // MACHINE_SYNC_H_
