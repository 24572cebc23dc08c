#ifndef TESTS_LAB_REQUEST_GENERATOR_H_
#define TESTS_LAB_REQUEST_GENERATOR_H_

// Requests to a cache, from a seed: what real traces have been found to be like
// (skew, scans, loops, a working set that drifts), of objects of all sizes.

#include <cstdint>
#include <vector>

#include "twostep/lab/cache_model.h"

namespace twostep {

struct GeneratedRequests {
  std::vector<uint32_t> objects;
  std::vector<uint64_t> bytes;

  operator CacheRequests() const { return {objects, bytes}; }
  uint64_t total_bytes() const;  // of all objects together
};

struct RequestGenerator {
  uint32_t objects = 5000;
  size_t requests = 100000;
  // Zipf: object of rank r is asked for with a chance of 1 / r^skew.
  double skew = .9;
  // The part of the requests that belong to scans: of all objects, once; and to
  // loops over a tenth of them.
  double scans = 0;
  double loops = 0;
  // How many times in the whole run the ranks are dealt anew, in part.
  int drifts = 0;
  // Sizes: 512 bytes to this, log-uniform; all alike when below 512.
  uint64_t largest = 0;
  uint64_t seed = 1;

  // Like the block accesses of a virtual machine (CloudPhysics): skewed, with
  // scans and loops, blocks of up to 512 KiB.
  static RequestGenerator LikeCloudPhysics(uint32_t objects, size_t requests,
                                           uint64_t seed) {
    return {.objects = objects,
            .requests = requests,
            .skew = .8,
            .scans = .15,
            .loops = .15,
            .drifts = 4,
            .largest = 512 << 10,
            .seed = seed};
  }

  GeneratedRequests Generate() const;
};

}  // namespace twostep

#endif  // TESTS_LAB_REQUEST_GENERATOR_H_
