#ifndef LAB_USE_SEQUENCE_H_
#define LAB_USE_SEQUENCE_H_

// Which objects are used when: all that foresight and lower bounds go by.

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace twostep {

// Steps of uses. The objects of one step are distinct.
struct UseSequence {
  std::vector<uint64_t> bytes;    // of every object
  std::vector<uint32_t> objects;  // use by use
  // Step k is [step_begin[k], step_begin[k + 1]); empty: each use is a step.
  std::vector<uint64_t> step_begin;

  size_t steps() const {
    return step_begin.empty() ? objects.size() : step_begin.size() - 1;
  }
  size_t begin_of(size_t step) const {
    return step_begin.empty() ? step : step_begin[step];
  }
};

// A botrace as the two steps see it: bos, numbered in the order of their
// creation, in whole pages; each submission is a step.
struct TraceHistory {
  UseSequence uses;
  // For every bo: whether it has contents before a submission first uses it,
  // which must then be brought to where the GPU wants them; and the submission
  // before which it is destroyed, steps() if none.
  std::vector<bool> contents_first;
  std::vector<uint32_t> destroyed_before;
  uint64_t records = 0;
  uint64_t peak_live_bytes = 0;           // as recorded
  uint64_t largest_submission_bytes = 0;  // in whole pages
};

// Errors as TraceReader's.
absl::StatusOr<TraceHistory> ReadTraceHistory(const std::string& path);

// Requests to a cache, each a step: the uses of a botrace in their order, the
// bos as large as recorded; or the records of a file in libCacheSim's
// oracleGeneral format (24 bytes each, little-endian: time u32, object u64,
// size u32, next access i64; plain or zstd), each object as large as at first;
// records without bytes are passed over, as libCacheSim does by default.
// kNotFound or kInvalidArgument naming the file and the place.
absl::StatusOr<UseSequence> ReadCacheRequests(const std::string& path);

}  // namespace twostep

#endif  // LAB_USE_SEQUENCE_H_
