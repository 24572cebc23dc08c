#include "twostep/trace/line_source.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "twostep/machine/check.h"

namespace twostep {
namespace {
constexpr size_t kReadAheadBytes = size_t{256} << 10;
}  // namespace

LineSource::LineSource(std::string path, std::unique_ptr<ByteSource> bytes)
    : path_(std::move(path)),
      bytes_(std::move(bytes)),
      capacity_(kReadAheadBytes),
      buffer_(std::make_unique_for_overwrite<char[]>(capacity_)) {}

absl::StatusOr<std::unique_ptr<LineSource>> LineSource::Open(std::string path) {
  absl::StatusOr<std::unique_ptr<ByteSource>> bytes = ByteSource::Open(path);
  if (!bytes.ok()) {
    return absl::Status(bytes.status().code(),
                        absl::StrCat(path, ": ", bytes.status().message()));
  }
  return std::unique_ptr<LineSource>(
      new LineSource(std::move(path), *std::move(bytes)));
}

absl::Status LineSource::Bad(absl::string_view reason) const {
  const uint64_t line = std::max(line_number_, uint64_t{1});
  return absl::InvalidArgumentError(
      absl::StrCat(path_, ":", line, ": ", reason));
}

LineSource::Result LineSource::Next(absl::string_view* line) {
  size_t searched = 0;
  while (true) {
    const char* from = buffer_.get() + begin_;
    const size_t there = end_ - begin_;
    const auto* newline = static_cast<const char*>(
        std::memchr(from + searched, '\n', there - searched));
    if (newline == nullptr && !ended_ && there <= kMaxLineBytes) {
      searched = there;
      if (Refill()) continue;
      if (!status_.ok()) return Result::kError;
      continue;
    }
    if (newline == nullptr && there == 0) {
      return status_.ok() ? Result::kEnd : Result::kError;
    }
    ++line_number_;
    const size_t length = newline == nullptr ? there : newline - from;
    if (length > kMaxLineBytes) {
      status_ = Bad(
          absl::StrCat("the line is longer than ", kMaxLineBytes, " bytes"));
      begin_ = end_ = 0;
      ended_ = true;
      return Result::kError;
    }
    *line = absl::string_view(from, length);
    line_begin_ = begin_;
    begin_ += length + (newline == nullptr ? 0 : 1);
    return Result::kLine;
  }
}

void LineSource::PutBack() {
  TWOSTEP_CHECK(line_number_ > 0 && line_begin_ <= begin_);
  begin_ = line_begin_;
  --line_number_;
}

double LineSource::part() const {
  const auto from = static_cast<double>(fresh_offset_);
  const auto to = static_cast<double>(bytes_->file_offset());
  // The beginning of a line that the last read was for counts as given out.
  const size_t taken = std::max(begin_, fresh_begin_) - fresh_begin_;
  const size_t fresh = std::max(end_ - fresh_begin_, size_t{1});
  const double offset = from + (to - from) * static_cast<double>(taken) /
                                   static_cast<double>(fresh);
  const uint64_t all = std::max(bytes_->file_bytes(), uint64_t{1});
  // A file may grow while it is read.
  return std::min(offset / static_cast<double>(all), 1.0);
}

bool LineSource::Refill() {
  if (end_ - begin_ == capacity_) {
    // The line under way is all there is.
    auto larger = std::make_unique_for_overwrite<char[]>(2 * capacity_);
    std::memcpy(larger.get(), buffer_.get(), capacity_);
    buffer_ = std::move(larger);
    capacity_ *= 2;
  } else {
    std::memmove(buffer_.get(), buffer_.get() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  fresh_begin_ = end_;
  fresh_offset_ = bytes_->file_offset();
  const absl::StatusOr<size_t> got =
      bytes_->Read(buffer_.get() + end_, capacity_ - end_);
  if (!got.ok()) {
    ++line_number_;
    status_ = Bad(got.status().message());
    begin_ = end_ = 0;
  }
  ended_ = !got.ok() || *got == 0;
  if (ended_) return false;
  end_ += *got;
  return true;
}

}  // namespace twostep
