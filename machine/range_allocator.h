#ifndef MACHINE_RANGE_ALLOCATOR_H_
#define MACHINE_RANGE_ALLOCATOR_H_

// Grants contiguous blocks of one address space. Knows addresses and sizes,
// not what lies there. Thread-compatible: the caller locks.
//
// Holes wait in bins by size: one bin a size below 128, then 64 to each power
// of two. A request takes one of the first few holes of the smallest bin that
// can serve it; only where those few and every surely large enough hole fail
// are all holes searched, so that a refusal is never a guess.
// A request that was refused is refused again without a search until a hole
// grows that can serve it (eviction asks after each victim).
//
// A block costs 32 bytes, and so does a hole.

#include <array>
#include <cstdint>
#include <memory>

#include "absl/functional/function_ref.h"
#include "twostep/machine/node_slabs.h"
#include "twostep/machine/space.h"
#include "twostep/machine/space_search.h"

namespace twostep {

class RangeAllocator {
 public:
  // The space [start, start + size), size > 0, which must end at or below
  // 2^64 - 1.
  RangeAllocator(uint64_t start, uint64_t size);
  RangeAllocator(const RangeAllocator&) = delete;
  RangeAllocator& operator=(const RangeAllocator&) = delete;

  // Serves the request with one block (`contiguous` makes no difference) and
  // returns kNone; or returns why not, having changed nothing. Among holes of
  // nearly one size the direction decides which is taken, as far as the search
  // looks, and always which end of the hole.
  Shortage::Kind Allocate(const SpaceRequest& request, SpaceBlock* block);
  // REQUIRES: `node` is from Allocate() and not freed since.
  void Free(uint32_t node);

  // What Allocate() would return, with exact figures. Searches the largest bin.
  Shortage Describe(const SpaceRequest& request) const;

  uint64_t capacity() const { return end_ - start_; }
  bool Contains(uint64_t at) const { return at >= start_ && at < end_; }
  uint64_t free() const { return free_; }
  uint64_t used() const { return capacity() - free_; }
  // Exact; searches the largest bin.
  uint64_t largest_hole() const;

  // REQUIRES for these three: `node` is allocated.
  uint64_t BlockSize(uint32_t node) const;
  // The block, and how far the holes on both its sides reach.
  struct Surroundings {
    uint64_t start;
    uint64_t end;
    uint64_t hole_start;  // == start where a block stands right before it
    uint64_t hole_end;    // == end where one stands right after it
  };
  Surroundings Around(uint32_t node) const;
  void ForEachSegment(
      uint32_t node,
      absl::FunctionRef<void(uint64_t start, uint64_t size)> visit) const;

  // Blocks and holes in address order, leaving nothing out. `visit` must not
  // change the allocator.
  void ForEachBlock(
      absl::FunctionRef<void(uint64_t start, uint64_t size, bool used)> visit)
      const;

 private:
  friend class HoleScan;

  // A block or a hole. `previous` and `next` are its neighbours by address; no
  // two holes are neighbours. The first and the last are neighbours of kBorder.
  struct Node {
    uint64_t start;
    uint64_t size;
    uint32_t previous;
    uint32_t next;
    uint32_t previous_hole;  // in its bin; for others kBlock or kUnused
    union {
      uint32_t next_hole;
      uint32_t far_end;  // of a block: HoleScan's note, or 0
    };
  };
  static_assert(sizeof(Node) == 32);
  struct Spot {
    uint32_t hole;
    uint64_t start;
  };

  static constexpr uint32_t kBorder = 0;  // also "none": it is never a hole
  static constexpr uint32_t kBlock = ~uint32_t{0};
  static constexpr uint32_t kUnused = ~uint32_t{0} - 1;
  static constexpr uint32_t kNoBin = ~uint32_t{0};
  // A sub-division of 64 keeps good fit within 1.6 % of best fit, and makes a
  // bitmap word of each power of two; the last word stays empty.
  static constexpr int kBinBits = 6;
  static constexpr uint32_t kBinWords = 64 - kBinBits + 2;

  static uint32_t BinOf(uint64_t size);
  // The first bin from `bin` on that has a hole, or kNoBin.
  uint32_t NextBin(uint32_t bin) const;
  void AddToBin(uint32_t hole, Node& node);
  void RemoveFromBin(const Node& node);
  void Resize(uint32_t hole, Node& node, uint64_t size);

  SpaceRequest Clamped(const SpaceRequest& request) const;
  bool IsPlain(const SpaceRequest& request) const;
  uint32_t NearestOf(uint32_t bin, uint64_t size, Direction direction) const;
  Spot FindPlain(const SpaceRequest& request) const;
  Spot NearestOf(Spot spot, const SpaceRequest& request) const;
  Spot FindPlaced(const SpaceRequest& request) const;
  Spot FindByAddress(const SpaceRequest& request) const;
  Spot Find(const SpaceRequest& request) const;
  Shortage::Kind WhyNot(const SpaceRequest& request) const;

  // For HoleScan. The nearest blocks beside one, or kBorder.
  bool IsHole(uint32_t node) const {
    return nodes_[node].previous_hole < kUnused;
  }
  uint32_t BlockBefore(uint32_t node) const {
    const uint32_t before = nodes_[node].previous;
    return IsHole(before) ? nodes_[before].previous : before;
  }
  uint32_t BlockAfter(uint32_t node) const {
    const uint32_t after = nodes_[node].next;
    return IsHole(after) ? nodes_[after].next : after;
  }
  uint32_t far_end(uint32_t node) const { return nodes_[node].far_end; }
  void SetFarEnd(uint32_t node, uint32_t far_end) {
    nodes_[node].far_end = far_end;
  }

  uint32_t InsertAfter(uint32_t previous, uint64_t start, uint64_t size);
  uint32_t Carve(Spot spot, uint64_t size);

  const uint64_t start_;
  const uint64_t end_;
  uint64_t free_;
  uint32_t node_count_ = 0;
  uint32_t hole_count_ = 0;
  internal::NodeSlabs<Node> nodes_;
  std::unique_ptr<uint32_t[]> bins_;             // first hole of each
  uint64_t words_in_use_ = 0;                    // bit w: bin_words_[w] != 0
  std::array<uint64_t, kBinWords> bin_words_{};  // bit b of w: bin 64 w + b
  internal::RefusedRequests refused_;
};

}  // namespace twostep

#endif  // MACHINE_RANGE_ALLOCATOR_H_
