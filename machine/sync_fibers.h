#ifndef MACHINE_SYNC_FIBERS_H_
#define MACHINE_SYNC_FIBERS_H_

// The primitives of sync.h on cooperative fibers; included by it alone. Every
// step that another thread could see is a scheduling point: before each access
// to an atomic, before each lock, after each unlock, before each notification.
// Accesses are sequentially consistent, whatever order they ask for: weaker
// orders are not explored (the tsan configuration looks at those).

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "twostep/machine/check.h"
#include "twostep/machine/fiber_atomic.h"
#include "twostep/machine/fiber_scheduler.h"

namespace twostep {

namespace fibers {

// Both kinds of lock.
class Lock {
 public:
  constexpr Lock() = default;
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;

  void Acquire(const char* what) {
    Point(Op::kLock);
    while (owner_ != kNobody) Block(this, what, owner_);
    owner_ = Current();
  }
  bool TryAcquire() {
    Point(Op::kLock);
    if (owner_ != kNobody) return false;
    owner_ = Current();
    return true;
  }
  // With nothing in between: what a condition variable needs.
  void Release() {
    TWOSTEP_CHECK(owner_ == Current());
    owner_ = kNobody;
    WakeAll(this);
  }

 private:
  static constexpr int kNobody = -1;
  static int Current() {
    return scheduler == nullptr ? 0 : scheduler->current();
  }
  int owner_ = kNobody;
};

}  // namespace fibers

template <typename T, typename Of>
class PerThread {
 public:
  static T& Get() {
    if (fibers::scheduler == nullptr) return outside_;
    return *static_cast<T*>(fibers::scheduler->Local(kKey));
  }

 private:
  static constexpr fibers::LocalKey kKey{
      [] { return static_cast<void*>(new T{}); },
      [](void* value) { delete static_cast<T*>(value); }};
  static inline constinit T outside_{};
};

inline fibers::Deadline SteadyNow() {
  return fibers::scheduler == nullptr ? fibers::Deadline()
                                      : fibers::scheduler->now();
}

// Few, so that small cases get to what lies behind them; and one, since a
// schedule must not depend on addresses.
inline constexpr int kSpinsBeforeSleep = 2;
inline constexpr size_t kWaitingRooms = 1;

inline void YieldFor(uint64_t rounds) {
  if (fibers::scheduler == nullptr) return;
  const uint64_t sleeps = rounds < 16 ? 0 : rounds < 1000 ? rounds : 1000;
  fibers::scheduler->Poll(sleeps);
}
inline void CpuRelax() { YieldFor(0); }

class ABSL_LOCKABLE SpinLock {
 public:
  void lock() ABSL_EXCLUSIVE_LOCK_FUNCTION() { lock_.Acquire("a spin lock"); }
  bool try_lock() ABSL_EXCLUSIVE_TRYLOCK_FUNCTION(true) {
    return lock_.TryAcquire();
  }
  void unlock() ABSL_UNLOCK_FUNCTION() {
    lock_.Release();
    fibers::Point(fibers::Op::kUnlocked);
  }

 private:
  fibers::Lock lock_;
};

class ABSL_LOCKABLE Mutex {
 public:
  void lock() ABSL_EXCLUSIVE_LOCK_FUNCTION() { lock_.Acquire("a mutex"); }
  void unlock() ABSL_UNLOCK_FUNCTION() {
    lock_.Release();
    fibers::Point(fibers::Op::kUnlocked);
  }

 private:
  friend class CondVar;
  fibers::Lock lock_;
};

class CondVar {
 public:
  void Wait(Mutex& mutex) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    WaitUntil(mutex, fibers::Deadline::max());
  }
  bool WaitUntil(Mutex& mutex, fibers::Deadline deadline)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    mutex.lock_.Release();
    const bool in_time = fibers::Block(this, "a condition", -1, deadline);
    mutex.lock_.Acquire("a mutex");
    return in_time;
  }
  void NotifyAll() {
    fibers::Point(fibers::Op::kNotify);
    fibers::WakeAll(this);
  }
};

class Thread {
 public:
  Thread() = default;
  template <typename F>
  explicit Thread(F&& body) {
    TWOSTEP_CHECK(fibers::scheduler != nullptr);
    fiber_ = fibers::scheduler->Start(std::forward<F>(body));
  }
  Thread(Thread&& from) : fiber_(std::exchange(from.fiber_, kNone)) {}
  Thread& operator=(Thread&&) = delete;
  ~Thread() { Join(); }

  void Join() {
    if (fiber_ != kNone) {
      fibers::scheduler->Join(std::exchange(fiber_, kNone));
    }
  }

 private:
  static constexpr int kNone = -1;
  int fiber_ = kNone;
};

}  // namespace twostep

#endif  // MACHINE_SYNC_FIBERS_H_
