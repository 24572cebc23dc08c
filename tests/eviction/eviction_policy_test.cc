// What each policy is about. That every one keeps the promises of the interface
// is tests/contract/eviction_policy_contract.cc; that those that papers define
// miss exactly what they should, tests/lab/cache_model_test.cc.

#include "twostep/eviction/eviction_policy.h"

#include <array>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "twostep/eviction/eviction_order.h"
#include "twostep/eviction/policy_registry.h"

namespace twostep {
namespace {

using ::testing::ElementsAre;

// An order of entries that are called by their number, each of `bytes`.
class Entries {
 public:
  explicit Entries(absl::string_view policy, EvictionOwner owner = {})
      : order_(std::make_unique<EvictionOrder>(*MakeEvictionPolicy(policy))) {
    owner.facts_of = [](const void* context, const EvictionHook& hook) {
      const auto& entries = *static_cast<const Entries*>(context);
      const size_t entry = &hook - entries.hooks_.data();
      EvictionFacts facts = entries.facts[entry];
      facts.key = entry;
      return facts;
    };
    owner.context = this;
    order_->Serve(owner);
  }
  ~Entries() {
    for (int entry : std::set<int>(in_)) Remove(entry);
  }

  void Insert(int entry) {
    order_->Insert(hooks_[entry]);
    in_.insert(entry);
  }
  void Insert(std::initializer_list<int> entries) {
    for (int entry : entries) Insert(entry);
  }
  void Touch(int entry) { order_->Touch(hooks_[entry]); }
  void Remove(int entry, Departure why = Departure::kEvicted) {
    order_->Remove(hooks_[entry], why);
    in_.erase(entry);
  }
  bool Has(int entry) const { return in_.count(entry) != 0; }
  void Note(EvictionBoundary boundary) { order_->Note(boundary); }
  // The first to be given up at the start.
  std::vector<int> Order() {
    std::vector<int> order;
    order_->Visit({}, [&](EvictionHook& hook) {
      order.push_back(static_cast<int>(&hook - hooks_.data()));
      return EvictionOrder::Verdict::kNext;
    });
    return order;
  }
  int First() { return Order().at(0); }

  std::array<EvictionFacts, 16> facts;

