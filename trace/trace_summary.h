#ifndef TRACE_TRACE_SUMMARY_H_
#define TRACE_TRACE_SUMMARY_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace twostep {

// A trace in numbers, found by reading it once: what a replay must know before
// it begins. Byte counts are sums of the bos' sizes as recorded.
struct TraceSummary {
  std::string program;
  std::string scene;
  uint64_t records = 0;  // without the first line and comments
  uint64_t submissions = 0;
  uint64_t frames = 0;  // `f` records
  uint64_t bos = 0;     // created
  uint64_t contexts = 0;
  uint64_t peak_live_bos = 0;
  uint64_t peak_live_bytes = 0;
  // Distinct bos that submissions used in one frame: from the start of the
  // trace, or behind an `f`, to the next `f`. What follows the last `f` is no
  // frame.
  uint64_t largest_frame_bytes = 0;
  uint64_t largest_submission_bytes = 0;
  // Half of the largest frame's working set (without frames: half of the peak
  // of live bytes), or the whole of the largest submission if that is more: so
  // that eviction happens, and each submission fits. Unlike the counts above,
  // it takes each bo as whole pages, as memory types do; never less than one.
  uint64_t default_vram_bytes = 0;
};

// Reads all of `path`. Errors as TraceReader's.
absl::StatusOr<TraceSummary> Summarize(const std::string& path);

}  // namespace twostep

#endif  // TRACE_TRACE_SUMMARY_H_
