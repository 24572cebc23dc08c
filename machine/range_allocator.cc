#include "twostep/machine/range_allocator.h"

#include <algorithm>
#include <bit>

#include "twostep/machine/check.h"

namespace twostep {
namespace {

// Holes looked at in one bin, each perhaps a cache miss.
constexpr int kLooks = 8;
// Holes tried for alignment, range and boundary before one that is surely
// large enough is taken instead.
constexpr int kTries = 24;

}  // namespace

RangeAllocator::RangeAllocator(uint64_t start, uint64_t size)
    : start_(start), end_(start + size), free_(size) {
  TWOSTEP_CHECK(size > 0);
  TWOSTEP_CHECK(end_ > start_);
  bins_ = std::make_unique<uint32_t[]>(BinOf(size) + 1);
  const uint32_t border = nodes_.Take();
  TWOSTEP_CHECK(border == kBorder);
  nodes_[kBorder] = {.start = 0,
                     .size = 0,
                     .previous = kBorder,
                     .next = kBorder,
                     .previous_hole = kUnused,
                     .next_hole = kBorder};
  const uint32_t hole = InsertAfter(kBorder, start, size);
  AddToBin(hole, nodes_[hole]);
}

inline uint32_t RangeAllocator::BinOf(uint64_t size) {
  if (size < (uint64_t{1} << kBinBits)) return static_cast<uint32_t>(size);
  const int shift = std::bit_width(size) - 1 - kBinBits;
  // The leading bit of size >> shift counts as one more word.
  return (static_cast<uint32_t>(shift) << kBinBits) +
         static_cast<uint32_t>(size >> shift);
}

inline uint32_t RangeAllocator::NextBin(uint32_t bin) const {
  uint32_t word = bin / 64;
  uint64_t bits = bin_words_[word] & (~uint64_t{0} << (bin % 64));
  if (bits == 0) {
    // word < 63, so neither shift is too far.
    const uint64_t words = words_in_use_ & (~uint64_t{0} << word << 1);
    if (words == 0) return kNoBin;
    word = std::countr_zero(words);
    bits = bin_words_[word];
  }
  return word * 64 + std::countr_zero(bits);
}

inline void RangeAllocator::AddToBin(uint32_t hole, Node& node) {
  const uint32_t bin = BinOf(node.size);
  const uint32_t head = bins_[bin];
  node.previous_hole = kBorder;
  node.next_hole = head;
  bins_[bin] = hole;
  if (head != kBorder) {
    nodes_[head].previous_hole = hole;
  } else {
    bin_words_[bin / 64] |= uint64_t{1} << (bin % 64);
    words_in_use_ |= uint64_t{1} << (bin / 64);
  }
  ++hole_count_;
}

inline void RangeAllocator::RemoveFromBin(const Node& node) {
  const uint32_t next = node.next_hole;
  if (next != kBorder) nodes_[next].previous_hole = node.previous_hole;
  if (node.previous_hole != kBorder) {
    nodes_[node.previous_hole].next_hole = next;
  } else {
    const uint32_t bin = BinOf(node.size);
    bins_[bin] = next;
    if (next == kBorder) {
      uint64_t& word = bin_words_[bin / 64];
      word &= ~(uint64_t{1} << (bin % 64));
      if (word == 0) words_in_use_ &= ~(uint64_t{1} << (bin / 64));
    }
  }
  --hole_count_;
}

void RangeAllocator::Resize(uint32_t hole, Node& node, uint64_t size) {
  if (BinOf(node.size) == BinOf(size)) {
    node.size = size;
    return;
  }
  RemoveFromBin(node);
  node.size = size;
  AddToBin(hole, node);
}

SpaceRequest RangeAllocator::Clamped(const SpaceRequest& request) const {
  SpaceRequest clamped = request;
  clamped.first = std::max(request.first, start_);
  clamped.end = std::min(request.end, end_);
  return clamped;
}

inline bool RangeAllocator::IsPlain(const SpaceRequest& request) const {
  return request.alignment == 1 && request.boundary == 0 &&
         request.first <= start_ && request.end >= end_;
}

// Of the first few holes of a bin those that fit `size`, and of them the one
// nearest to the end of the space that the direction names, or kBorder. The
// holes of a bin being nearly of one size, this is worth more than the best fit
// among them: what is left free comes together at the other end.
inline uint32_t RangeAllocator::NearestOf(uint32_t bin, uint64_t size,
                                          Direction direction) const {
  uint32_t nearest = kBorder;
  uint64_t nearest_start = 0;
  int looks = kLooks;
  for (uint32_t hole = bins_[bin]; hole != kBorder && looks > 0; --looks) {
    const Node& node = nodes_[hole];
    if (node.size >= size &&
        (nearest == kBorder ||
         (direction == Direction::kBottomUp ? node.start < nearest_start
                                            : node.start > nearest_start))) {
      nearest = hole;
      nearest_start = node.start;
    }
    hole = node.next_hole;
  }
  return nearest;
}

inline RangeAllocator::Spot RangeAllocator::FindPlain(
    const SpaceRequest& request) const {
  const uint64_t size = request.size;
  const uint32_t own = BinOf(size);
  uint32_t hole = kBorder;
  uint32_t bin = NextBin(own);
  if (bin == kNoBin) return {kBorder, 0};
  hole = NearestOf(bin, size, request.direction);
  if (hole == kBorder) {
    // Only its own bin has holes that are too small for it.
    bin = NextBin(own + 1);
    if (bin != kNoBin) {
      hole = NearestOf(bin, size, request.direction);
    } else {
      hole = bins_[own];
      while (hole != kBorder && nodes_[hole].size < size) {
        hole = nodes_[hole].next_hole;
      }
      if (hole == kBorder) return {kBorder, 0};
    }
  }
  const Node& node = nodes_[hole];
  return {hole, request.direction == Direction::kBottomUp
                    ? node.start
                    : node.start + (node.size - size)};
}

// Of `spot` and the few holes behind it in its bin, the one nearest to the end
// that the direction names.
RangeAllocator::Spot RangeAllocator::NearestOf(
    Spot spot, const SpaceRequest& request) const {
  uint32_t hole = nodes_[spot.hole].next_hole;
  for (int looks = kLooks; hole != kBorder && looks > 1; --looks) {
    const Node& node = nodes_[hole];
    uint64_t start;
    if (internal::PlaceInHole(node.start, node.start + node.size, request,
                              &start) &&
        (request.direction == Direction::kBottomUp) == (start < spot.start)) {
      spot = {hole, start};
    }
    hole = node.next_hole;
  }
  return spot;
}

RangeAllocator::Spot RangeAllocator::FindPlaced(
    const SpaceRequest& request) const {
  Spot spot{kBorder, 0};
  if (request.first >= request.end ||
      (request.boundary != 0 && request.size > request.boundary)) {
    return spot;
  }
  int tries = kTries;
  uint32_t bin = NextBin(BinOf(request.size));
  uint32_t hole = bin == kNoBin ? kBorder : bins_[bin];
  const auto advance = [&] {
    hole = nodes_[hole].next_hole;
    if (hole == kBorder && (bin = NextBin(bin + 1)) != kNoBin) {
      hole = bins_[bin];
    }
  };
  const auto fits = [&](uint32_t candidate) {
    const Node& node = nodes_[candidate];
    spot.hole = candidate;
    return internal::PlaceInHole(node.start, node.start + node.size, request,
                                 &spot.start);
  };
  for (; hole != kBorder && tries > 0; --tries, advance()) {
    if (fits(hole)) return NearestOf(spot, request);
  }
  if (hole == kBorder) return {kBorder, 0};

  // In a hole this large an aligned place that crosses nothing exists, unless
  // the range cuts into it.
  const uint64_t slack = std::max(request.alignment, request.boundary) - 1;
  if (slack < capacity() && request.size <= capacity() - slack) {
    const uint32_t sure = NextBin(BinOf(request.size + slack) + 1);
    if (sure != kNoBin && fits(bins_[sure])) return spot;
  }
  // Either walk finds every place; take the one that looks shorter.
  const uint64_t beyond = std::min(request.end - start_, end_ - request.first);
  if (static_cast<double>(beyond) / static_cast<double>(capacity()) *
          node_count_ <
      hole_count_) {
    return FindByAddress(request);
  }
  for (; hole != kBorder; advance()) {
    if (fits(hole)) return spot;
  }
  return {kBorder, 0};
}

// Walks from the end of the space that is nearer to the range's far end.
RangeAllocator::Spot RangeAllocator::FindByAddress(
    const SpaceRequest& request) const {
  const bool upwards = request.end - start_ <= end_ - request.first;
  uint32_t hole = kBorder;
  while (true) {
    hole = upwards ? nodes_[hole].next : nodes_[hole].previous;
    if (hole == kBorder) return {kBorder, 0};
    const Node& node = nodes_[hole];
    if (upwards ? node.start >= request.end
                : node.start + node.size <= request.first) {
      return {kBorder, 0};
    }
    uint64_t start;
    if (node.previous_hole != kBlock &&
        internal::PlaceInHole(node.start, node.start + node.size, request,
                              &start)) {
      return {hole, start};
    }
  }
}

RangeAllocator::Spot RangeAllocator::Find(const SpaceRequest& request) const {
  if (request.size > free_) return {kBorder, 0};
  return IsPlain(request) ? FindPlain(request) : FindPlaced(request);
}

Shortage::Kind RangeAllocator::WhyNot(const SpaceRequest& request) const {
  uint64_t start;
  const bool fits = IsPlain(request)
                        ? request.size <= capacity()
                        : internal::PlaceInHole(start_, end_, request, &start);
  if (!fits) return Shortage::Kind::kNeverFits;
  return request.size > free_ ? Shortage::Kind::kFull
                              : Shortage::Kind::kFragmented;
}

uint32_t RangeAllocator::InsertAfter(uint32_t previous, uint64_t start,
                                     uint64_t size) {
  const uint32_t index = nodes_.Take();
  Node& node = nodes_[index];
  Node& before = nodes_[previous];
  node.start = start;
  node.size = size;
  node.previous = previous;
  node.next = before.next;
  nodes_[before.next].previous = index;
  before.next = index;
  ++node_count_;
  return index;
}

// Makes a block of `size` at spot.start, and holes of what is left on its
// sides.
inline uint32_t RangeAllocator::Carve(Spot spot, uint64_t size) {
  Node& hole = nodes_[spot.hole];
  const uint64_t below = spot.start - hole.start;
  const uint64_t above = hole.size - below - size;
  uint32_t block = spot.hole;
  if (below == 0 && above == 0) {
    RemoveFromBin(hole);
  } else if (below == 0) {
    block = InsertAfter(hole.previous, spot.start, size);
    hole.start += size;
    Resize(spot.hole, hole, above);
  } else {
    block = InsertAfter(spot.hole, spot.start, size);
    Resize(spot.hole, hole, below);
    if (above != 0) {
      const uint32_t rest = InsertAfter(block, spot.start + size, above);
      AddToBin(rest, nodes_[rest]);
    }
  }
  nodes_[block].previous_hole = kBlock;
  nodes_[block].far_end = 0;
  return block;
}

Shortage::Kind RangeAllocator::Allocate(const SpaceRequest& request,
                                        SpaceBlock* block) {
  TWOSTEP_CHECK(internal::IsWellFormed(request));
  if (request.size > free_ || refused_.Covers(request)) {
    return WhyNot(request);
  }
  const Spot spot =
      IsPlain(request) ? FindPlain(request) : FindPlaced(Clamped(request));
  if (spot.hole == kBorder) {
    refused_.Add(request);
    return WhyNot(request);
  }
  block->start = spot.start;
  block->node = Carve(spot, request.size);
  free_ -= request.size;
  return Shortage::Kind::kNone;
}

void RangeAllocator::Free(uint32_t index) {
  TWOSTEP_CHECK(index < nodes_.limit());
  Node& node = nodes_[index];
  TWOSTEP_CHECK(node.previous_hole == kBlock);
  free_ += node.size;
  const auto is_hole = [](const Node& neighbour) {
    return neighbour.previous_hole < kUnused;
  };
  Node& before = nodes_[node.previous];
  Node& after = nodes_[node.next];
  uint64_t start = node.start;
  uint64_t end = start + node.size;
  if (is_hole(before)) {
    const uint32_t hole = node.previous;
    start = before.start;
    uint32_t next = node.next;
    if (is_hole(after)) {
      end += after.size;
      RemoveFromBin(after);
      const uint32_t merged = next;
      next = after.next;
      after.previous_hole = kUnused;
      nodes_.Return(merged);
      --node_count_;
    }
    before.next = next;
    nodes_[next].previous = hole;
    Resize(hole, before, end - start);
  } else if (is_hole(after)) {
    const uint32_t hole = node.next;
    end += after.size;
    after.start = start;
    after.previous = node.previous;
    before.next = hole;
    Resize(hole, after, end - start);
  } else {
    AddToBin(index, node);
    refused_.HoleGrew(start, end);
    return;
  }
  node.previous_hole = kUnused;
  nodes_.Return(index);
  --node_count_;
  refused_.HoleGrew(start, end);
}

uint64_t RangeAllocator::largest_hole() const {
  if (words_in_use_ == 0) return 0;
  const uint32_t word = std::bit_width(words_in_use_) - 1;
  const uint32_t bin = word * 64 + std::bit_width(bin_words_[word]) - 1;
  uint64_t largest = 0;
  for (uint32_t hole = bins_[bin]; hole != kBorder;
       hole = nodes_[hole].next_hole) {
    largest = std::max(largest, nodes_[hole].size);
  }
  return largest;
}

Shortage RangeAllocator::Describe(const SpaceRequest& request) const {
  TWOSTEP_CHECK(internal::IsWellFormed(request));
  const SpaceRequest clamped = Clamped(request);
  Shortage shortage;
  shortage.kind =
      Find(clamped).hole != kBorder ? Shortage::Kind::kNone : WhyNot(clamped);
  shortage.free = free_;
  shortage.largest_hole = largest_hole();
  return shortage;
}

uint64_t RangeAllocator::BlockSize(uint32_t node) const {
  TWOSTEP_DCHECK(nodes_[node].previous_hole == kBlock);
  return nodes_[node].size;
}

RangeAllocator::Surroundings RangeAllocator::Around(uint32_t node) const {
  const Node& block = nodes_[node];
  TWOSTEP_DCHECK(block.previous_hole == kBlock);
  Surroundings around{.start = block.start,
                      .end = block.start + block.size,
                      .hole_start = block.start,
                      .hole_end = block.start + block.size};
  if (block.previous != kBorder &&
      nodes_[block.previous].previous_hole != kBlock) {
    around.hole_start = nodes_[block.previous].start;
  }
  if (block.next != kBorder && nodes_[block.next].previous_hole != kBlock) {
    around.hole_end += nodes_[block.next].size;
  }
  return around;
}

void RangeAllocator::ForEachSegment(
    uint32_t node,
    absl::FunctionRef<void(uint64_t start, uint64_t size)> visit) const {
  TWOSTEP_DCHECK(nodes_[node].previous_hole == kBlock);
  visit(nodes_[node].start, nodes_[node].size);
}

void RangeAllocator::ForEachBlock(
    absl::FunctionRef<void(uint64_t start, uint64_t size, bool used)> visit)
    const {
  for (uint32_t index = nodes_[kBorder].next; index != kBorder;
       index = nodes_[index].next) {
    const Node& node = nodes_[index];
    visit(node.start, node.size, node.previous_hole == kBlock);
  }
}

}  // namespace twostep
