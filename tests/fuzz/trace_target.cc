// Any bytes as a trace: accepted, or refused with file, line and reason;
// compressed, the same. Of plain text a second reader, told in the plainest
// way, thinks the same.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/match.h"
#include "gtest/gtest.h"
#include "tests/trace/hostile.h"
#include "tests/trace/trace_model.h"
#include "tests/trace/trace_writer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string bytes(data, data + size);
  const absl::Status status = twostep::ReadStatus(bytes);
  twostep::ExpectCleanResult(bytes, status);
  // Ordinary frames and skippable ones, as zstd marks them.
  const bool compressed = absl::StartsWith(bytes, "\x28\xb5\x2f\xfd") ||
                          (size >= 4 && bytes.substr(1, 3) == "\x2a\x4d\x18");
  if (compressed) return 0;
  EXPECT_EQ(twostep::ReadStatus(twostep::Compress(bytes)).ok(), status.ok());
  // The model does not look at UTF-8.
  if (std::all_of(bytes.begin(), bytes.end(), [](char c) {
        return static_cast<unsigned char>(c) < 0x80;
      })) {
    EXPECT_EQ(twostep::ModelAccepts(bytes), status.ok()) << status;
  }
  return 0;
}
