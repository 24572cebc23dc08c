// Bugs of each kind are found within a stated number of schedules, and their
// scripts replay; without the bug nothing is found.

#include <string>
#include <tuple>

#include "gtest/gtest.h"
#include "tests/explore/cases.h"
#include "twostep/explore/explorer.h"

namespace twostep::explore {
namespace {

struct Planted {
  const char* name;
  Outcome::Kind kind;
};
const Planted kPlanted[] = {
    {"planted/lost_sync", Outcome::Kind::kFailed},
    {"planted/lock_order", Outcome::Kind::kDeadlock},
    {"planted/stolen_space", Outcome::Kind::kFailed},
    {"planted/double_destroy", Outcome::Kind::kFailed},
    {"planted/missed_wake_up", Outcome::Kind::kDeadlock},
    {"planted/polled_order", Outcome::Kind::kLivelock},
};

// Within how many schedules each strategy finds each of them, for every seed
// below.
struct Promise {
  Search::Kind kind;
  uint64_t schedules;
};
const Promise kPromises[] = {
    {Search::Kind::kRandom, 400},
    {Search::Kind::kPct, 200},
    {Search::Kind::kExhaustive, 50},
};
constexpr uint64_t kSeeds = 5;

using Param = std::tuple<Planted, Promise>;

class PlantedBug : public testing::TestWithParam<Param> {
 protected:
  const std::vector<Case> cases_ = PlantedCases();
  const Planted planted_ = std::get<0>(GetParam());
  const Case& case_ = *FindCase(cases_, planted_.name);

  Search SearchWith(uint64_t seed) const {
    const Promise& promise = std::get<1>(GetParam());
    Search search;
    search.kind = promise.kind;
    search.schedules = promise.schedules;
    search.seed = seed;
    return search;
  }
};

TEST_P(PlantedBug, IsFoundReplaysAndShrinks) {
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    const Search search = SearchWith(seed);
    const Found found = Explore(case_, search);
    ASSERT_TRUE(found.failure.has_value()) << seed;
    EXPECT_EQ(found.failure->outcome.kind, planted_.kind);

    // By way of its text, to the same steps.
    const absl::StatusOr<Script> script = Parse(Print(found.failure->script));
    ASSERT_TRUE(script.ok()) << script.status();
    const Replayed replayed = Replay(case_, *script, search.limits);
    EXPECT_EQ(replayed.outcome.message, found.failure->outcome.message);
    EXPECT_EQ(replayed.outcome.kind, planted_.kind);
    EXPECT_EQ(replayed.trace, script->trace);

    const Failure shrunk = Shrink(case_, *found.failure, search.limits);
    EXPECT_LE(shrunk.script.switches.size(), script->switches.size());
    EXPECT_LE(shrunk.script.switches.size(), 12u);
    const Replayed again = Replay(case_, shrunk.script, search.limits);
    EXPECT_TRUE(again.outcome.SameAs(found.failure->outcome));
    EXPECT_EQ(again.trace, shrunk.script.trace);
  }
}

std::string NameOfTest(const testing::TestParamInfo<Param>& info) {
  static constexpr const char* kKinds[] = {"Random", "Pct", "Exhaustive"};
  const std::string name = std::get<0>(info.param).name;
  const Search::Kind kind = std::get<1>(info.param).kind;
  return name.substr(name.find('/') + 1) + kKinds[static_cast<int>(kind)];
}

INSTANTIATE_TEST_SUITE_P(All, PlantedBug,
                         testing::Combine(testing::ValuesIn(kPlanted),
                                          testing::ValuesIn(kPromises)),
                         NameOfTest);

TEST(Mended, NothingIsFoundInAnyScheduleOfTwoPreemptions) {
  for (const Case& one : MendedCases()) {
    Search search;
    search.kind = Search::Kind::kExhaustive;
    search.schedules = 20'000;
    const Found found = Explore(one, search);
    EXPECT_FALSE(found.failure.has_value()) << one.name;
    EXPECT_TRUE(found.complete) << one.name;
  }
}

}  // namespace
}  // namespace twostep::explore
