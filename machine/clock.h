#ifndef MACHINE_CLOCK_H_
#define MACHINE_CLOCK_H_

// Time, passed in: real, or virtual and then the same on every run. Virtual
// time passes only when somebody charges for work or waits for a fence, so a
// replay tells how long its policy would have stalled the GPU. Thread-safe.

#include <cstdint>
#include <memory>

#include "twostep/machine/sync.h"

namespace twostep {

class Clock {
 public:
  enum class Kind : uint8_t { kReal, kVirtual };

  explicit Clock(Kind kind);

  bool is_virtual() const { return kind_ == Kind::kVirtual; }
  uint64_t now_ns() const;
  // The calling CPU worked for `ns`. A real clock knows that by itself.
  void Charge(uint64_t ns);
  // The calling CPU slept until `ns`; the past is ignored. Virtual only.
  void AdvanceTo(uint64_t ns);

 private:
  const Kind kind_;
  Atomic<uint64_t> virtual_now_ns_{0};
};

// Nanoseconds that `bytes` take at `mib_per_s` > 0, rounded up.
uint64_t TransferNs(uint64_t bytes, uint64_t mib_per_s);

}  // namespace twostep

#endif  // MACHINE_CLOCK_H_
