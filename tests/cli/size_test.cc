#include "twostep/cli/size.h"

#include <string>

#include "absl/strings/match.h"
#include "gtest/gtest.h"

namespace twostep {
namespace {

TEST(Size, ReadsNumbersWithAndWithoutUnits) {
  EXPECT_EQ(*ParseSize("0"), 0u);
  EXPECT_EQ(*ParseSize("4096"), 4096u);
  EXPECT_EQ(*ParseSize("4096 B"), 4096u);
  EXPECT_EQ(*ParseSize("3KiB"), 3072u);
  EXPECT_EQ(*ParseSize("256 MiB"), uint64_t{256} << 20);
  EXPECT_EQ(*ParseSize("5 GiB"), uint64_t{5} << 30);
  EXPECT_EQ(*ParseSize("8388607 TiB"), uint64_t{8388607} << 40);
  EXPECT_EQ(*ParseSize("9223372036854775807"), kMaxSize);
}

TEST(Size, RefusesTheRest) {
  for (const char* text : {"",
                           " ",
                           "MiB",
                           "-1",
                           "+1",
                           "1.5 MiB",
                           "1 MB",
                           "1 mib",
                           "1  MiB",
                           " 1 MiB",
                           "1 MiB ",
                           "1 ",
                           "0x10",
                           "1e3",
                           "1 MiB 1",
                           "1\tMiB",
                           "9223372036854775808",
                           "8388608 TiB",
                           "18446744073709551616",
                           "99999999999999999999999",
                           "18014398509481984 KiB"}) {
    const auto size = ParseSize(text);
    EXPECT_EQ(size.status().code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_TRUE(
        absl::StrContains(size.status().message(),
                          std::string("\"").append(text).substr(0, 4)) ||
        absl::StrContains(size.status().message(), "\\t"))
        << size.status();
  }
}

TEST(Size, FormatIsTheShortestExactText) {
  EXPECT_EQ(FormatSize(0), "0 B");
  EXPECT_EQ(FormatSize(1023), "1023 B");
  EXPECT_EQ(FormatSize(1024), "1 KiB");
  EXPECT_EQ(FormatSize(1536 * 1024), "1536 KiB");
  EXPECT_EQ(FormatSize(uint64_t{1} << 50), "1024 TiB");
  for (uint64_t bytes = 1; bytes < kMaxSize / 3; bytes *= 3) {
    EXPECT_EQ(*ParseSize(FormatSize(bytes)), bytes);
    EXPECT_EQ(*ParseSize(FormatSize(bytes & ~uint64_t{4095})),
              bytes & ~uint64_t{4095});
  }
}

}  // namespace
}  // namespace twostep
