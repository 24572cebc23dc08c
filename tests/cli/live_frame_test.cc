#include "twostep/cli/live_frame.h"

#include <string>
#include <vector>

#include "absl/strings/str_join.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "twostep/machine/types.h"

namespace twostep {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

LiveState Busy() {
  LiveState state;
  state.run = "xe_evict/evict-mixed-many-threads-large seed 12345";
  state.part = 0.5;
  state.seconds = 12.3;
  state.frames = 77;
  state.submissions = 1234567;
  state.failures = 3;
  state.moved_bytes = 5 * kGiB;
  state.submissions_per_s = 4999.7;
  state.memory = {{"vram", 768 * kMiB, kGiB, 4321},
                  {"tt", 0, 4 * kGiB, 0},
                  {"gpu1 vram-of-a-long-name", kGiB, kGiB, 1}};
  state.dma = {{"dynamic", 3 * kMiB, 0, 0},
               {"coherent", 16 * kMiB, 64 * kMiB, 99}};
  for (uint32_t i = 1; i <= 5; ++i) state.stalls.push_back({6000000 / i, i});
  return state;
}

TEST(LiveFrame, FitsWhateverTerminalThereIs) {
  for (size_t columns : {1, 7, 20, 39, 40, 63, 64, 79, 80, 200}) {
    for (size_t rows : {1, 2, 4, 10, 24, 60}) {
      const std::vector<std::string> lines = LiveLines(Busy(), columns, rows);
      EXPECT_LE(lines.size(), rows);
      EXPECT_FALSE(lines.empty());
      for (const std::string& line : lines) EXPECT_LE(line.size(), columns);
    }
  }
}

TEST(LiveFrame, AWideOneShowsAll) {
  const std::vector<std::string> lines = LiveLines(Busy(), 80, 24);
  EXPECT_THAT(lines[0], StartsWith(" 50 %  12.3 s  xe_evict/"));
  EXPECT_THAT(lines[1], StartsWith("vram      [####################.......]"
                                   "  75 % of 1024.0 MiB"));
  EXPECT_THAT(lines[1], HasSubstr(" 4,321 evicted"));
  EXPECT_THAT(lines[2], HasSubstr("[...........................]   0 % of"));
  EXPECT_THAT(lines[3], HasSubstr("[###########################] 100 % of"));
  // Of no known size: no bar, which would be of nothing.
  EXPECT_THAT(lines[4], Not(HasSubstr("[")));
  EXPECT_THAT(lines[4], HasSubstr("3072.0 KiB"));
  EXPECT_THAT(lines[5], HasSubstr("  25 % of 64.0 MiB"));
  const std::string all = absl::StrJoin(lines, "\n");
  EXPECT_THAT(all,
              HasSubstr("1,234,567 submissions, 5,000 a second, 77 frame"));
  EXPECT_THAT(all, HasSubstr("3 failures"));
  EXPECT_THAT(all, HasSubstr("stalled 6000.0 us, submission 1\n"));
  EXPECT_THAT(lines.back(), HasSubstr("submission 5"));
}

TEST(LiveFrame, ANarrowOneShowsWhatMatters) {
  const std::vector<std::string> lines = LiveLines(Busy(), 39, 10);
  EXPECT_EQ(lines.size(), 10u);
  EXPECT_THAT(lines[1], StartsWith("vram      ["));
  EXPECT_THAT(lines[1], HasSubstr("75 % of"));
  EXPECT_THAT(lines[1], Not(HasSubstr("evicted")));
  EXPECT_THAT(lines[9], StartsWith("stalled 6000.0 us"));
  // Where there is still less, the gauges that come first.
  const std::vector<std::string> few = LiveLines(Busy(), 39, 5);
  EXPECT_THAT(few[1], StartsWith("vram "));
  EXPECT_THAT(few[2], HasSubstr("submissions"));
}

TEST(LiveFrame, NamesCannotDriveTheTerminal) {
  LiveState state = Busy();
  state.run = "a\033[2Jb\nc";
  EXPECT_THAT(LiveLines(state, 80, 24)[0], HasSubstr("a?[2Jb?c"));
  EXPECT_THAT(LiveLine(state), Not(HasSubstr("\033")));
}

TEST(LiveFrame, OneLineSaysTheSame) {
  EXPECT_THAT(LiveLine(Busy()),
              HasSubstr(", vram  75 % of 1024.0 MiB and 4,321 evicted, "));
  EXPECT_THAT(LiveLine(Busy()), HasSubstr(", worst stall 6000.0 us"));
}

}  // namespace
}  // namespace twostep
