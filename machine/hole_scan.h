#ifndef MACHINE_HOLE_SCAN_H_
#define MACHINE_HOLE_SCAN_H_

// Which blocks of a space must go so that a request fits: pretends that blocks
// are free, one by one, until a run of holes and pretended holes is large
// enough, aligned and in range. Changes nothing. Thread-compatible; the space
// must not change meanwhile.

#include <cstdint>

#include "absl/container/flat_hash_map.h"
#include "absl/container/inlined_vector.h"
#include "twostep/machine/range_allocator.h"
#include "twostep/machine/space.h"

namespace twostep {

class HoleScan {
 public:
  HoleScan(const RangeAllocator& space, const SpaceRequest& request)
      : space_(space), request_(request) {}

  // Pretends that the block `node` is free. True once the request would fit.
  bool Free(uint32_t node);
  // REQUIRES: Free returned true. Whether the block stands in the hole.
  bool Needs(uint32_t node) const;

 private:
  struct Extent {
    uint64_t start;
    uint64_t end;
  };
  void Choose(const Extent& run);

  const RangeAllocator& space_;
  const SpaceRequest request_;
  Extent hole_{0, 0};
  // What was freed, and the runs it made with the holes beside it: end by
  // start, start by end.
  absl::InlinedVector<Extent, 8> freed_;
  absl::flat_hash_map<uint64_t, uint64_t> end_of_run_;
  absl::flat_hash_map<uint64_t, uint64_t> start_of_run_;
};

}  // namespace twostep

#endif  // MACHINE_HOLE_SCAN_H_
