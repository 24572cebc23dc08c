#include "twostep/trace/byte_source.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>
#include <zstd_errors.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"

namespace twostep {
namespace {

constexpr size_t kMagicBytes = 4;

// A frame of zstd, or one that its decoders skip (pzstd writes those).
bool IsZstdMagic(const char* bytes) {
  const auto at = [bytes](int i) {
    return static_cast<uint32_t>(static_cast<unsigned char>(bytes[i]));
  };
  const uint32_t magic = at(0) | at(1) << 8 | at(2) << 16 | at(3) << 24;
  return magic == ZSTD_MAGICNUMBER ||
         (magic & ZSTD_MAGIC_SKIPPABLE_MASK) == ZSTD_MAGIC_SKIPPABLE_START;
}

absl::Status Truncated() {
  return absl::InvalidArgumentError(
      "the zstd data ends inside a frame: the file is truncated, copy it "
      "again");
}

absl::Status ZstdFailure(size_t code) {
  if (ZSTD_getErrorCode(code) == ZSTD_error_frameParameter_windowTooLarge) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the zstd frame asks for a window over the limit of ",
        (uint64_t{1} << ByteSource::kMaxWindowLog) >> 20,
        " MiB; compress it again without --long and --ultra, or decompress "
        "it"));
  }
  return absl::InvalidArgumentError(
      absl::StrCat("the zstd data is damaged: ", ZSTD_getErrorName(code)));
}

absl::Status CannotOpen(absl::string_view why) {
  return absl::NotFoundError(absl::StrCat("cannot be opened: ", why));
}

}  // namespace

void ByteSource::FreeZstd::operator()(ZSTD_DCtx_s* context) const {
  ZSTD_freeDCtx(context);
}

ByteSource::ByteSource(int fd, uint64_t file_bytes)
    : fd_(fd), file_bytes_(file_bytes) {}

ByteSource::~ByteSource() { close(fd_); }

absl::StatusOr<std::unique_ptr<ByteSource>> ByteSource::Open(
    const std::string& path) {
  // O_NONBLOCK: a FIFO without a writer must not hang the open.
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return CannotOpen(std::strerror(errno));
  struct stat info = {};
  if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
    close(fd);
    return CannotOpen("expected a regular file");
  }
  std::unique_ptr<ByteSource> source(
      new ByteSource(fd, static_cast<uint64_t>(info.st_size)));
  char magic[kMagicBytes];
  if (pread(fd, magic, kMagicBytes, 0) == kMagicBytes && IsZstdMagic(magic)) {
    absl::Status started = source->StartZstd();
    if (!started.ok()) return started;
  }
  return source;
}

absl::Status ByteSource::StartZstd() {
  zstd_.reset(ZSTD_createDCtx());
  if (zstd_ == nullptr) {
    return absl::ResourceExhaustedError("no memory for a zstd decoder");
  }
  const size_t set =
      ZSTD_DCtx_setParameter(zstd_.get(), ZSTD_d_windowLogMax, kMaxWindowLog);
  if (ZSTD_isError(set)) return ZstdFailure(set);
  input_.resize(ZSTD_DStreamInSize());
  return absl::OkStatus();
}

absl::StatusOr<size_t> ByteSource::Read(char* to, size_t capacity) {
  return compressed() ? ReadZstd(to, capacity) : ReadFile(to, capacity);
}

absl::StatusOr<size_t> ByteSource::ReadFile(char* to, size_t capacity) {
  ssize_t got;
  do {
    got = read(fd_, to, capacity);
  } while (got < 0 && errno == EINTR);
  if (got < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("cannot be read: ", std::strerror(errno)));
  }
  file_offset_ += static_cast<uint64_t>(got);
  return static_cast<size_t>(got);
}

absl::Status ByteSource::FillInput() {
  std::memmove(input_.data(), input_.data() + input_begin_,
               input_end_ - input_begin_);
  input_end_ -= input_begin_;
  input_begin_ = 0;
  const absl::StatusOr<size_t> got =
      ReadFile(input_.data() + input_end_, input_.size() - input_end_);
  if (!got.ok()) return got.status();
  input_end_ += *got;
  file_ended_ = *got == 0;
  return absl::OkStatus();
}

absl::StatusOr<bool> ByteSource::StartFrame() {
  while (input_end_ - input_begin_ < kMagicBytes && !file_ended_) {
    absl::Status filled = FillInput();
    if (!filled.ok()) return filled;
  }
  if (input_end_ == input_begin_) return false;
  if (input_end_ - input_begin_ < kMagicBytes) return Truncated();
  // The library would also take the formats of zstd before 1.0 here, whose
  // decoders know no window limit.
  if (!IsZstdMagic(input_.data() + input_begin_)) {
    return absl::InvalidArgumentError(
        "something other than a zstd frame follows the last one");
  }
  inside_frame_ = true;
  return true;
}

absl::StatusOr<size_t> ByteSource::ReadZstd(char* to, size_t capacity) {
  while (true) {
    if (!inside_frame_) {
      absl::StatusOr<bool> started = StartFrame();
      if (!started.ok()) return started.status();
      if (!*started) return 0;
    }
    ZSTD_inBuffer in = {input_.data() + input_begin_, input_end_ - input_begin_,
                        0};
    ZSTD_outBuffer out = {to, capacity, 0};
    const size_t left = ZSTD_decompressStream(zstd_.get(), &out, &in);
    if (ZSTD_isError(left)) return ZstdFailure(left);
    input_begin_ += in.pos;
    inside_frame_ = left != 0;
    if (out.pos > 0) return out.pos;
    if (!inside_frame_ || input_begin_ < input_end_) continue;
    if (file_ended_) return Truncated();
    absl::Status filled = FillInput();
    if (!filled.ok()) return filled;
    if (file_ended_) return Truncated();
  }
}

}  // namespace twostep
