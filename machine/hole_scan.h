#ifndef MACHINE_HOLE_SCAN_H_
#define MACHINE_HOLE_SCAN_H_

// Which blocks of a space must go so that a request fits: pretends that the
// blocks of one owner after the other are free, until a run of holes and
// pretended holes is large enough, aligned and in range. Its notes are in the
// nodes of the space, and gone with it. Thread-compatible; one scan of a space
// at a time, which must not change meanwhile.

#include <cstdint>

#include "absl/container/inlined_vector.h"
#include "absl/types/span.h"
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

  // Pretends that all blocks of an owner are free. True: now the request
  // would fit. REQUIRES: it has not returned true, and none of `nodes` is
  // pretended free.
  bool Free(absl::Span<const uint32_t> nodes);
  // REQUIRES: Free returned true. Whether one of the blocks stands in the hole,
  // which is one that the fewest owners stand in.
  bool Needs(absl::Span<const uint32_t> nodes) const;

 private:
  struct Freed {
    uint32_t node;
    uint32_t owner;  // counted in the order of the calls
  };
  // A run is a longest row of freed blocks and holes. Its outermost blocks know
  // one another, by RangeAllocator::Node::far_end; so a new one joins the runs
  // on its sides without a search. Whether the request fits in the run.
  bool Join(uint32_t node);
  void Choose(uint64_t start, uint64_t end);

  RangeAllocator& space_;
  const SpaceRequest request_;
  uint64_t hole_start_ = 0;
  uint64_t hole_end_ = 0;
  uint32_t fewest_ = ~uint32_t{0};  // owners in the hole
  uint32_t owners_ = 0;
  absl::InlinedVector<Freed, 8> freed_;
};

}  // namespace twostep

#endif  // MACHINE_HOLE_SCAN_H_
