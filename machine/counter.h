#ifndef MACHINE_COUNTER_H_
#define MACHINE_COUNTER_H_

// A count that many threads add to and few read: each thread adds in a cache
// line that it shares with few others. Thread-safe; a sum read while others add
// is one of those in between.

#include <cstddef>
#include <cstdint>

#include "twostep/machine/reservation_lock.h"
#include "twostep/machine/sync.h"

namespace twostep {

class Counter {
 public:
  void operator+=(uint64_t n) {
    cells_[internal::ThisHolder()->number % kCells].count.fetch_add(
        n, std::memory_order_relaxed);
  }
  void operator++() { *this += 1; }
  uint64_t load() const {
    uint64_t sum = 0;
    for (const Cell& cell : cells_) {
      sum += cell.count.load(std::memory_order_relaxed);
    }
    return sum;
  }
  operator uint64_t() const { return load(); }

 private:
  static constexpr size_t kCells = 8;
  struct alignas(64) Cell {
    Atomic<uint64_t> count{0};
  };
  Cell cells_[kCells];
};

}  // namespace twostep

#endif  // MACHINE_COUNTER_H_
