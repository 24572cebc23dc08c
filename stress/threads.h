#ifndef STRESS_THREADS_H_
#define STRESS_THREADS_H_

#include <vector>

#include "twostep/machine/sync.h"

namespace twostep {

// Where a number of threads wait for one another. Thread-safe.
class Meeting {
 public:
  explicit Meeting(int threads) : threads_(threads) {}
  void Arrive() {
    MutexLock lock(mutex_);
    const int round = round_;
    if (++arrived_ == threads_) {
      arrived_ = 0;
      ++round_;
      all_here_.NotifyAll();
      return;
    }
    while (round_ == round) all_here_.Wait(mutex_);
  }

 private:
  const int threads_;
  Mutex mutex_;
  CondVar all_here_;
  int arrived_ ABSL_GUARDED_BY(mutex_) = 0;
  int round_ ABSL_GUARDED_BY(mutex_) = 0;
};

// Calls `body` with 0, 1, ... on threads of their own, and waits for them.
template <typename Body>
void OnThreads(int threads, Body body) {
  std::vector<Thread> running;
  for (int t = 0; t < threads; ++t) {
    running.emplace_back([&body, t] { body(t); });
  }
}

}  // namespace twostep

#endif  // STRESS_THREADS_H_
