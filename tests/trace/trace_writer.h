#ifndef TESTS_TRACE_TRACE_WRITER_H_
#define TESTS_TRACE_TRACE_WRITER_H_

// Traces of any length for tests and benchmarks: the same parameters give the
// same bytes on every machine.

#include <cstdint>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"

namespace twostep {

struct TraceWriterOptions {
  uint64_t seed = 1;
  // Lines behind the head, exactly.
  uint64_t records = 1000;
  // Bos alive at once, after a run-up of as many creates.
  uint64_t live_bos = 100;
  // Sizes are spread evenly over the powers of two between these.
  uint64_t min_bo_bytes = 4096;
  uint64_t max_bo_bytes = uint64_t{1} << 20;
  uint64_t contexts = 1;
  uint64_t uses_per_submission = 8;
  uint64_t submissions_per_frame = 10;
  // Of 100 records, those that are a submission, a destroy (followed by a
  // create), and a read; the rest are writes.
  uint64_t submissions_percent = 20;
  uint64_t destroys_percent = 2;
  uint64_t reads_percent = 1;
};

// Calls `sink` with pieces of the trace, each a few whole lines.
void WriteTrace(const TraceWriterOptions& options,
                absl::FunctionRef<void(absl::string_view)> sink);

// The whole of it, for small ones.
std::string WriteTraceToString(const TraceWriterOptions& options);

// Writes `bytes` to a new file and returns its path; the file goes away with
// the test's temporary folder.
std::string WriteTempFile(const std::string& name, absl::string_view bytes);

// One frame of zstd.
std::string Compress(absl::string_view bytes, int level = 3);

}  // namespace twostep

#endif  // TESTS_TRACE_TRACE_WRITER_H_
