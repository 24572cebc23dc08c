#include "twostep/machine/wait_limit.h"

#include <algorithm>

#include "twostep/machine/check.h"

namespace twostep {

void Interrupt::Raise() {
  MutexLock lock(mutex_);
  raised_.store(true, std::memory_order_release);
  if (sleeper_ == nullptr) return;
  // Under its mutex, the sleeper either sees the flag or is asleep already.
  MutexLock sleepers(*sleeper_mutex_);
  sleeper_->NotifyAll();
}

Interrupt::Sleep::Sleep(Interrupt* interrupt, Mutex& mutex, CondVar& condition)
    : interrupt_(interrupt) {
  if (interrupt_ == nullptr) return;
  MutexLock lock(interrupt_->mutex_);
  TWOSTEP_CHECK(interrupt_->sleeper_ == nullptr);
  interrupt_->sleeper_mutex_ = &mutex;
  interrupt_->sleeper_ = &condition;
}

Interrupt::Sleep::~Sleep() {
  if (interrupt_ == nullptr) return;
  MutexLock lock(interrupt_->mutex_);
  interrupt_->sleeper_ = nullptr;
}

WaitLimit WaitLimit::Within(uint64_t timeout_ns) {
  // A century: what is longer would be past the end of the clock's type.
  constexpr uint64_t kLongestNs = uint64_t{100} * 365 * 86400 * 1'000'000'000;
  WaitLimit limit;
  limit.deadline =
      SteadyNow() + std::chrono::nanoseconds(std::min(timeout_ns, kLongestNs));
  return limit;
}

WaitLimit::End WaitLimit::Ended() const {
  if (interrupt != nullptr && interrupt->raised()) return End::kInterrupted;
  if (deadline != SteadyTime::max() && SteadyNow() >= deadline) {
    return End::kDeadline;
  }
  return End::kNot;
}

void WaitLimit::SleepOn(CondVar& condition, Mutex& mutex) const {
  if (deadline == SteadyTime::max()) {
    condition.Wait(mutex);
  } else {
    condition.WaitUntil(mutex, deadline);
  }
}

}  // namespace twostep
