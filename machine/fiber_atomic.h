#ifndef MACHINE_FIBER_ATOMIC_H_
#define MACHINE_FIBER_ATOMIC_H_

// The atomics of sync_fibers.h. Accesses are sequentially consistent, whatever
// order they ask for: weaker orders are not explored (the tsan configuration
// looks at those).

#include <atomic>
#include <chrono>

#include "twostep/machine/check.h"
#include "twostep/machine/fiber_scheduler.h"

namespace twostep {

namespace fibers {

using Deadline = std::chrono::steady_clock::time_point;

inline void Point(Op op, std::memory_order order = std::memory_order_seq_cst) {
  if (scheduler != nullptr) {
    scheduler->Point(op, order == std::memory_order_relaxed);
  }
}

inline bool Block(const void* where, const char* what, int owner = -1,
                  Deadline deadline = Deadline::max()) {
  // Outside of a schedule nobody could ever end the wait.
  TWOSTEP_CHECK(scheduler != nullptr);
  return scheduler->Block(where, what, owner, deadline);
}

inline void WakeAll(const void* where) {
  if (scheduler != nullptr) scheduler->WakeAll(where);
}

}  // namespace fibers

// As much of std::atomic as the library uses.
template <typename T>
class Atomic {
 public:
  constexpr Atomic() = default;
  constexpr Atomic(T value) : value_(value) {}  // NOLINT: as std::atomic
  Atomic(const Atomic&) = delete;
  Atomic& operator=(const Atomic&) = delete;

  using Order = std::memory_order;
  T load(Order order = Order::seq_cst) const {
    fibers::Point(fibers::Op::kLoad, order);
    return value_;
  }
  void store(T value, Order order = Order::seq_cst) {
    fibers::Point(fibers::Op::kStore, order);
    value_ = value;
  }
  T exchange(T value, Order order = Order::seq_cst) {
    return Update(order, [&](T) { return value; });
  }
  bool compare_exchange_strong(T& expected, T desired,
                               Order order = Order::seq_cst) {
    fibers::Point(fibers::Op::kReadWrite, order);
    const bool same = value_ == expected;
    (same ? value_ : expected) = same ? desired : value_;
    return same;
  }
  bool compare_exchange_strong(T& expected, T desired, Order success, Order) {
    return compare_exchange_strong(expected, desired, success);
  }
  bool compare_exchange_weak(T& expected, T desired,
                             Order order = Order::seq_cst) {
    return compare_exchange_strong(expected, desired, order);
  }
  bool compare_exchange_weak(T& expected, T desired, Order success, Order) {
    return compare_exchange_strong(expected, desired, success);
  }
  T fetch_add(T amount, Order order = Order::seq_cst) {
    return Update(order, [&](T old) { return static_cast<T>(old + amount); });
  }
  T fetch_sub(T amount, Order order = Order::seq_cst) {
    return Update(order, [&](T old) { return static_cast<T>(old - amount); });
  }
  T fetch_or(T bits, Order order = Order::seq_cst) {
    return Update(order, [&](T old) { return static_cast<T>(old | bits); });
  }
  T fetch_and(T bits, Order order = Order::seq_cst) {
    return Update(order, [&](T old) { return static_cast<T>(old & bits); });
  }
  T operator++() { return fetch_add(1) + 1; }
  T operator++(int) { return fetch_add(1); }
  T operator--() { return fetch_sub(1) - 1; }
  T operator--(int) { return fetch_sub(1); }
  T operator+=(T amount) { return fetch_add(amount) + amount; }
  T operator-=(T amount) { return fetch_sub(amount) - amount; }
  T operator=(T value) {
    store(value);
    return value;
  }
  operator T() const { return load(); }  // NOLINT: as std::atomic

  void wait(T old, Order order = Order::seq_cst) const {
    while (load(order) == old) fibers::Block(this, "an atomic");
  }
  void notify_all() {
    fibers::Point(fibers::Op::kNotify);
    fibers::WakeAll(this);
  }

 private:
  template <typename F>
  T Update(Order order, F update) {
    fibers::Point(fibers::Op::kReadWrite, order);
    const T old = value_;
    value_ = update(old);
    return old;
  }

  T value_{};
};

}  // namespace twostep

#endif  // MACHINE_FIBER_ATOMIC_H_
