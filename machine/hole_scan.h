#ifndef MACHINE_HOLE_SCAN_H_
#define MACHINE_HOLE_SCAN_H_

// Which blocks of a space must go so that a request fits: pretends that blocks
// are free, one by one, until a run of holes and pretended holes is large
// enough, aligned and in range. Its notes are in the nodes of the space, and
// gone with it. Thread-compatible; one scan of a space at a time, which must
// not change meanwhile.

#include <cstdint>

#include "absl/container/inlined_vector.h"
#include "twostep/machine/range_allocator.h"
#include "twostep/machine/space.h"

namespace twostep {

class HoleScan {
 public:
  HoleScan(RangeAllocator& space, const SpaceRequest& request)
      : space_(space), request_(request) {}
  ~HoleScan();
  HoleScan(const HoleScan&) = delete;
  HoleScan& operator=(const HoleScan&) = delete;

  // Pretends that the block `node` is free. True: now the request would fit.
  // REQUIRES: it has not returned true, and `node` is not pretended free.
  bool Free(uint32_t node);
  // REQUIRES: Free returned true. Whether the block stands in the hole.
  bool Needs(uint32_t node) const;

 private:
  // A run is a longest row of freed blocks and holes. Its outermost blocks know
  // one another, by RangeAllocator::Node::far_end; so a new one joins the runs
  // on its sides without a search.
  void Choose(uint64_t start, uint64_t end);

  RangeAllocator& space_;
  const SpaceRequest request_;
  uint64_t hole_start_ = 0;
  uint64_t hole_end_ = 0;
  absl::InlinedVector<uint32_t, 8> freed_;
};

}  // namespace twostep

#endif  // MACHINE_HOLE_SCAN_H_
