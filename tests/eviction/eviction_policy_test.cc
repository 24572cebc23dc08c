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
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// An order of entries that are called by their number.
class Entries {
 public:
  explicit Entries(absl::string_view policy)
      : order_(*MakeEvictionPolicy(policy)) {}
  ~Entries() {
    for (EvictionHook& hook : hooks_) {
      if (hook.is_linked()) order_.Remove(hook, Departure::kGone);
    }
  }

  void Insert(int entry) { order_.Insert(hooks_[entry]); }
  void Touch(int entry) { order_.Touch(hooks_[entry]); }
  void Remove(int entry) { order_.Remove(hooks_[entry], Departure::kEvicted); }
  size_t size() const { return order_.size(); }
  // At most `most` entries, the first to be given up at the start.
  std::vector<int> Order(size_t most = 100) {
    std::vector<int> order;
    order_.Visit([&](EvictionHook& hook) {
      order.push_back(static_cast<int>(&hook - hooks_.data()));
      return order.size() < most;
    });
    return order;
  }

 private:
  std::array<EvictionHook, 8> hooks_;
  EvictionOrder order_;
};

TEST(EvictionPolicy, LruGivesUpTheLeastRecentlyUsedFirst) {
  Entries entries("lru");
  for (int i = 0; i < 4; ++i) entries.Insert(i);
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

TEST(EvictionPolicy, FifoGivesUpInOrderOfArrival) {
  Entries entries("fifo");
  for (int i = 0; i < 4; ++i) entries.Insert(i);
  entries.Touch(0);
  entries.Touch(1);
  EXPECT_THAT(entries.Order(), ElementsAre(0, 1, 2, 3));
  entries.Remove(0);
  entries.Insert(0);
  EXPECT_THAT(entries.Order(), ElementsAre(1, 2, 3, 0));
}

TEST(EvictionPolicy, MruGivesUpTheMostRecentlyUsedFirst) {
  Entries entries("mru");
  for (int i = 0; i < 4; ++i) entries.Insert(i);
  EXPECT_THAT(entries.Order(), ElementsAre(3, 2, 1, 0));
  entries.Touch(1);
  EXPECT_THAT(entries.Order(), ElementsAre(1, 3, 2, 0));
  entries.Remove(1);
  EXPECT_THAT(entries.Order(), ElementsAre(3, 2, 0));
}

// What holds for every policy there is.
class EveryPolicy : public testing::TestWithParam<EvictionPolicyInfo> {};

TEST_P(EveryPolicy, IsMadeByItsNameAndSaysWhatItDoes) {
  EXPECT_TRUE(MakeEvictionPolicy(GetParam().name).ok());
  EXPECT_NE(GetParam().summary, "");
}

TEST_P(EveryPolicy, EmptyHasNothingToGiveUp) {
  Entries entries(GetParam().name);
  EXPECT_THAT(entries.Order(), IsEmpty());
  entries.Insert(5);
  EXPECT_THAT(entries.Order(), ElementsAre(5));
  entries.Touch(5);
  EXPECT_THAT(entries.Order(), ElementsAre(5));
  entries.Remove(5);
  EXPECT_THAT(entries.Order(), IsEmpty());
  EXPECT_EQ(entries.size(), 0);
}

TEST_P(EveryPolicy, ShowsEachEntryOnceAndAskingChangesNothing) {
  Entries entries(GetParam().name);
  std::set<int> expected;
  for (int i : {3, 1, 4, 0, 5}) {
    entries.Insert(i);
    expected.insert(i);
    entries.Touch(3);
  }
  const std::vector<int> order = entries.Order();
  EXPECT_EQ(order.size(), expected.size());
  EXPECT_EQ(std::set<int>(order.begin(), order.end()), expected);
  EXPECT_EQ(entries.Order(), order);
  EXPECT_EQ(entries.Order(2),
            std::vector<int>(order.begin(), order.begin() + 2));
  EXPECT_EQ(entries.size(), 5);
}

INSTANTIATE_TEST_SUITE_P(All, EveryPolicy,
                         testing::ValuesIn(EvictionPolicies()),
                         [](const auto& info) {
                           return std::string(info.param.name);
                         });

}  // namespace
}  // namespace twostep
