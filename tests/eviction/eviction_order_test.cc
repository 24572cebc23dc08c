#include "twostep/eviction/eviction_order.h"

#include <memory>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "twostep/eviction/fifo_policy.h"

namespace twostep {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(EvictionHook, ThePolicysWordAndTheOrdersMarkKeepApart) {
  EvictionHook hook;
  EXPECT_EQ(hook.state(), 0);
  EXPECT_FALSE(hook.aside());
  constexpr uint64_t kMost = (uint64_t{1} << EvictionHook::kStateBits) - 1;
  hook.set_state(kMost);
  EXPECT_FALSE(hook.aside());
  hook.set_aside(true);
  EXPECT_EQ(hook.state(), kMost);
  hook.set_state(5);
  EXPECT_TRUE(hook.aside());
  hook.set_aside(false);
  EXPECT_EQ(hook.state(), 5);
}

// FIFO that keeps a count in each entry and writes down what it is told.
class Recorder final : public EvictionPolicy {
 public:
  struct Log {
    std::vector<uint64_t> states_at_insert;
    std::vector<Departure> departures;
    std::vector<uint64_t> expected_keys;
    std::vector<EvictionBoundary> boundaries;
    uint64_t capacity_bytes = 0;
  };
  explicit Recorder(Log& log) : log_(log) {}

  void Insert(EvictionHook& entry) override {
    log_.states_at_insert.push_back(entry.state());
    entry.set_state(entry.state() + 1);
    queue_.PushBack(entry);
  }
  void Touch(EvictionHook&) override {}
  void Remove(EvictionHook& entry, Departure why) override {
    log_.departures.push_back(why);
    queue_.Remove(entry);
  }
  EvictionHook* First() override { return queue_.front(); }
  EvictionHook* After(EvictionHook& entry) override {
    return queue_.Behind(entry);
  }
  void Expect(const EvictionFacts& entry) override {
    log_.expected_keys.push_back(entry.key);
  }
  void Note(EvictionBoundary boundary) override {
    log_.boundaries.push_back(boundary);
  }

 private:
  void Prepare() override { log_.capacity_bytes = owner().capacity_bytes; }

  Log& log_;
  EntryQueue queue_;
};

TEST(EvictionOrder, AnEntryThatWasAsideComesBackWithItsStateAndOthersAsNew) {
  Recorder::Log log;
  EvictionOrder order(std::make_unique<Recorder>(log));
  EvictionHook hook;
  for (Departure why : {Departure::kAside, Departure::kEvicted,
                        Departure::kAside, Departure::kGone}) {
    order.Insert(hook);
    order.Remove(hook, why);
  }
  EXPECT_THAT(log.states_at_insert, ElementsAre(0, 1, 0, 1));
  EXPECT_THAT(log.departures,
              ElementsAre(Departure::kAside, Departure::kEvicted,
                          Departure::kAside, Departure::kGone));
  EXPECT_EQ(hook.state(), 0);
}

TEST(EvictionOrder, HintsReachThePolicy) {
  Recorder::Log log;
  EvictionOrder order(std::make_unique<Recorder>(log));
  order.Serve({.capacity_bytes = 4096});
  EXPECT_EQ(log.capacity_bytes, 4096);
  order.Expect({.key = 7});
  EXPECT_THAT(log.expected_keys, ElementsAre(7));
  order.Note(EvictionBoundary::kFrame);
  EXPECT_THAT(log.boundaries, ElementsAre(EvictionBoundary::kFrame));
}

TEST(EvictionOrder, APolicyThatDoesNotListenNeedNot) {
  FifoPolicy policy;
  policy.Serve({});
  policy.Expect({});
  policy.Note(EvictionBoundary::kSubmission);
  EXPECT_TRUE(policy.Admits(uint64_t{1} << 40));
  EXPECT_FALSE(policy.Overfull());
  EXPECT_EQ(policy.First(), nullptr);
}

TEST(EvictionOwner, ByDefaultEntriesDifferInTheirKeysAlone) {
  EvictionHook one, two;
  const EvictionOwner owner;
  EXPECT_NE(owner.facts_of(nullptr, one).key, owner.facts_of(nullptr, two).key);
  EXPECT_EQ(owner.facts_of(nullptr, one).bytes, 1);
  EXPECT_EQ(owner.facts_of(nullptr, two).bytes, 1);
}

}  // namespace
}  // namespace twostep
