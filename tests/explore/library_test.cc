// The library's cases under every strategy. TWOSTEP_SCHEDULES=n runs n times as
// many schedules, with other seeds.

#include <cctype>
#include <cstdlib>
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

class Library : public testing::TestWithParam<Case> {
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

TEST_P(Library, HoldsUnderRandomSchedules) {
  FindNothing(Search::Kind::kRandom, 60);
}

TEST_P(Library, HoldsUnderPriorities) { FindNothing(Search::Kind::kPct, 60); }

TEST_P(Library, HoldsWithTwoPreemptionsAnywhereFirst) {
  FindNothing(Search::Kind::kExhaustive, 200);
}

std::vector<Case> LibraryCases() {
  std::vector<Case> cases = LockCases();
  for (const Case& one : BoCases()) cases.push_back(one);
  return cases;
}

INSTANTIATE_TEST_SUITE_P(All, Library, testing::ValuesIn(LibraryCases()),
                         [](const auto& info) {
                           std::string name = info.param.name;
                           for (char& c : name) {
                             if (!std::isalnum(static_cast<unsigned char>(c))) {
                               c = '_';
                             }
                           }
                           return name;
                         });

// The lock is small enough for all of them; but for three that poll for each
// other, of which there is no end.
TEST(ReservationLock, HoldsInEveryScheduleOfOnePreemption) {
  for (const Case& one : LockCases()) {
    if (one.name == "lock/transits_3") continue;
    Search search;
    search.kind = Search::Kind::kExhaustive;
    search.preemptions = 1;
    search.schedules = 20'000;
    const Found found = Explore(one, search);
    EXPECT_TRUE(found.complete) << one.name;
    EXPECT_FALSE(found.failure.has_value()) << one.name;
  }
}

}  // namespace

// How GoogleTest prints a parameter.
void PrintTo(const Case& one, std::ostream* out) { *out << one.name; }

}  // namespace twostep::explore
