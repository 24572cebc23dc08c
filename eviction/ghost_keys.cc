#include "twostep/eviction/ghost_keys.h"

#include <algorithm>
#include <bit>

#include "twostep/machine/check.h"

namespace twostep {

void GhostKeys::Reset(uint32_t most) {
  most_ = most;
  size_ = 0;
  bytes_ = 0;
  const int bits =
      std::max(1, static_cast<int>(std::bit_width(uint64_t{most})));
  shift_ = 64 - bits;
  buckets_.assign(size_t{1} << bits, 0);
  nodes_.assign(size_t{most} + 1, Node{});
  unused_ = most == 0 ? 0 : 1;
  for (uint32_t i = 1; i < most; ++i) nodes_[i].chain = i + 1;
}

std::optional<GhostKeys::Ghost> GhostKeys::Add(const Ghost& ghost) {
  if (most_ == 0) return ghost;
  std::optional<Ghost> forgotten;
  if (size_ == most_) forgotten = TakeOldest();
  const uint32_t index = unused_;
  Node& node = nodes_[index];
  unused_ = node.chain;
  uint32_t& bucket = BucketOf(ghost.key);
  const uint32_t newest = nodes_[kEnds].previous;
  node = Node{ghost, newest, kEnds, bucket};
  bucket = index;
  nodes_[newest].next = index;
  nodes_[kEnds].previous = index;
  ++size_;
  bytes_ += ghost.bytes;
  return forgotten;
}

std::optional<GhostKeys::Ghost> GhostKeys::Take(uint64_t key) {
  if (size_ == 0) return std::nullopt;
  for (uint32_t index = BucketOf(key); index != 0;
       index = nodes_[index].chain) {
    if (nodes_[index].ghost.key == key) return TakeNode(index);
  }
  return std::nullopt;
}

GhostKeys::Ghost GhostKeys::TakeNode(uint32_t index) {
  TWOSTEP_DCHECK(index != kEnds);
  Node& node = nodes_[index];
  uint32_t* link = &BucketOf(node.ghost.key);
  while (*link != index) link = &nodes_[*link].chain;
  *link = node.chain;
  nodes_[node.previous].next = node.next;
  nodes_[node.next].previous = node.previous;
  node.chain = unused_;
  unused_ = index;
  --size_;
  bytes_ -= node.ghost.bytes;
  return node.ghost;
}

}  // namespace twostep
