#ifndef TRACE_BYTE_SOURCE_H_
#define TRACE_BYTE_SOURCE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

struct ZSTD_DCtx_s;

namespace twostep {

// The bytes of a regular file, decompressed if its content begins as zstd's
// does. It knows nothing of lines. Memory: the input buffer and, for zstd, one
// window of at most 128 MiB, whatever the file claims. Thread-compatible.
class ByteSource {
 public:
  // As far as the zstd command itself goes without --long=28 or more.
  static constexpr int kMaxWindowLog = 27;

  // kNotFound if `path` cannot be opened or is no regular file. The text names
  // no place: whoever counts the lines adds it.
  static absl::StatusOr<std::unique_ptr<ByteSource>> Open(
      const std::string& path);
  ~ByteSource();
  ByteSource(const ByteSource&) = delete;
  ByteSource& operator=(const ByteSource&) = delete;

  // Up to `capacity` > 0 bytes into `to`; 0 is the end of the file. An error
  // (kInvalidArgument: damaged, truncated, or a window over the limit) says
  // why; there is nothing to read after it.
  absl::StatusOr<size_t> Read(char* to, size_t capacity);

  bool compressed() const { return zstd_ != nullptr; }
  // For progress: where in the file, as it lies on disk, the bytes that Read
  // gave end. In compressed data about there: the decoder takes whole blocks.
  uint64_t file_offset() const {
    return file_offset_ - (input_end_ - input_begin_);
  }
  uint64_t file_bytes() const { return file_bytes_; }

 private:
  struct FreeZstd {
    void operator()(ZSTD_DCtx_s* context) const;
  };

  ByteSource(int fd, uint64_t file_bytes);
  absl::Status StartZstd();
  absl::StatusOr<size_t> ReadFile(char* to, size_t capacity);
  absl::StatusOr<size_t> ReadZstd(char* to, size_t capacity);
  absl::Status FillInput();
  // At the border of two frames: another one begins here, or the file ends.
  absl::StatusOr<bool> StartFrame();

  const int fd_;
  const uint64_t file_bytes_;
  uint64_t file_offset_ = 0;

  // Compressed input: [input_begin_, input_end_) of input_ is not consumed yet.
  std::unique_ptr<ZSTD_DCtx_s, FreeZstd> zstd_;
  std::vector<char> input_;
  size_t input_begin_ = 0;
  size_t input_end_ = 0;
  bool file_ended_ = false;
  bool inside_frame_ = false;
};

}  // namespace twostep

#endif  // TRACE_BYTE_SOURCE_H_
