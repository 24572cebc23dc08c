#include "twostep/cli/nearest.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace twostep {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

const std::vector<std::string> kNames = {"lru", "clock",  "arc",
                                         "car", "s3fifo", "fifo"};

TEST(Nearest, TheOneThatWasMeantComesFirst) {
  EXPECT_EQ(NearestOf("ckock", kNames).front(), "clock");
  EXPECT_EQ(NearestOf("clcok", kNames).front(), "clock");
  EXPECT_EQ(NearestOf("s3fif", kNames).front(), "s3fifo");
  EXPECT_EQ(NearestOf("lruu", kNames).front(), "lru");
  // Two letters that changed places are one slip, not two.
  EXPECT_THAT(NearestOf("acr", kNames), ElementsAre("arc", "car"));
  EXPECT_THAT(NearestOf("lur", kNames), ElementsAre("lru"));
}

TEST(Nearest, OthersOnlyWhereTheyAreNearToo) {
  EXPECT_THAT(NearestOf("fifo", kNames), ElementsAre("fifo", "s3fifo"));
  EXPECT_THAT(NearestOf("something else", kNames), IsEmpty());
  EXPECT_THAT(NearestOf("-x", {"--help", "--csv"}), IsEmpty());
  EXPECT_EQ(NearestOf("aaaa", {"aaab", "aaac", "aaad", "aaae"}).size(), 3u);
  EXPECT_THAT(NearestOf("lru", {}), IsEmpty());
}

TEST(Nearest, ABeginningIsEnoughUnlessItSaysNothing) {
  EXPECT_THAT(NearestOf("--per", {"--perfetto", "--quiet"}),
              ElementsAre("--perfetto"));
  EXPECT_THAT(NearestOf("--", {"--perfetto", "--quiet"}), IsEmpty());
}

TEST(Nearest, InWords) {
  EXPECT_EQ(NearToIt("clcok", kNames), "; near to it: clock");
  EXPECT_EQ(NearToIt("clcok", {}), "");
  EXPECT_EQ(NearToIt(std::string(1000, 'x'), {"lru"}), "");
}

}  // namespace
}  // namespace twostep
