// The library's cases, and scenarios of stress runs, under every strategy.
// TWOSTEP_SCHEDULES=n runs n times as many schedules, with other seeds. Bytes
// stay right (R6), "cannot fit" is true (R10), all get on (R11).

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <iterator>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/explore/cases.h"
#include "twostep/explore/explorer.h"

namespace twostep::explore {
namespace {

uint64_t Times() {
  const char* const times = std::getenv("TWOSTEP_SCHEDULES");
  return times == nullptr ? 1 : std::strtoull(times, nullptr, 10);
}

class Explored : public testing::TestWithParam<Case> {
 protected:
  void FindNothing(Search::Kind kind, uint64_t schedules) {
    Search search;
    search.kind = kind;
    search.seed = Times();
    search.schedules = schedules * Times();
    const Found found = Explore(GetParam(), search);
    if (!found.failure.has_value()) return;
    const Failure shrunk = Shrink(GetParam(), *found.failure, search.limits);
    ADD_FAILURE() << NameOf(shrunk.outcome.kind) << ": "
                  << shrunk.outcome.message << "\n"
                  << Print(shrunk.script);
  }
};

class Library : public Explored {};

TEST_P(Library, HoldsUnderRandomSchedules) {
  FindNothing(Search::Kind::kRandom, 60);
}

TEST_P(Library, HoldsUnderPriorities) { FindNothing(Search::Kind::kPct, 60); }

// The first of the search, which stops threads late in what they do.
TEST_P(Library, HoldsWithTwoPreemptionsTowardsTheEnd) {
  FindNothing(Search::Kind::kExhaustive, 200);
}

std::string NameOfTest(const testing::TestParamInfo<Case>& info) {
  std::string name = info.param.name;
  for (char& c : name) {
    if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
  }
  return name;
}

INSTANTIATE_TEST_SUITE_P(All, Library, testing::ValuesIn(LibraryCases()),
                         NameOfTest);

// Longer ones.
class StressScenario : public Explored {};

TEST_P(StressScenario, HoldsUnderRandomSchedules) {
  FindNothing(Search::Kind::kRandom, 10);
}

TEST_P(StressScenario, HoldsUnderPriorities) {
  FindNothing(Search::Kind::kPct, 10);
}

INSTANTIATE_TEST_SUITE_P(All, StressScenario, testing::ValuesIn(StressCases()),
                         NameOfTest);

class EverySchedule : public testing::TestWithParam<Case> {
 protected:
  // Whether there is no other schedule, and nothing is wrong in any.
  void ExpectAllHold(int preemptions, uint64_t schedules_at_most) {
    Search search;
    search.kind = Search::Kind::kExhaustive;
    search.preemptions = preemptions;
    search.schedules = schedules_at_most;
    const Found found = Explore(GetParam(), search);
    EXPECT_TRUE(found.complete) << found.schedules << " are not all";
    EXPECT_FALSE(found.failure.has_value())
        << found.failure->outcome.message << "\n"
        << Print(found.failure->script);
  }
};

class Small : public EverySchedule {};

TEST_P(Small, HoldsInEveryScheduleOfOnePreemption) { ExpectAllHold(1, 20'000); }

// Those with two threads, one with three threads and three bos, and those of
// the lock alone, but for three that poll for each other: of that there is no
// end.
bool IsSmall(const Case& one) {
  static constexpr const char* kSmall[] = {
      "lock/",
      "bo/big_against_big_2/",
      "bo/squatter/",
      "bo/evict_one_another/",
      "bo/one_of_three_goes/vram",
      "bo/one_of_three_goes/iova",
      "bo/reserve_evict_destroy/",
      "bo/handed_over/iova",
      "bo/crosswise/",
      "bo/moved_away/",
      "bo/pin/",
      "bo/no_wait/",
      "bo/linearizable",
  };
  return one.name != "lock/transits_3" &&
         std::any_of(
             std::begin(kSmall), std::end(kSmall),
             [&](const char* begin) { return one.name.rfind(begin, 0) == 0; });
}

std::vector<Case> SmallCases() {
  std::vector<Case> cases;
  for (const Case& one : LibraryCases()) {
    if (IsSmall(one)) cases.push_back(one);
  }
  return cases;
}

INSTANTIATE_TEST_SUITE_P(All, Small, testing::ValuesIn(SmallCases()),
                         NameOfTest);

class Smallest : public EverySchedule {};

TEST_P(Smallest, HoldsInEveryScheduleOfTwoPreemptions) {
  ExpectAllHold(2, 40'000);
}

std::vector<Case> SmallestCases() {
  const std::vector<Case> cases = LibraryCases();
  return {*FindCase(cases, "bo/linearizable/vram"),
          *FindCase(cases, "bo/linearizable/aperture")};
}

INSTANTIATE_TEST_SUITE_P(All, Smallest, testing::ValuesIn(SmallestCases()),
                         NameOfTest);

}  // namespace

// How GoogleTest prints a parameter.
void PrintTo(const Case& one, std::ostream* out) { *out << one.name; }

}  // namespace twostep::explore
