#include "twostep/machine/buddy_allocator.h"

#include <algorithm>
#include <bit>
#include <vector>

#include "twostep/machine/check.h"

namespace twostep {
namespace {

// The smallest order whose blocks hold `size` units.
int OrderHolding(uint64_t size) { return std::bit_width(size - 1); }
int FloorOrder(uint64_t size) { return std::bit_width(size) - 1; }

// A multiple of more than any space's size, so that below it the alignment of
// an offset is the alignment of its address.
uint64_t BaseOf(uint64_t start, uint64_t size) {
  return internal::AlignDown(start, std::bit_ceil(size));
}

// One run is all that can serve this: either asked for, or less than the
// shortest segment.
bool IsOneRun(const SpaceRequest& request) {
  return request.contiguous || request.size <= request.alignment;
}

}  // namespace

inline uint32_t BuddyAllocator::NewSegment(Run run, State state) {
  const uint32_t index = segments_.Take();
  segments_[index] = {.start = run.start,
                      .size = run.size(),
                      .next = kNoSegment,
                      .state = state};
  return index;
}

BuddyAllocator::BuddyAllocator(uint64_t start, uint64_t size)
    : start_(start), end_(start + size), base_(BaseOf(start, size)) {
  TWOSTEP_CHECK(size > 0 && size <= uint64_t{1} << 40);
  TWOSTEP_CHECK(end_ > start_);
  const uint64_t span = end_ - base_;
  orders_ = std::bit_width(span);
  // Merging asks for the buddy to the right of the last block as well.
  const auto limit = [span](int order) { return (span >> order) + 2; };
  size_t words = internal::BitTree::WordsFor(limit(0));
  for (int order = 0; order < orders_; ++order) {
    words += internal::BitTree::WordsFor(limit(order));
  }
  // calloc: pages of zeros that the process does not pay for until used.
  words_.reset(static_cast<uint64_t*>(std::calloc(words, sizeof(uint64_t))));
  TWOSTEP_CHECK(words_ != nullptr);
  uint64_t* next = words_.get();
  for (int order = 0; order < orders_; ++order) {
    blocks_[order].Init(next, limit(order));
    next += internal::BitTree::WordsFor(limit(order));
  }
  edges_.Init(next, limit(0));
  // No allocation is called 0: see SpaceBlock.
  NewSegment({}, State::kUnused);
  ReleaseRun({start_, end_});
}

// What was an edge between used and free is none once both sides are the same.
inline void BuddyAllocator::ToggleEdges(Run run) {
  edges_.Toggle(run.start - base_);
  edges_.Toggle(run.end - base_);
}

inline void BuddyAllocator::InsertBlock(int order, uint64_t index) {
  blocks_[order].Insert(index);
  orders_in_use_ |= uint64_t{1} << order;
}

inline void BuddyAllocator::EraseBlock(int order, uint64_t index) {
  if (blocks_[order].Erase(index)) orders_in_use_ &= ~(uint64_t{1} << order);
}

// Makes blocks of [offset, end), part of a block whose rest is not free: thus
// no piece has a free buddy.
inline void BuddyAllocator::InsertPieces(uint64_t offset, uint64_t end) {
  while (offset != end) {
    const int order =
        std::min(std::countr_zero(offset), FloorOrder(end - offset));
    InsertBlock(order, offset >> order);
    offset += uint64_t{1} << order;
  }
}

// At each order the run's ends either take in a free buddy or leave the block
// there behind, until nothing is left of the run.
void BuddyAllocator::ReleaseRun(Run run) {
  free_ += run.size();
  ToggleEdges(run);
  uint64_t start = run.start - base_;
  uint64_t end = run.end - base_;
  while (start != end) {
    const int order = std::countr_zero(start | end);
    const uint64_t size = uint64_t{1} << order;
    if ((start & size) != 0) {
      const uint64_t index = start >> order;
      if (blocks_[order].Has(index - 1)) {
        EraseBlock(order, index - 1);
        start -= size;
      } else {
        InsertBlock(order, index);
        start += size;
      }
    }
    if ((end & size) != 0 && start != end) {
      const uint64_t index = end >> order;
      if (blocks_[order].Has(index)) {
        EraseBlock(order, index);
        end += size;
      } else {
        InsertBlock(order, index - 1);
        end -= size;
      }
    }
  }
}

inline void BuddyAllocator::TakeRun(const Spot& spot) {
  free_ -= spot.run.size();
  ToggleEdges(spot.run);
  const uint64_t start = spot.run.start - base_;
  const uint64_t end = spot.run.end - base_;
  for (uint64_t at = start; at < end;) {
    const int order = spot.order != kAcross ? spot.order : OrderAt(at);
    const uint64_t index = at >> order;
    EraseBlock(order, index);
    const uint64_t block_end = (index + 1) << order;
    InsertPieces(index << order, at);
    if (block_end > end) InsertPieces(end, block_end);
    at = block_end;
  }
}

// The order of the free block that contains a free offset.
int BuddyAllocator::OrderAt(uint64_t offset) const {
  for (uint64_t orders = orders_in_use_; orders != 0; orders &= orders - 1) {
    const int order = std::countr_zero(orders);
    if (blocks_[order].Has(offset >> order)) return order;
  }
  TWOSTEP_CHECK(false);
  return 0;
}

BuddyAllocator::Run BuddyAllocator::BlockRun(int order, uint64_t index) const {
  const uint64_t start = base_ + (index << order);
  return {start, start + (uint64_t{1} << order)};
}

// The longest free run around a part that is free.
BuddyAllocator::Run BuddyAllocator::HoleAround(Run part) const {
  return {base_ + edges_.AtOrBefore(part.start - base_),
          base_ + edges_.AtOrAfter(part.end - base_)};
}

// The hole that contains `address`, else the next one above, else none.
BuddyAllocator::Run BuddyAllocator::NextHole(uint64_t address) const {
  Run next;
  for (uint64_t orders = orders_in_use_; orders != 0; orders &= orders - 1) {
    const int order = std::countr_zero(orders);
    const uint64_t index = blocks_[order].AtOrAfter((address - base_) >> order);
    if (index == internal::BitTree::kNone) continue;
    const Run block = BlockRun(order, index);
    if (next.empty() || block.start < next.start) next = block;
  }
  return next.empty() ? next : HoleAround(next);
}

inline SpaceRequest BuddyAllocator::Clamped(const SpaceRequest& request) const {
  SpaceRequest clamped = request;
  clamped.first = std::max(request.first, start_);
  clamped.end = std::min(request.end, end_);
  return clamped;
}

// A place at a multiple of the order that holds the request, which crosses no
// boundary that the request fits into. Bottom-up takes it from the smallest
// free block that has one, top-down wherever it is highest.
BuddyAllocator::Spot BuddyAllocator::FindInOneBlock(
    const SpaceRequest& request) const {
  const int fit =
      std::max(OrderHolding(request.size), FloorOrder(request.alignment));
  if (fit >= orders_) return {};
  uint64_t orders = orders_in_use_ & (~uint64_t{0} << fit);
  if (orders == 0) return {};
  const bool upwards = request.direction == Direction::kBottomUp;
  if (upwards && request.first == start_ && request.end == end_) {
    const int order = std::countr_zero(orders);
    const uint64_t start = base_ + (blocks_[order].First() << order);
    return {{start, start + request.size}, order};
  }
  Spot best;
  for (; orders != 0; orders &= orders - 1) {
    const int order = std::countr_zero(orders);
    const Run run = FindInOrder(request, fit, order);
    if (run.empty()) continue;
    if (upwards) return {run, order};
    if (best.run.empty() || run.start > best.run.start) best = {run, order};
  }
  return best;
}

// The same from the free blocks of one order.
BuddyAllocator::Run BuddyAllocator::FindInOrder(const SpaceRequest& request,
                                                int fit, int order) const {
  const internal::BitTree& blocks = blocks_[order];
  const bool upwards = request.direction == Direction::kBottomUp;
  uint64_t index = upwards
                       ? blocks.AtOrAfter((request.first - base_) >> order)
                       : blocks.AtOrBefore((request.end - 1 - base_) >> order);
  // The range's ends may cut into the first block found, and only the range's
  // other end into the second.
  for (int tries = 0; tries < 2 && index != internal::BitTree::kNone; ++tries) {
    const Run block = BlockRun(order, index);
    const uint64_t low = std::max(block.start, request.first) - base_;
    const uint64_t high = std::min(block.end, request.end) - base_;
    const uint64_t fitting = uint64_t{1} << fit;
    if (high >= low && high - low >= request.size) {
      const uint64_t offset =
          upwards ? internal::AlignUp(low, fitting)
                  : internal::AlignDown(high - request.size, fitting);
      if (offset >= low && offset + request.size <= high) {
        return {base_ + offset, base_ + offset + request.size};
      }
    }
    if (!upwards && index == 0) break;
    index =
        upwards ? blocks.AtOrAfter(index + 1) : blocks.AtOrBefore(index - 1);
  }
  return {};
}

// Any place at all: a run of `size` contains a whole block of half that size or
// little less, so the holes around those blocks are all that matter.
BuddyAllocator::Run BuddyAllocator::FindAcrossBlocks(
    const SpaceRequest& request) const {
  const int smallest = FloorOrder(request.size + 1) - 1;
  if (smallest >= orders_) return {};
  uint64_t orders = orders_in_use_ & (~uint64_t{0} << smallest);
  for (; orders != 0; orders &= orders - 1) {
    const Run run = FindAround(request, std::countr_zero(orders));
    if (!run.empty()) return run;
  }
  return {};
}

// The same in the holes that have a block of one order.
BuddyAllocator::Run BuddyAllocator::FindAround(const SpaceRequest& request,
                                               int order) const {
  const internal::BitTree& blocks = blocks_[order];
  const bool upwards = request.direction == Direction::kBottomUp;
  uint64_t index = upwards
                       ? blocks.AtOrAfter((request.first - base_) >> order)
                       : blocks.AtOrBefore((request.end - 1 - base_) >> order);
  while (index != internal::BitTree::kNone) {
    const Run block = BlockRun(order, index);
    if (upwards ? block.start >= request.end : block.end <= request.first) {
      break;
    }
    const Run hole = HoleAround(block);
    uint64_t place;
    if (internal::PlaceInHole(hole.start, hole.end, request, &place)) {
      return {place, place + request.size};
    }
    if (upwards) {
      index = blocks.AtOrAfter(((hole.end - 1 - base_) >> order) + 1);
    } else {
      const uint64_t lowest = (hole.start - base_) >> order;
      if (lowest == 0) break;
      index = blocks.AtOrBefore(lowest - 1);
    }
  }
  return {};
}

inline BuddyAllocator::Spot BuddyAllocator::FindRun(
    const SpaceRequest& request) const {
  if (request.first >= request.end ||
      (request.boundary != 0 && request.size > request.boundary)) {
    return {};
  }
  const Spot spot = FindInOneBlock(request);
  return spot.run.empty() ? Spot{FindAcrossBlocks(request), kAcross} : spot;
}

// The next segment of a split request of which `size` units are still to be
// served: all of them, else the largest block that there is, of `order` at
// most. `order` falls to what was found: larger ones will not appear.
BuddyAllocator::Spot BuddyAllocator::FindPiece(const SpaceRequest& request,
                                               uint64_t size,
                                               int* order) const {
  SpaceRequest piece = request;
  piece.size = size;
  if (request.boundary == 0 || size <= request.boundary) {
    const Spot rest = FindInOneBlock(piece);
    if (!rest.run.empty()) return rest;
  }
  if (size < request.alignment) return FindRun(piece);
  *order = std::min(*order, FloorOrder(size));
  for (; *order >= FloorOrder(request.alignment); --*order) {
    piece.size = uint64_t{1} << *order;
    const Spot spot = FindInOneBlock(piece);
    if (!spot.run.empty()) return spot;
  }
  return {};
}

// Counts what AllocatePieces() would find.
bool BuddyAllocator::CouldBeSplit(const SpaceRequest& request) const {
  const uint64_t alignment = request.alignment;
  const uint64_t tail = request.size % alignment;
  uint64_t whole = 0;
  bool tail_fits = tail == 0;
  for (Run hole = NextHole(request.first);
       !hole.empty() && hole.start < request.end; hole = NextHole(hole.end)) {
    const uint64_t low =
        internal::AlignUp(std::max(hole.start, request.first), alignment);
    const uint64_t high = std::min(hole.end, request.end);
    if (low < hole.start || low >= high) continue;
    whole += internal::AlignDown(high - low, alignment);
    tail_fits = tail_fits || (high - low) % alignment >= tail;
  }
  const uint64_t needed = request.size - tail;
  return whole >= needed + (tail_fits ? 0 : alignment);
}

Shortage::Kind BuddyAllocator::WhyNot(const SpaceRequest& request) const {
  SpaceRequest whole = request;
  if (!IsOneRun(request)) {
    // Segments can stop at each boundary, if they can reach it.
    if (request.boundary != 0 && request.boundary < request.alignment) {
      return Shortage::Kind::kNeverFits;
    }
    whole.boundary = 0;
  }
  uint64_t place;
  if (!internal::PlaceInHole(start_, end_, whole, &place)) {
    return Shortage::Kind::kNeverFits;
  }
  return request.size > free_ ? Shortage::Kind::kFull
                              : Shortage::Kind::kFragmented;
}

inline Shortage::Kind BuddyAllocator::AllocateRun(const SpaceRequest& request,
                                                  SpaceBlock* block) {
  if (refused_runs_.Covers(request)) return WhyNot(request);
  const Spot spot = FindRun(request);
  if (spot.run.empty()) {
    refused_runs_.Add(request);
    return WhyNot(request);
  }
  TakeRun(spot);
  block->start = spot.run.start;
  block->node = NewSegment(spot.run, State::kFirst);
  return Shortage::Kind::kNone;
}

Shortage::Kind BuddyAllocator::Allocate(const SpaceRequest& request,
                                        SpaceBlock* block) {
  TWOSTEP_CHECK(internal::IsWellFormed(request));
  const SpaceRequest clamped = Clamped(request);
  if (clamped.size > free_ || clamped.first >= clamped.end) {
    return WhyNot(clamped);
  }
  return IsOneRun(clamped) ? AllocateRun(clamped, block)
                           : AllocatePieces(clamped, block);
}

Shortage::Kind BuddyAllocator::AllocatePieces(const SpaceRequest& request,
                                              SpaceBlock* block) {
  if (IsSplitRefused(request) ||
      (request.boundary != 0 && request.boundary < request.alignment)) {
    return WhyNot(request);
  }
  int order = orders_ - 1;
  if (request.boundary != 0) {
    order = std::min(order, FloorOrder(request.boundary));
  }
  Chain chain;
  for (uint64_t left = request.size; left > 0;) {
    const Spot spot = FindPiece(request, left, &order);
    if (spot.run.empty()) {
      Unwind(chain);
      refused_split_ = request;
      missing_ = left;
      return WhyNot(request);
    }
    TakeRun(spot);
    Append(&chain, spot.run, request.boundary);
    left -= spot.run.size();
  }
  block->start = segments_[chain.first].start;
  block->node = chain.first;
  return Shortage::Kind::kNone;
}

// Runs that meet become one segment, unless it would cross a boundary.
void BuddyAllocator::Append(Chain* chain, Run run, uint64_t boundary) {
  if (chain->first == kNoSegment) {
    chain->first = chain->last = NewSegment(run, State::kFirst);
    return;
  }
  Segment& last = segments_[chain->last];
  const bool above = last.start + last.size == run.start;
  const bool below = run.end == last.start;
  const uint64_t meeting = above ? run.start : last.start;
  if ((above || below) && (boundary == 0 || meeting % boundary != 0)) {
    if (below) last.start = run.start;
    last.size += run.size();
    return;
  }
  const uint32_t segment = NewSegment(run, State::kLater);
  last.next = segment;
  chain->last = segment;
}

// What is free afterwards decides the blocks: they are as before the pieces
// were taken.
void BuddyAllocator::Unwind(const Chain& chain) {
  for (uint32_t index = chain.first; index != kNoSegment;) {
    Segment& segment = segments_[index];
    const uint32_t next = segment.next;
    ReleaseRun({segment.start, segment.start + segment.size});
    segment.state = State::kUnused;
    segments_.Return(index);
    index = next;
  }
}

bool BuddyAllocator::IsSplitRefused(const SpaceRequest& request) const {
  const SpaceRequest& refused = refused_split_;
  return refused.size != 0 && request.size >= refused.size &&
         request.alignment == refused.alignment &&
         request.first >= refused.first && request.end <= refused.end;
}

void BuddyAllocator::NoteGrowth(Run run) {
  if (!refused_runs_.empty()) {
    const Run hole = HoleAround(run);
    refused_runs_.HoleGrew(hole.start, hole.end);
  }
  if (refused_split_.size == 0) return;
  const uint64_t low = std::max(run.start, refused_split_.first);
  const uint64_t high = std::min(run.end, refused_split_.end);
  if (low >= high) return;
  // At each of its ends the run may complete one unit of alignment.
  uint64_t gained = high - low;
  if (refused_split_.alignment > 1) gained += 2 * refused_split_.alignment;
  if (gained >= missing_) {
    refused_split_.size = 0;
  } else {
    missing_ -= gained;
  }
}

void BuddyAllocator::Free(uint32_t node) {
  TWOSTEP_CHECK(node < segments_.limit());
  TWOSTEP_CHECK(segments_[node].state == State::kFirst);
  while (node != kNoSegment) {
    Segment& segment = segments_[node];
    const uint32_t next = segment.next;
    const Run run{segment.start, segment.start + segment.size};
    segment.state = State::kUnused;
    segments_.Return(node);
    ReleaseRun(run);
    NoteGrowth(run);
    node = next;
  }
}

uint64_t BuddyAllocator::largest_hole() const {
  if (orders_in_use_ == 0) return 0;
  // The hole of a largest block is at least that long, so a longer one has a
  // block of the order below or more.
  const int highest = FloorOrder(orders_in_use_);
  uint64_t largest = 0;
  for (int order = std::max(highest - 1, 0); order <= highest; ++order) {
    const internal::BitTree& blocks = blocks_[order];
    for (uint64_t index = blocks.AtOrAfter(0);
         index != internal::BitTree::kNone;) {
      const Run hole = HoleAround(BlockRun(order, index));
      largest = std::max(largest, hole.size());
      index = blocks.AtOrAfter(((hole.end - 1 - base_) >> order) + 1);
    }
  }
  return largest;
}

Shortage BuddyAllocator::Describe(const SpaceRequest& request) const {
  TWOSTEP_CHECK(internal::IsWellFormed(request));
  const SpaceRequest clamped = Clamped(request);
  Shortage shortage;
  shortage.free = free_;
  shortage.largest_hole = largest_hole();
  shortage.kind = WhyNot(clamped);
  if (shortage.kind == Shortage::Kind::kFragmented &&
      (IsOneRun(clamped) ? !FindRun(clamped).run.empty()
                         : CouldBeSplit(clamped))) {
    shortage.kind = Shortage::Kind::kNone;
  }
  return shortage;
}

uint64_t BuddyAllocator::BlockSize(uint32_t node) const {
  uint64_t size = 0;
  ForEachSegment(node, [&size](uint64_t, uint64_t part) { size += part; });
  return size;
}

void BuddyAllocator::ForEachSegment(
    uint32_t node,
    absl::FunctionRef<void(uint64_t start, uint64_t size)> visit) const {
  TWOSTEP_DCHECK(segments_[node].state == State::kFirst);
  for (; node != kNoSegment; node = segments_[node].next) {
    visit(segments_[node].start, segments_[node].size);
  }
}

void BuddyAllocator::ForEachBlock(
    absl::FunctionRef<void(uint64_t start, uint64_t size, bool used)> visit)
    const {
  std::vector<Run> used;
  for (uint32_t index = 0; index < segments_.limit(); ++index) {
    const Segment& segment = segments_[index];
    if (segment.state != State::kUnused) {
      used.push_back({segment.start, segment.start + segment.size});
    }
  }
  std::sort(used.begin(), used.end(),
            [](Run a, Run b) { return a.start < b.start; });
  uint64_t at = start_;
  for (const Run& run : used) {
    if (at < run.start) visit(at, run.start - at, false);
    visit(run.start, run.size(), true);
    at = run.end;
  }
  if (at < end_) visit(at, end_ - at, false);
}

}  // namespace twostep
