#ifndef TRACE_LINE_SOURCE_H_
#define TRACE_LINE_SOURCE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "twostep/trace/byte_source.h"

namespace twostep {

// The lines of a file, plain or zstd, with their numbers. It knows nothing of
// what they mean. Holds at most one line and a read-ahead. Thread-compatible.
class LineSource {
 public:
  // A submission of 100,000 bos still fits.
  static constexpr size_t kMaxLineBytes = size_t{1} << 20;

  enum class Result : uint8_t { kLine, kEnd, kError };

  // kNotFound if the file cannot be opened: `PATH: reason`.
  static absl::StatusOr<std::unique_ptr<LineSource>> Open(std::string path);

  // kLine: *line is the next one without its '\n', valid until the next call;
  // the last may lack the '\n'. kError: status() says `PATH:LINE: reason`.
  Result Next(absl::string_view* line);

  // The line that Next() gave comes again. REQUIRES: Next() returned kLine,
  // and was called since the last PutBack().
  void PutBack();

  // kInvalidArgument as `PATH:LINE: reason`, at the line given last.
  absl::Status Bad(absl::string_view reason) const;

  const absl::Status& status() const { return status_; }
  uint64_t line_number() const { return line_number_; }
  // How much of the file, as it lies on disk, the lines that were given out
  // take up, 0 to 1. Within what was decoded at once all bytes count alike.
  double part() const;

 private:
  LineSource(std::string path, std::unique_ptr<ByteSource> bytes);
  // Reads more behind what is there. False at the end and after an error.
  bool Refill();

  const std::string path_;
  const std::unique_ptr<ByteSource> bytes_;
  // [begin_, end_) of buffer_ has been read and not given out.
  size_t capacity_;
  std::unique_ptr<char[]> buffer_;
  size_t begin_ = 0;
  size_t end_ = 0;
  size_t line_begin_ = 0;
  // What was read last is [fresh_begin_, end_); where in the file it begins.
  size_t fresh_begin_ = 0;
  uint64_t fresh_offset_ = 0;
  bool ended_ = false;
  uint64_t line_number_ = 0;
  absl::Status status_;
};

}  // namespace twostep

#endif  // TRACE_LINE_SOURCE_H_
