#ifndef MACHINE_WAIT_LIMIT_H_
#define MACHINE_WAIT_LIMIT_H_

// How long a call may wait, and how another thread ends its wait. What was
// ended changed nothing and can be called again.

#include <chrono>
#include <cstdint>

#include "twostep/machine/sync.h"

namespace twostep {

using SteadyTime = std::chrono::steady_clock::time_point;

// Ends waits that were told of it, now and later, until it is cleared: what a
// signal is to a system call. One thread waits with it at a time; any may raise
// it.
class Interrupt {
 public:
  void Raise();
  void Clear() { raised_.store(false, std::memory_order_relaxed); }
  bool raised() const { return raised_.load(std::memory_order_acquire); }

  // A sleep on `condition` under `mutex` that Raise() ends. `interrupt` may be
  // null. Made before `mutex` is taken, gone after it is released.
  class Sleep {
   public:
    Sleep(Interrupt* interrupt, Mutex& mutex, CondVar& condition);
    ~Sleep();
    Sleep(const Sleep&) = delete;
    Sleep& operator=(const Sleep&) = delete;

   private:
    Interrupt* const interrupt_;
  };

 private:
  Atomic<bool> raised_{false};
  Mutex mutex_;
  Mutex* sleeper_mutex_ ABSL_GUARDED_BY(mutex_) = nullptr;
  CondVar* sleeper_ ABSL_GUARDED_BY(mutex_) = nullptr;
};

struct WaitLimit {
  enum class Mode : uint8_t { kWait, kNoWait };
  Mode mode = Mode::kWait;
  // Of the real clock, whatever the machine's is.
  SteadyTime deadline = SteadyTime::max();
  Interrupt* interrupt = nullptr;

  // From now on.
  static WaitLimit Within(uint64_t timeout_ns);
  // Why a wait that may go on must end now, if it must.
  enum class End : uint8_t { kNot, kDeadline, kInterrupted };
  End Ended() const;
  // Sleeps on `condition` until it is notified, or the limit ends the wait.
  void SleepOn(CondVar& condition, Mutex& mutex) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
};

}  // namespace twostep

#endif  // MACHINE_WAIT_LIMIT_H_
