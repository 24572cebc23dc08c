#ifndef TESTS_BO_SEEDS_H_
#define TESTS_BO_SEEDS_H_

// How many seeds a scenario runs with: 50, or as many as the environment
// variable TWOSTEP_SEEDS says.

#include <cstdint>
#include <cstdlib>

namespace twostep {

inline uint32_t Seeds() {
  const char* seeds = std::getenv("TWOSTEP_SEEDS");
  return seeds == nullptr ? 50 : static_cast<uint32_t>(std::atoi(seeds));
}

}  // namespace twostep

#endif  // TESTS_BO_SEEDS_H_
