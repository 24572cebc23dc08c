#ifndef MACHINE_SPACE_H_
#define MACHINE_SPACE_H_

// The question every address-space allocator answers, and its answer. Units
// are whatever the space is counted in (pages, slots); immutable values.

#include <cstdint>

namespace twostep {

enum class Direction : uint8_t { kBottomUp, kTopDown };

struct SpaceRequest {
  uint64_t size = 0;            // > 0
  uint64_t alignment = 1;       // power of two
  uint64_t first = 0;           // nothing below this
  uint64_t end = ~uint64_t{0};  // nothing at or above this
  uint64_t boundary = 0;        // power of two that no part may cross; 0: none
  Direction direction = Direction::kBottomUp;
  bool contiguous = true;  // false: an allocator that can, may split
};

// A granted request: where it (its first segment) starts, and the allocator's
// name for it, which is never 0.
struct SpaceBlock {
  uint64_t start = 0;
  uint32_t node = 0;
};

// Why a request was not served. A plain value: shortage is the hot path of
// eviction, and an absl::Status would allocate.
struct Shortage {
  enum class Kind : uint8_t {
    kNone,        // served
    kFull,        // less free in total than asked for
    kFragmented,  // enough free, but no hole that big, aligned, in range
    kNeverFits,   // not even an empty space could
    kTooLong,     // longer than any one run may be, whatever is free
    kNotInUse,    // taken out of use
    kNoTables,    // there is space, but no memory for its page tables
    kNoFrames,    // there is space, but no frames for who has to leave it
  };
  Kind kind = Kind::kNone;
  uint64_t free = 0;          // units free in total
  uint64_t largest_hole = 0;  // units of the largest hole
};

}  // namespace twostep

#endif  // MACHINE_SPACE_H_
