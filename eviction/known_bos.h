#ifndef EVICTION_KNOWN_BOS_H_
#define EVICTION_KNOWN_BOS_H_

// What a policy remembers of bos, also of those that have left, by key and by a
// small number. Owns 44 bytes for each bo there was at a time, doubling.
// Thread-compatible.

#include <cstdint>
#include <vector>

#include "twostep/eviction/eviction_policy.h"

namespace twostep {

struct BoRecord {
  EvictionHook* in = nullptr;  // null when it has left
  uint64_t key = 0;
  uint64_t bytes = 0;
  // Of the last use in the log, the low bits; 0: none. While its entry stands
  // in the log, the entry knows better.
  uint32_t last = 0;
  // AdaptivePolicy's: a hint that was dropped while the bo was away; 0: none.
  uint32_t due = 0;
  // KnownBos's.
  uint32_t chain = 0;
  // LruShadow's: it is here, perhaps aside; it left by choice; LRU has it.
  bool here = false;
  bool gone = false;
  bool lru_has = false;
};

class KnownBos {
 public:
  // Numbers are above 0 and below this.
  static constexpr uint32_t kEnd = 1u << 27;

  BoRecord& operator[](uint32_t number) { return bos_[number]; }
  const BoRecord& operator[](uint32_t number) const { return bos_[number]; }

  // 0 when it is not known.
  uint32_t Find(uint64_t key) const;
  // Allocates when there are more than ever before. REQUIRES: not known.
  uint32_t Add(uint64_t key);
  // Its number will be another's.
  void Forget(uint32_t number);

 private:
  size_t BucketOf(uint64_t key) const {
    return key * 0x9e3779b97f4a7c15u >> 32 & (buckets_.size() - 1);
  }
  void Grow();

  // By number; those of no use are in the chain unused_.
  std::vector<BoRecord> bos_;
  std::vector<uint32_t> buckets_;
  uint32_t unused_ = 0;
};

}  // namespace twostep

#endif  // EVICTION_KNOWN_BOS_H_