 private:
  std::array<EvictionHook, 16> hooks_;
  std::set<int> in_;
  // On the heap: .bazelrc says why, for asan_ubsan.
  const std::unique_ptr<EvictionOrder> order_;
};

TEST(EvictionPolicies, EachSaysWhatItDoes) {
  std::set<std::string> names;
  for (const EvictionPolicyInfo& policy : EvictionPolicies()) {
    EXPECT_NE(policy.summary, "") << policy.name;
    EXPECT_TRUE(names.insert(policy.name).second) << policy.name;
    for (const PolicyParameter& parameter : policy.parameters) {
      EXPECT_NE(parameter.summary, "") << policy.name;
      EXPECT_GE(parameter.fallback, parameter.least) << policy.name;
      EXPECT_LE(parameter.fallback, parameter.most) << policy.name;
    }
  }
  for (const char* name :
       {"lru", "fifo", "mru", "priority", "clock", "sieve", "s3fifo", "2q",
        "arc", "lirs", "gdsf", "generations", "random"}) {
    EXPECT_EQ(names.count(name), 1) << name;
  }
}

TEST(Lru, GivesUpTheLeastRecentlyUsedFirst) {
  Entries entries("lru");
  entries.Insert({0, 1, 2, 3});
  EXPECT_THAT(entries.Order(), ElementsAre(0, 1, 2, 3));
  entries.Touch(1);
  entries.Touch(0);
  EXPECT_THAT(entries.Order(), ElementsAre(2, 3, 1, 0));
  entries.Touch(0);  // where it is already
  EXPECT_THAT(entries.Order(), ElementsAre(2, 3, 1, 0));
  entries.Remove(3);
  EXPECT_THAT(entries.Order(), ElementsAre(2, 1, 0));
  entries.Insert(3);
  EXPECT_THAT(entries.Order(), ElementsAre(2, 1, 0, 3));
}

TEST(Fifo, GivesUpInOrderOfArrival) {
  Entries entries("fifo");
  entries.Insert({0, 1, 2, 3});
  entries.Touch(0);
  entries.Touch(1);
  EXPECT_THAT(entries.Order(), ElementsAre(0, 1, 2, 3));
  entries.Remove(0);
  entries.Insert(0);
  EXPECT_THAT(entries.Order(), ElementsAre(1, 2, 3, 0));
}

TEST(Mru, GivesUpTheMostRecentlyUsedFirst) {
  Entries entries("mru");
  entries.Insert({0, 1, 2, 3});
  EXPECT_THAT(entries.Order(), ElementsAre(3, 2, 1, 0));
  entries.Touch(1);
  EXPECT_THAT(entries.Order(), ElementsAre(1, 3, 2, 0));
  entries.Remove(1);
  EXPECT_THAT(entries.Order(), ElementsAre(3, 2, 0));
}

TEST(Priority, LowerOnesGoFirstAndANewOneCountsFromTheNextUse) {
  Entries entries("priority");
  entries.facts[0].priority = 2;
  entries.facts[1].priority = 1;
  entries.facts[3].priority = 200;  // as the highest there is
  entries.facts[4].priority = 3;
  entries.Insert({0, 1, 2, 3, 4, 5});
  EXPECT_THAT(entries.Order(), ElementsAre(2, 5, 1, 0, 3, 4));
  entries.Touch(2);
  EXPECT_THAT(entries.Order(), ElementsAre(5, 2, 1, 0, 3, 4));
  entries.facts[0].priority = 0;
  EXPECT_THAT(entries.Order(), ElementsAre(5, 2, 1, 0, 3, 4));
  entries.Touch(0);
  EXPECT_THAT(entries.Order(), ElementsAre(5, 2, 0, 1, 3, 4));
}

TEST(Clock, WhatWasUsedGoesRoundOnceMore) {
  Entries entries("clock");
  entries.Insert({0, 1, 2, 3});
  entries.Touch(0);
  entries.Touch(0);
  entries.Touch(2);
  EXPECT_EQ(entries.First(), 1);
  EXPECT_THAT(entries.Order(), ElementsAre(1, 3, 0, 2));
  entries.Remove(1);
  // The chance of 0 and 2 is spent.
  EXPECT_THAT(entries.Order(), ElementsAre(3, 0, 2));
}

TEST(Clock, BitsAreAsManyChances) {
  Entries entries("clock:bits=2");
  entries.Insert({0, 1});
  entries.Touch(0);
  entries.Touch(0);
  entries.Touch(1);
  EXPECT_THAT(entries.Order(), ElementsAre(1, 0));
}

TEST(Sieve, WhatWasUsedStaysInPlaceAndTheHandGoesOn) {
  Entries entries("sieve");
  entries.Insert({0, 1, 2, 3});
  entries.Touch(0);
  entries.Touch(2);
  EXPECT_THAT(entries.Order(), ElementsAre(1, 3, 0, 2));
  entries.Remove(1);
  entries.Insert(4);
  // The hand is at 2, which it spares; behind it comes 3.
  EXPECT_EQ(entries.First(), 3);
  entries.Remove(3);
  EXPECT_THAT(entries.Order(), ElementsAre(4, 0, 2));
}

TEST(S3Fifo, WhatIsUsedOnceGoesBeforeWhatCameBack) {
  Entries entries("s3fifo:small=0.4", {.capacity_bytes = 5});
  entries.Insert({0, 1});
  entries.Remove(0);
  entries.Insert({2, 0});  // 0 is remembered: to the main queue
  EXPECT_THAT(entries.Order(), ElementsAre(1, 2, 0));
  entries.Remove(1, Departure::kGone);
  entries.Insert(1);  // as if it had never been there
  EXPECT_THAT(entries.Order(), ElementsAre(2, 1, 0));
}

TEST(S3Fifo, TwoUsesLeadOutOfTheSmallQueue) {
  Entries entries("s3fifo:small=0.4", {.capacity_bytes = 5});
  entries.Insert({0, 1});
  entries.Touch(0);
  EXPECT_THAT(entries.Order(), ElementsAre(0, 1));
  entries.Touch(0);
  EXPECT_THAT(entries.Order(), ElementsAre(1, 0));
}

TEST(S3Fifo, WhatWasAsideIsInTheQueueThatItWasIn) {
  Entries entries("s3fifo:small=0.4", {.capacity_bytes = 5});
  entries.Insert(0);
  entries.Remove(0);
  entries.Insert({0, 1});
  entries.Remove(0, Departure::kAside);
  entries.Insert(2);
  entries.Insert(0);
  EXPECT_THAT(entries.Order(), ElementsAre(1, 2, 0));
}

TEST(S3Fifo, ItsOwnerSaysHowManyKeysItRemembers) {
  Entries entries("s3fifo:small=0.4", {.capacity_bytes = 5, .most_ghosts = 1});
  entries.Insert({0, 1});
  entries.Remove(0);
  entries.Remove(1);
  entries.Insert({2, 0, 1});
  EXPECT_THAT(entries.Order(), ElementsAre(2, 0, 1));
  entries.Remove(0);
  entries.Insert(0);  // remembered, where it was forgotten before
  EXPECT_THAT(entries.Order(), ElementsAre(2, 1, 0));
}

TEST(TwoQueue, WhatComesBackStandsInAnLru) {
  Entries entries("2q", {.capacity_bytes = 8});
  entries.Insert({0, 1, 2, 3});
  entries.Touch(0);  // means nothing in the first queue
  EXPECT_THAT(entries.Order(), ElementsAre(0, 1, 2, 3));
  entries.Remove(0);
  entries.Remove(1);
  entries.Insert({0, 1, 4});
  EXPECT_THAT(entries.Order(), ElementsAre(2, 3, 4, 0, 1));
  entries.Touch(0);
  EXPECT_THAT(entries.Order(), ElementsAre(2, 3, 4, 1, 0));
}

TEST(Arc, HitsOnWhatAQueueGaveUpMakeItLarger) {
  Entries entries("arc", {.capacity_bytes = 4});
  entries.Insert({0, 1, 2});
  entries.Touch(0);
  EXPECT_THAT(entries.Order(), ElementsAre(1, 2, 0));
  entries.Remove(1);
  entries.Remove(2);
  // Twice used once and given up too early: such may keep two bytes now.
  entries.Insert({1, 2});
  entries.Insert({3, 4});
  EXPECT_EQ(entries.First(), 0);
}

// One entry too many for the capacity, round and round.
int HitsInALoop(absl::string_view policy) {
  Entries entries(policy, {.capacity_bytes = 4});
  int hits = 0;
  for (int use = 0; use < 100; ++use) {
    const int entry = use % 5;
    if (entries.Has(entry)) {
      ++hits;
      entries.Touch(entry);
    } else {
      if (use >= 4) entries.Remove(entries.First());
      entries.Insert(entry);
    }
  }
  return hits;
}

TEST(Lirs, ALoopThatIsTooLongDoesNotPushAllOut) {
  EXPECT_EQ(HitsInALoop("lru"), 0);
  EXPECT_GE(HitsInALoop("lirs:hir=0.25"), 50);
}

TEST(Gdsf, GivesUpWhatSavesLeastForItsBytes) {
  Entries entries("gdsf");
  entries.facts[0].bytes = 4;
  entries.facts[1].bytes = 2;
  entries.facts[2].bytes = 8;
  entries.Insert({0, 1, 2});
  EXPECT_THAT(entries.Order(), ElementsAre(2, 0, 1));
  for (int i = 0; i < 4; ++i) entries.Touch(2);  // 5 / 8 above 1 / 2
  EXPECT_THAT(entries.Order(), ElementsAre(0, 1, 2));
}

TEST(Gdsf, WhatIsNoLongerUsedAges) {
  Entries entries("gdsf");
  entries.Insert(0);
  for (int i = 0; i < 4; ++i) entries.Touch(0);
  for (int round = 0; round < 5; ++round) {
    entries.Insert(1);
    if (entries.First() == 0) return;
    entries.Remove(1);
  }
  FAIL() << "five uses count for ever";
}

TEST(Gdsf, OneThatGoesOutOfTurnMakesOthersNoDearer) {
  Entries entries("gdsf");
  entries.facts[1].bytes = 4;
  entries.facts[2].bytes = 8;
  entries.Insert({0, 1, 2});
  ASSERT_THAT(entries.Order(), ElementsAre(2, 1, 0));
  entries.Remove(0);
  entries.facts[3].bytes = 5;
  entries.Insert(3);
  EXPECT_THAT(entries.Order(), ElementsAre(2, 3, 1));
}

TEST(Gdsf, CostsCountWhenAskedFor) {
  Entries entries("gdsf:cost=1");
  entries.facts[0].cost_ns = 5;
  entries.facts[1].cost_ns = 3;
  entries.Insert({0, 1});
  EXPECT_THAT(entries.Order(), ElementsAre(1, 0));
}

TEST(Generations, AUseInThePresentOneMovesNothing) {
  Entries entries("generations:frames=1");
  entries.Insert({0, 1, 2});
  entries.Touch(0);
  EXPECT_THAT(entries.Order(), ElementsAre(0, 1, 2));
  entries.Note(EvictionBoundary::kSubmission);
  entries.Touch(0);
  EXPECT_THAT(entries.Order(), ElementsAre(0, 1, 2));
  entries.Note(EvictionBoundary::kFrame);
  entries.Touch(0);
  EXPECT_THAT(entries.Order(), ElementsAre(1, 2, 0));
}

TEST(Generations, TheOldestTwoBecomeOneWhenThereAreTooMany) {
  Entries entries("generations:generations=2,frames=1");
  entries.Insert({0, 1});
  entries.Note(EvictionBoundary::kFrame);
  entries.Insert(2);
  entries.Touch(0);
  EXPECT_THAT(entries.Order(), ElementsAre(1, 2, 0));
  entries.Note(EvictionBoundary::kFrame);
  entries.Insert(3);
  entries.Touch(1);
  EXPECT_THAT(entries.Order(), ElementsAre(2, 0, 3, 1));
}

TEST(Generations, OneLastsUntilItHasItsShareOfTheBytes) {
  Entries entries("generations:generations=4");
  entries.Insert({0, 1, 2, 3, 4, 5, 6, 7});
  // Two of eight make a quarter: then the next begins.
  for (int entry : {3, 2, 1}) entries.Touch(entry);
  EXPECT_EQ(entries.First(), 0);
  const std::vector<int> before = entries.Order();
  entries.Touch(1);
  EXPECT_EQ(entries.Order(), before);
  // It had 3 and 2; 1 is in the next.
  entries.Touch(2);
  EXPECT_THAT(entries.Order(), ElementsAre(0, 4, 5, 6, 7, 3, 1, 2));
}

TEST(Random, GivesUpAnyAndTheSameForTheSameSeed) {
  std::set<int> drawn;
  std::vector<std::vector<int>> orders;
  for (const char* policy :
       {"random:seed=1", "random:seed=1", "random:seed=2"}) {
    Entries entries(policy);
    entries.Insert({0, 1, 2, 3, 4, 5, 6, 7});
    orders.emplace_back();
    for (int i = 0; i < 100; ++i) {
      const int first = entries.First();
      EXPECT_EQ(entries.First(), first);
      drawn.insert(first);
      orders.back().push_back(first);
      entries.Remove(first);
      entries.Insert(first);
    }
  }
  EXPECT_EQ(orders[0], orders[1]);
  EXPECT_NE(orders[0], orders[2]);
  EXPECT_EQ(drawn.size(), 8);
}

}  // namespace
}  // namespace twostep
