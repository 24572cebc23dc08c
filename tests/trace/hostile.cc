#include "tests/trace/hostile.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "twostep/machine/check.h"
#include "twostep/trace/trace_summary.h"

namespace twostep {

MemoryFile::MemoryFile(absl::string_view bytes)
    : fd_(memfd_create("hostile", MFD_CLOEXEC)),
      path_(absl::StrCat("/proc/self/fd/", fd_)) {
  TWOSTEP_CHECK(fd_ >= 0);
  TWOSTEP_CHECK(write(fd_, bytes.data(), bytes.size()) ==
                static_cast<ssize_t>(bytes.size()));
}

MemoryFile::~MemoryFile() { close(fd_); }

absl::Status ReadStatus(absl::string_view bytes) {
  return Summarize(MemoryFile(bytes).path()).status();
}

void ExpectCleanResult(const std::string& bytes, const absl::Status& status) {
  if (status.ok()) return;
  ASSERT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  const std::string text(status.message());
  // A quote of 40 bytes, each escaped, and the form that a line must have.
  ASSERT_LT(text.size(), 400u);
  int fd = 0;
  int line = 0;
  int read = 0;
  ASSERT_EQ(
      std::sscanf(text.c_str(), "/proc/self/fd/%d:%d: %n", &fd, &line, &read),
      2)
      << text;
  ASSERT_GE(line, 1) << text;
  ASSERT_GT(text.size(), static_cast<size_t>(read)) << text;
  for (char c : text) ASSERT_TRUE(c >= ' ' && c < 0x7f) << bytes;
}

}  // namespace twostep
