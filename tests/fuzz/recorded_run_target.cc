// Any bytes as a recorded run: read to its end, or refused with file and
// reason; nothing is thrown.

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/match.h"
#include "gtest/gtest.h"
#include "tests/trace/hostile.h"
#include "twostep/cli/recorded_run.h"

namespace twostep {
namespace {

void ExpectCleanError(const std::string& path, const absl::Status& status) {
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  EXPECT_TRUE(absl::StartsWith(status.message(), path + ":")) << status;
}

}  // namespace
}  // namespace twostep

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const twostep::MemoryFile file(
      absl::string_view(reinterpret_cast<const char*>(data), size));
  const auto run = twostep::RecordedRun::Open(file.path());
  if (!run.ok()) {
    twostep::ExpectCleanError(file.path(), run.status());
    return 0;
  }
  EXPECT_TRUE(twostep::RecordedRun::IsOne(file.path()));
  for (;;) {
    twostep::RecordedLine line;
    const absl::StatusOr<bool> more = (*run)->Next(&line);
    if (!more.ok()) twostep::ExpectCleanError(file.path(), more.status());
    if (!more.ok() || !*more) return 0;
    EXPECT_FALSE(line.event.empty());
  }
}
