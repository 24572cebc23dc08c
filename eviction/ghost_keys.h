#ifndef EVICTION_GHOST_KEYS_H_
#define EVICTION_GHOST_KEYS_H_

// The keys of entries that were evicted, oldest first, so that a policy knows
// one that comes back (literature: a ghost list). Holds a fixed number of keys
// at most, 40 bytes each, allocated once; what is remembered longest makes
// room. Thread-compatible.

#include <cstdint>
#include <optional>
#include <vector>

namespace twostep {

class GhostKeys {
 public:
  struct Ghost {
    uint64_t key = 0;
    uint64_t bytes = 0;
    uint64_t tag = 0;  // of the policy's own
  };

  // Forgets all, and remembers up to `most` from now on. Before, none.
  void Reset(uint32_t most);

  bool empty() const { return size_ == 0; }
  // Of all that are remembered.
  uint64_t bytes() const { return bytes_; }

  // REQUIRES: the key is not remembered. Returns what is forgotten instead, if
  // there are too many; that may be `ghost` itself.
  std::optional<Ghost> Add(const Ghost& ghost);
  // Forgets the key, if it was remembered.
  std::optional<Ghost> Take(uint64_t key);
  // REQUIRES: not empty.
  Ghost TakeOldest() { return TakeNode(nodes_[kEnds].next); }

 private:
  // Nodes stand in a ring through node 0, oldest first, and each in the chain
  // of its bucket. A node of no use is in the chain unused_.
  struct Node {
    Ghost ghost;
    uint32_t previous = 0;
    uint32_t next = 0;
    uint32_t chain = 0;
  };
  static constexpr uint32_t kEnds = 0;

  uint32_t& BucketOf(uint64_t key) {
    return buckets_[key * 0x9e3779b97f4a7c15 >> shift_];
  }
  Ghost TakeNode(uint32_t index);

  uint32_t most_ = 0;
  uint32_t size_ = 0;
  uint64_t bytes_ = 0;
  int shift_ = 63;
  uint32_t unused_ = 0;
  std::vector<Node> nodes_;
  std::vector<uint32_t> buckets_;
};

}  // namespace twostep

#endif  // EVICTION_GHOST_KEYS_H_
