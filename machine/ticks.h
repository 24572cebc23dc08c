#ifndef MACHINE_TICKS_H_
#define MACHINE_TICKS_H_

// Stamps of real time for who takes one every few nanoseconds: the processor's
// counter, read now, and made nanoseconds of by whoever looks at them later.

#include <chrono>
#include <cstdint>

#include "twostep/machine/sync.h"

namespace twostep {

inline uint64_t SteadyNowNs() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             SteadyNow().time_since_epoch())
      .count();
}

inline uint64_t TicksNow() {
#if defined(__x86_64__) && !defined(TWOSTEP_FIBERS)
  return __builtin_ia32_rdtsc();
#else
  return SteadyNowNs();
#endif
}

// From ticks to nanoseconds of the steady clock. The rate is what has been seen
// from the making of the scale until it is asked: exact to the time that
// reading both clocks takes, if the counter is steady.
class TickScale {
 public:
  TickScale() : ticks_(TicksNow()), ns_(SteadyNowNs()) {}

  class Rate {
   public:
    // REQUIRES: ticks since the scale was made.
    uint64_t ToNs(uint64_t ticks) const {
      const auto since = static_cast<unsigned __int128>(ticks - from_->ticks_);
      return from_->ns_ + static_cast<uint64_t>(since * ns_ / ticks_);
    }

   private:
    friend class TickScale;
    Rate(const TickScale& from, uint64_t ticks, uint64_t ns)
        : from_(&from), ticks_(ticks), ns_(ns) {}

    const TickScale* from_;
    uint64_t ticks_;
    uint64_t ns_;
  };
  Rate RateNow() const {
    const uint64_t ticks = TicksNow() - ticks_;
    return Rate(*this, ticks == 0 ? 1 : ticks, SteadyNowNs() - ns_);
  }

 private:
  const uint64_t ticks_;
  const uint64_t ns_;
};

}  // namespace twostep

#endif  // MACHINE_TICKS_H_
