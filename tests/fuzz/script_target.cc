// Any bytes as a script of operations on bos: no script, or one that is printed
// as it was read and that goes well.

#include <cstddef>
#include <cstdint>
#include <string>

#include "gtest/gtest.h"
#include "tests/script/play.h"
#include "tests/script/script.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto script = twostep::ParseScript(
      absl::string_view(reinterpret_cast<const char*>(data), size));
  if (!script.ok()) {
    EXPECT_EQ(script.status().code(), absl::StatusCode::kInvalidArgument);
    return 0;
  }
  const auto again = twostep::ParseScript(twostep::Print(*script));
  EXPECT_TRUE(again.ok() && *again == *script) << twostep::Print(*script);
  const twostep::Ending ending = twostep::Play(*script);
  EXPECT_TRUE(ending.ok()) << "step " << ending.step << ": " << ending.what
                           << "\n"
                           << twostep::Print(*script);
  return 0;
}
