#ifndef MACHINE_BUDDY_ALLOCATOR_H_
#define MACHINE_BUDDY_ALLOCATOR_H_

// Grants blocks of one address space in powers of two of its unit, buddies
// merged on every free. Knows addresses and sizes, not what lies there.
// Thread-compatible: the caller locks.
//
// A free block of order k is 2^k units at a multiple of 2^k, one bit in the
// bitmap of its order; what is free decides alone which blocks there are. A
// space whose start or size is no power of two begins as several blocks
// (roots). An allocation is a chain of segments, each a run of any number of
// units:
//
//   free blocks --take one of the smallest order that holds the request-->
//     [segment | rest: back as smaller blocks]
//   segment --Free(), in one sweep over the orders--> free blocks
//
// The bitmaps cost 3 bits a unit of address space (touched pages of them only);
// a segment costs 24 bytes.

#include <array>
#include <cstdint>
#include <cstdlib>
#include <memory>

#include "absl/functional/function_ref.h"
#include "twostep/machine/bit_tree.h"
#include "twostep/machine/node_slabs.h"
#include "twostep/machine/space.h"
#include "twostep/machine/space_search.h"

namespace twostep {

class BuddyAllocator {
 public:
  // The space [start, start + size), 0 < size <= 2^40, which must end at or
  // below 2^64 - 1.
  BuddyAllocator(uint64_t start, uint64_t size);
  BuddyAllocator(const BuddyAllocator&) = delete;
  BuddyAllocator& operator=(const BuddyAllocator&) = delete;

  // Serves the request and returns kNone, or returns why not, having changed
  // nothing.
  //
  // `contiguous`: one run. It starts on a multiple of its size's next power of
  // two where a free block allows that, else (only when no block does) on a
  // multiple of `alignment`, across blocks that are neighbours by chance.
  // Not `contiguous`: one run if a block holds it, else several segments, the
  // largest orders first. Each starts on a multiple of `alignment`; all but the
  // last are a multiple of it long.
  Shortage::Kind Allocate(const SpaceRequest& request, SpaceBlock* block);
  // Frees all segments. REQUIRES: `node` is from Allocate() and not freed
  // since.
  void Free(uint32_t node);

  // What Allocate() would return, with exact figures. May look at every free
  // block.
  Shortage Describe(const SpaceRequest& request) const;

  uint64_t capacity() const { return end_ - start_; }
  uint64_t free() const { return free_; }
  uint64_t used() const { return capacity() - free_; }
  // The longest free run, across blocks. Looks at the free blocks of the two
  // largest orders.
  uint64_t largest_hole() const;

  // REQUIRES for both: `node` is allocated.
  uint64_t BlockSize(uint32_t node) const;
  void ForEachSegment(
      uint32_t node,
      absl::FunctionRef<void(uint64_t start, uint64_t size)> visit) const;

  // Segments and free runs in address order, leaving nothing out. For audits:
  // sorts all segments. `visit` must not change the allocator.
  void ForEachBlock(
      absl::FunctionRef<void(uint64_t start, uint64_t size, bool used)> visit)
      const;

 private:
  enum class State : uint32_t { kUnused, kFirst, kLater };
  struct Segment {
    uint64_t start;
    uint64_t size;
    uint32_t next;  // of the same allocation, or kNoSegment
    State state;
  };
  static_assert(sizeof(Segment) == 24);
  struct Run {  // of addresses; empty: none
    uint64_t start = 0;
    uint64_t end = 0;
    bool empty() const { return start == end; }
    uint64_t size() const { return end - start; }
  };
  struct Chain {
    uint32_t first = kNoSegment;
    uint32_t last = kNoSegment;
  };
  struct FreeWords {
    void operator()(uint64_t* words) const { std::free(words); }
  };

  static constexpr uint32_t kNoSegment = ~uint32_t{0};
  static constexpr int kMaxOrders = 42;

  // A free run, and the order of the block that it lies in; kAcross: in
  // several.
  struct Spot {
    Run run;
    int order = kAcross;
  };
  static constexpr int kAcross = -1;

  // Indices and offsets count from base_, on which buddies are paired.
  void InsertBlock(int order, uint64_t index);
  void EraseBlock(int order, uint64_t index);
  void InsertPieces(uint64_t offset, uint64_t end);
  void ReleaseRun(Run run);
  void TakeRun(const Spot& spot);
  int OrderAt(uint64_t offset) const;
  Run BlockRun(int order, uint64_t index) const;
  void ToggleEdges(Run run);
  Run HoleAround(Run part) const;
  Run NextHole(uint64_t address) const;

  SpaceRequest Clamped(const SpaceRequest& request) const;
  Spot FindInOneBlock(const SpaceRequest& request) const;
  Run FindInOrder(const SpaceRequest& request, int fit, int order) const;
  Run FindAcrossBlocks(const SpaceRequest& request) const;
  Run FindAround(const SpaceRequest& request, int order) const;
  Spot FindRun(const SpaceRequest& request) const;
  Spot FindPiece(const SpaceRequest& request, uint64_t size, int* order) const;
  bool CouldBeSplit(const SpaceRequest& request) const;
  Shortage::Kind WhyNot(const SpaceRequest& request) const;

  Shortage::Kind AllocateRun(const SpaceRequest& request, SpaceBlock* block);
  Shortage::Kind AllocatePieces(const SpaceRequest& request, SpaceBlock* block);
  void Append(Chain* chain, Run run, uint64_t boundary);
  void Unwind(const Chain& chain);
  bool IsSplitRefused(const SpaceRequest& request) const;
  void NoteGrowth(Run run);
  uint32_t NewSegment(Run run, State state);

  const uint64_t start_;
  const uint64_t end_;
  const uint64_t base_;
  int orders_ = 0;  // 0 .. orders_ - 1
  uint64_t free_ = 0;
  uint64_t orders_in_use_ = 0;  // bit k: order k has a free block
  std::unique_ptr<uint64_t[], FreeWords> words_;
  std::array<internal::BitTree, kMaxOrders> blocks_;  // free, by order
  internal::BitTree edges_;  // where used and free (or the outside) meet
  internal::NodeSlabs<Segment> segments_;
  internal::RefusedRequests refused_runs_;
  // The last refused request that might have been split, and how many more
  // units must be freed in its range before it is worth another try.
  SpaceRequest refused_split_{};  // size 0: none
  uint64_t missing_ = 0;
};

}  // namespace twostep

#endif  // MACHINE_BUDDY_ALLOCATOR_H_
