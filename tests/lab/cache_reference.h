#ifndef TESTS_LAB_CACHE_REFERENCE_H_
#define TESTS_LAB_CACHE_REFERENCE_H_

// Caches as the papers, and the simulator libCacheSim, describe them, out of
// standard containers, slow and plain. They share no code with eviction/ and
// lab/, whose figures they must reproduce to the last request.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace twostep {

class CacheReference {
 public:
  virtual ~CacheReference() = default;
  // Whether it was a hit. `bytes` is the same for the same object every time.
  virtual bool Request(uint64_t object, uint64_t bytes) = 0;
};

// By the names of the policies, with the parameters of libCacheSim: fifo, lru,
// clock, sieve, s3fifo, 2q, arc, lirs, gdsf; and gdsf:cost=1, where a miss
// costs what VRAM's does by default.
std::unique_ptr<CacheReference> MakeCacheReference(const std::string& policy,
                                                   uint64_t capacity);
// `objects`: all requests that will come.
std::unique_ptr<CacheReference> MakeBeladyReference(
    const std::vector<uint32_t>& objects, uint64_t capacity);

}  // namespace twostep

#endif  // TESTS_LAB_CACHE_REFERENCE_H_
