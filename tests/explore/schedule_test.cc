// Scripts, strategies and histories.

#include "twostep/explore/schedule.h"

#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "twostep/explore/history.h"
#include "twostep/explore/strategy.h"

namespace twostep::explore {
namespace {

TEST(Script, ReadsWhatItWrites) {
  const Script script{"lock/ring", {{1, 17, 2}, {31, 4000000000, 0}}, 0xabc};
  const absl::StatusOr<Script> read = Parse(Print(script));
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(*read, script);
  EXPECT_EQ(Print(script),
            "twostep schedule 1\ncase lock/ring\nat 1.17 run 2\n"
            "at 31.4000000000 run 0\ntrace 0000000000000abc\n");
}

TEST(Script, SkipsCommentsAndNamesTheLineItDoesNotUnderstand) {
  const std::string start = "# found today\n\ntwostep schedule 1\r\ncase a\n";
  EXPECT_TRUE(Parse(start).ok());
  for (const char* line :
       {"at 1 run 2", "at 1.2 run", "at 1.2 run 32", "at -1.2 run 0",
        "at 1.x run 2", "trace xyz", "twostep schedule 2"}) {
    const absl::StatusOr<Script> read = Parse(start + line);
    ASSERT_FALSE(read.ok()) << line;
    EXPECT_NE(read.status().message().find("line 5"), std::string::npos);
  }
  EXPECT_FALSE(Parse("").ok());
  EXPECT_FALSE(Parse("twostep schedule 1\n").ok());
}

Decision At(int fiber, bool can_stay, uint32_t eligible) {
  Decision at;
  at.fiber = static_cast<uint8_t>(fiber);
  at.step = 7;
  at.can_stay = can_stay;
  at.eligible = eligible;
  return at;
}

TEST(Decision, WithoutAScriptOneStaysElseTheNextRuns) {
  EXPECT_EQ(At(1, true, 0b0111).Default(), 1);
  EXPECT_EQ(At(1, false, 0b1101).Default(), 2);
  EXPECT_EQ(At(3, false, 0b0110).Default(), 1);
  EXPECT_EQ(At(31, false, 0b0110).Default(), 1);
}

TEST(Strategies, ChooseWhoCanRunAndRepeat) {
  for (uint64_t seed = 0; seed < 50; ++seed) {
    RandomStrategy random(seed), again(seed);
    PctStrategy pct(seed, 3, 100), pct_again(seed, 3, 100);
    for (int i = 0; i < 200; ++i) {
      const Decision at = At(i % 3, i % 2 == 0, i % 2 == 0 ? 0b111 : 0b1010);
      const int chosen = random.Choose(at);
      EXPECT_NE(at.eligible >> chosen & 1, 0u);
      EXPECT_EQ(chosen, again.Choose(at));
      const int highest = pct.Choose(at);
      EXPECT_NE(at.eligible >> highest & 1, 0u);
      EXPECT_EQ(highest, pct_again.Choose(at));
    }
  }
}

TEST(Strategies, AScriptIsFollowedWhereItCanBe) {
  ScriptStrategy strategy(Script{"a", {{1, 7, 2}}});
  EXPECT_EQ(strategy.Choose(At(1, true, 0b0110)), 2);
  EXPECT_EQ(strategy.Choose(At(1, true, 0b0011)), 1);
  EXPECT_EQ(strategy.Choose(At(0, true, 0b0111)), 0);
}

// A register: what is read was written last.
TEST(History, FindsAnOrderOrSaysThatThereIsNone) {
  const auto write = [](History<int>& history, int value) {
    history.Do(
        "write", [&] { return value; },
        [](int& model, int written) {
          model = written;
          return true;
        });
  };
  const auto read = [](History<int>& history, int value) {
    history.Do(
        "read", [&] { return value; },
        [](int& model, int seen) { return model == seen; });
  };
  History<int> good;
  write(good, 1);
  read(good, 1);
  EXPECT_TRUE(good.Linearizable(0));
  History<int> stale;
  write(stale, 1);
  read(stale, 0);
  EXPECT_FALSE(stale.Linearizable(0));
  // Within the time of the write, before and after it are both right.
  for (const int seen : {0, 1, 2}) {
    History<int> overlapping;
    overlapping.Do(
        "write",
        [&] {
          read(overlapping, seen);
          return 1;
        },
        [](int& model, int written) {
          model = written;
          return true;
        });
    EXPECT_EQ(overlapping.Linearizable(0), seen != 2);
  }
}

}  // namespace
}  // namespace twostep::explore
