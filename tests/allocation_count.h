#ifndef TESTS_ALLOCATION_COUNT_H_
#define TESTS_ALLOCATION_COUNT_H_

#include <cstdint>

namespace twostep {

// How often this process has called operator new, which a binary that links
// this replaces.
uint64_t AllocationCount();

}  // namespace twostep

#endif  // TESTS_ALLOCATION_COUNT_H_
