#ifndef TESTS_SCRIPT_GENERATE_H_
#define TESTS_SCRIPT_GENERATE_H_

// Scripts from a seed.

#include <cstdint>

#include "tests/script/script.h"

namespace twostep {

// The same on every machine. Thread-compatible.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed * 2 + 1) {}
  uint32_t Next() {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return static_cast<uint32_t>((state_ * 0x2545f4914f6cdd1du) >> 32);
  }
  uint32_t Below(uint32_t limit) { return Next() % limit; }

 private:
  uint64_t state_;
};

struct Recipe {
  MachineKind machine = MachineKind::kIommu;
  // What most placements ask for.
  DmaType dma = DmaType::kDynamic;
  // Half of them ask for any type.
  bool mixed = false;
  int steps = 1000;
};

Step MakeStep(const Recipe& recipe, Random* random);
Script MakeScript(const Recipe& recipe, uint64_t seed);

}  // namespace twostep

#endif  // TESTS_SCRIPT_GENERATE_H_
