#ifndef LAB_CACHE_MODEL_H_
#define LAB_CACHE_MODEL_H_

// An eviction policy in the cache that papers and cache simulators measure:
// requests for objects one at a time, room for so many bytes, no two steps. For
// comparing policies with each other and with published figures.
//
// A request for an object that is in is a hit. On a miss others are evicted, in
// the policy's order, until there is room, and then the object comes in; unless
// it is larger than the cache, or the policy does not admit it.

#include <cstdint>
#include <memory>
#include <span>

#include "twostep/eviction/eviction_policy.h"

namespace twostep {

// Objects are numbered from 0 on.
struct CacheRequests {
  std::span<const uint32_t> objects;  // request by request
  std::span<const uint64_t> bytes;    // of each object, above 0
};

struct CacheCounts {
  uint64_t requests = 0;
  uint64_t misses = 0;
  uint64_t miss_bytes = 0;

  bool operator==(const CacheCounts&) const = default;
};

// REQUIRES: `policy` has not served anybody. The key of an object is its
// number. Takes 32 bytes an object; final classes of the library are run
// without a virtual call.
CacheCounts RunCache(std::unique_ptr<EvictionPolicy> policy,
                     const CacheRequests& requests, uint64_t capacity_bytes);

// With BeladyPolicy, which sees all the requests. Takes 8 bytes a request more.
CacheCounts RunBelady(const CacheRequests& requests, uint64_t capacity_bytes);

}  // namespace twostep

#endif  // LAB_CACHE_MODEL_H_
