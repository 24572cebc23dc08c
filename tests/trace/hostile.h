#ifndef TESTS_TRACE_HOSTILE_H_
#define TESTS_TRACE_HOSTILE_H_

// What whoever reads a file from anywhere owes its caller: a clean error.

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace twostep {

// A file in memory: tens of thousands of variants a test are slow on disks.
class MemoryFile {
 public:
  explicit MemoryFile(absl::string_view bytes);
  ~MemoryFile();
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;

  const std::string& path() const { return path_; }

 private:
  const int fd_;
  const std::string path_;
};

// What TraceReader says of a trace, read to its end.
absl::Status ReadStatus(absl::string_view bytes);

// Accepted, or refused with file, line and reason.
void ExpectCleanResult(const std::string& bytes, const absl::Status& status);

}  // namespace twostep

#endif  // TESTS_TRACE_HOSTILE_H_
