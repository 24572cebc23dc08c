#include "twostep/machine/clock.h"

#include <chrono>

#include "twostep/machine/check.h"
#include "twostep/machine/types.h"

namespace twostep {

Clock::Clock(Kind kind) : kind_(kind) {}

uint64_t Clock::now_ns() const {
  if (is_virtual()) return virtual_now_ns_.load(std::memory_order_relaxed);
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             SteadyNow().time_since_epoch())
      .count();
}

void Clock::Charge(uint64_t ns) {
  if (is_virtual()) virtual_now_ns_.fetch_add(ns, std::memory_order_relaxed);
}

void Clock::AdvanceTo(uint64_t ns) {
  TWOSTEP_DCHECK(is_virtual());
  uint64_t now = virtual_now_ns_.load(std::memory_order_relaxed);
  while (now < ns && !virtual_now_ns_.compare_exchange_weak(
                         now, ns, std::memory_order_relaxed)) {
  }
}

uint64_t TransferNs(uint64_t bytes, uint64_t mib_per_s) {
  constexpr uint64_t kNsPerSecond = 1'000'000'000;
  const uint64_t per_s = mib_per_s * kMiB;
  // 128 bits divide ten times slower, and hardly any transfer needs them.
  if (bytes < (uint64_t{1} << 34)) {
    return bytes * kNsPerSecond / per_s + (bytes * kNsPerSecond % per_s != 0);
  }
  const unsigned __int128 scaled =
      static_cast<unsigned __int128>(bytes) * kNsPerSecond;
  return static_cast<uint64_t>((scaled + per_s - 1) / per_s);
}

}  // namespace twostep
