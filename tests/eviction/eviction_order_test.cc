#include "twostep/eviction/eviction_order.h"

#include <array>
#include <memory>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "twostep/eviction/clock_policy.h"
#include "twostep/eviction/fifo_policy.h"
#include "twostep/eviction/lru_policy.h"
#include "twostep/machine/sync.h"

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
  hook.set_arrived(true);
  EXPECT_EQ(hook.state(), 5);
  EXPECT_FALSE(hook.aside());
  hook.set_state(kMost);
  EXPECT_TRUE(hook.arrived());
}

// FIFO that keeps a count in each entry and writes down what it is told.
class Recorder final : public EvictionPolicy {
 public:
  struct Log {
    std::vector<uint64_t> states_at_insert;
    std::vector<uint64_t> bytes_at_insert;
    std::vector<Departure> departures;
    std::vector<uint64_t> expected_keys;
    std::vector<EvictionBoundary> boundaries;
    int touches = 0;
    uint64_t capacity_bytes = 0;
  };
  explicit Recorder(Log& log) : log_(log) {}

  void Insert(EvictionHook& entry) override {
    log_.states_at_insert.push_back(entry.state());
    log_.bytes_at_insert.push_back(
        owner().facts_of(owner().context, entry).bytes);
    entry.set_state(entry.state() + 1);
    queue_.PushBack(entry);
  }
  void Touch(EvictionHook&) override { ++log_.touches; }
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

// On the heap: .bazelrc says why, for asan_ubsan.
std::unique_ptr<EvictionOrder> OrderOf(std::unique_ptr<EvictionPolicy> policy) {
  return std::make_unique<EvictionOrder>(std::move(policy));
}

TEST(EvictionOrder, AnEntryThatWasAsideComesBackWithItsStateAndOthersAsNew) {
  Recorder::Log log;
  const auto order = OrderOf(std::make_unique<Recorder>(log));
  EvictionHook hook;
  for (Departure why : {Departure::kAside, Departure::kEvicted,
                        Departure::kAside, Departure::kGone}) {
    order->Insert(hook);
    order->Remove(hook, why);
  }
  EXPECT_THAT(log.states_at_insert, ElementsAre(0, 1, 0, 1));
  EXPECT_THAT(log.departures,
              ElementsAre(Departure::kAside, Departure::kEvicted,
                          Departure::kAside, Departure::kGone));
  EXPECT_EQ(hook.state(), 0);
}

// What is reserved when a search comes by is being used: the policy must hear
// of it, where it hears of the uses that entries come in for.
TEST(EvictionOrder, AUseOfAnEntryThatIsAsideIsAUse) {
  for (const bool touches_arrivals : {true, false}) {
    Recorder::Log log;
    const auto order = OrderOf(std::make_unique<Recorder>(log));
    order->Serve({.touches_arrivals = touches_arrivals});
    EvictionHook hook;
    order->Insert(hook);
    order->Visit({},
                 [](EvictionHook&) { return EvictionOrder::Verdict::kAside; });
    ASSERT_TRUE(hook.aside());
    order->Touch(hook);
    EXPECT_FALSE(hook.aside());
    EXPECT_EQ(log.states_at_insert.size(), 2);
    EXPECT_EQ(log.touches, touches_arrivals ? 1 : 0);
    order->Remove(hook, Departure::kGone);
  }
}

// A clock counts uses: the one that an entry came in for is none of them.
TEST(EvictionOrder, AnArrivalAndItsTouchAreOneUse) {
  const auto order = OrderOf(std::make_unique<ClockPolicy>(1));
  order->Serve({.touches_arrivals = true});
  std::array<EvictionHook, 3> hooks;
  for (EvictionHook& hook : hooks) order->Insert(hook);
  // Aside in between, as by a search of the same submission.
  order->Visit({},
               [&](EvictionHook&) { return EvictionOrder::Verdict::kAside; });
  for (EvictionHook& hook : hooks) order->Touch(hook);
  order->Touch(hooks[0]);
  EvictionHook* first = nullptr;
  order->Visit({}, [&](EvictionHook& hook) {
    first = &hook;
    return EvictionOrder::Verdict::kStop;
  });
  EXPECT_EQ(first, &hooks[1]);
  for (EvictionHook& hook : hooks) order->Remove(hook, Departure::kGone);
}

TEST(EvictionOrder, HintsReachThePolicy) {
  Recorder::Log log;
  const auto order = OrderOf(std::make_unique<Recorder>(log));
  order->Serve({.capacity_bytes = 4096});
  EXPECT_EQ(log.capacity_bytes, 4096);
  order->Expect({.key = 7});
  EXPECT_THAT(log.expected_keys, ElementsAre(7));
  order->Note(EvictionBoundary::kFrame);
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

// LRU that counts the uses it is told of.
class Told final : public EvictionPolicy {
 public:
  Told(bool blindly, int& touches) : blindly_(blindly), touches_(touches) {}
  // How many uses had been told of when submissions ended.
  void SetEnds(std::vector<int>* ends) { ends_ = ends; }

  bool TouchesBlindly() const override { return blindly_; }
  void Insert(EvictionHook& entry) override { lru_.Insert(entry); }
  void Touch(EvictionHook& entry) override {
    ++touches_;
    lru_.Touch(entry);
  }
  void Remove(EvictionHook& entry, Departure why) override {
    lru_.Remove(entry, why);
  }
  EvictionHook* First() override { return lru_.First(); }
  EvictionHook* After(EvictionHook& entry) override {
    return lru_.After(entry);
  }
  void Note(EvictionBoundary boundary) override {
    const bool submission = boundary == EvictionBoundary::kSubmission;
    if (submission && ends_ != nullptr) ends_->push_back(touches_);
  }

 private:
  const bool blindly_;
  int& touches_;
  std::vector<int>* ends_ = nullptr;
  LruPolicy lru_;
};

TEST(EvictionOrder, EndsOfSubmissionsStayBetweenTheirUses) {
  for (const bool blindly : {false, true}) {
    int touches = 0;
    std::vector<int> ends;
    auto policy = std::make_unique<Told>(blindly, touches);
    policy->SetEnds(&ends);
    const auto order = OrderOf(std::move(policy));
    order->Serve({});
    EvictionHook hook;
    order->Insert(hook);
    for (int uses : {2, 0, 1}) {
      for (; uses > 0; --uses) order->Touch(hook);
      order->Note(EvictionBoundary::kSubmission);
    }
    // Logged, as the uses are.
    EXPECT_EQ(ends.empty(), blindly);
    order->Touch(hook);
    order->Remove(hook, Departure::kGone);
    EXPECT_THAT(ends, ElementsAre(2, 2, 3)) << blindly;
    EXPECT_EQ(touches, 4);
  }
}

std::vector<EvictionHook*> Listed(EvictionOrder& order,
                                  const EvictionAsker& asker = {}) {
  std::vector<EvictionHook*> hooks;
  order.Visit(asker, [&](EvictionHook& hook) {
    hooks.push_back(&hook);
    return EvictionOrder::Verdict::kNext;
  });
  return hooks;
}

void RemoveAll(EvictionOrder& order) {
  for (EvictionHook* hook : Listed(order)) {
    order.Remove(*hook, Departure::kGone);
  }
}

// B24: what has left a bulk is not of its size.
TEST(EvictionOrder, AGroupIsAsLargeAsItsMembers) {
  Recorder::Log log;
  const auto order = OrderOf(std::make_unique<Recorder>(log));
  order->Serve({});  // all entries are of one byte
  EvictionGroup group;
  const EvictionPlace place{.group = &group};
  std::array<EvictionHook, 3> hooks;
  for (EvictionHook& hook : hooks) order->Insert(hook, place);
  order->TouchGroup(group, place);
  order->Remove(hooks[2], Departure::kGone, place);
  order->TouchGroup(group, place);
  EXPECT_THAT(log.bytes_at_insert, ElementsAre(1, 3, 2));
  order->Remove(hooks[0], Departure::kGone, place);
  order->Remove(hooks[1], Departure::kGone, place);
}

// A client with an entry.
struct Budgeted {
  Budgeted(const Budget& budget, uint64_t used_pages) {
    auto charged = std::make_shared<EvictionAccount>(budget);
    EXPECT_TRUE(charged->TryCharge(used_pages));
    account = std::move(charged);
  }

  EvictionAccountPtr account;
  EvictionHook hook;
};

TEST(EvictionOrder, R14_WhoIsFurthestAboveItsProtectionGoesFirst) {
  const auto order = OrderOf(std::make_unique<FifoPolicy>());
  order->Serve({}, [] { return std::make_unique<FifoPolicy>(); });
  Budgeted at_min({.min_pages = 4}, 4);
  Budgeted below_min({.min_pages = 4}, 3);
  Budgeted below_low({.min_pages = 1, .low_pages = 4}, 3);
  Budgeted at_low({.low_pages = 4}, 4);
  Budgeted little_above({.low_pages = 2}, 3);
  Budgeted far_above({.low_pages = 2}, 5);
  EvictionHook unbudgeted;
  const auto clients = {&at_min, &below_min,    &below_low,
                        &at_low, &little_above, &far_above};
  for (Budgeted* client : clients) {
    order->Insert(client->hook, {.account = &client->account});
  }
  order->Insert(unbudgeted);
  EXPECT_THAT(Listed(*order),
              ElementsAre(&unbudgeted, &far_above.hook, &little_above.hook,
                          &at_low.hook, &below_low.hook));
  EXPECT_EQ(order->ProtectedFrom({}), 2);
  // From itself nobody is protected, but last to give something up.
  EXPECT_THAT(Listed(*order, {.account = at_min.account.get()}),
              ElementsAre(&unbudgeted, &far_above.hook, &little_above.hook,
                          &at_low.hook, &below_low.hook, &at_min.hook));
  EXPECT_THAT(
      Listed(*order, {.account = at_low.account.get(), .own_only = true}),
      ElementsAre(&at_low.hook));
  for (Budgeted* client : clients) {
    order->Remove(client->hook, Departure::kGone,
                  {.account = &client->account});
  }
  order->Remove(unbudgeted, Departure::kGone);
}

// Nobody is asked for facts that nobody listens to; but as long as somebody
// might, all is said.
TEST(EvictionOrder, OfWhatIsExpectedThoseHearWhoListen) {
  Recorder::Log log;
  const auto order = OrderOf(std::make_unique<FifoPolicy>());
  order->Serve({}, [&] { return std::make_unique<Recorder>(log); });
  EXPECT_TRUE(order->Expects());
  order->Expect({.key = 1});
  EXPECT_FALSE(order->Expects());
  Budgeted client({.min_pages = 1}, 1);
  const EvictionPlace place{.account = &client.account};
  order->Insert(client.hook, place);
  EXPECT_TRUE(order->Expects());
  order->Expect({.key = 2});
  EXPECT_TRUE(order->Expects());
  order->Expect({.key = 3}, place);
  EXPECT_THAT(log.expected_keys, ElementsAre(3));
  order->Remove(client.hook, Departure::kGone, place);
}

// The price of a submission does not grow with the number of clients.
TEST(EvictionOrder, OfASubmissionThoseHearWhoHadSomethingToDo) {
  std::vector<std::vector<int>> ends(3);
  std::vector<int> touches(3);
  size_t made = 0;
  int others = 0;
  // One that does not bear to be told later.
  const auto order = OrderOf(std::make_unique<Told>(/*blindly=*/false, others));
  order->Serve({}, [&] {
    auto policy = std::make_unique<Told>(/*blindly=*/false, touches[made]);
    policy->SetEnds(&ends[made++]);
    return policy;
  });
  Budgeted clients[] = {
      {{.min_pages = 1}, 2}, {{.min_pages = 1}, 2}, {{.min_pages = 1}, 2}};
  for (Budgeted& client : clients) {
    order->Insert(client.hook, {.account = &client.account});
  }
  const auto submit = [&](std::initializer_list<size_t> used) {
    for (const size_t i : used) {
      order->Touch(clients[i].hook, {.account = &clients[i].account});
    }
    order->Note(EvictionBoundary::kSubmission);
  };
  submit({});  // all came in
  EXPECT_THAT(ends,
              ElementsAre(ElementsAre(0), ElementsAre(0), ElementsAre(0)));
  submit({1});
  submit({});
  submit({1, 2});
  EXPECT_THAT(ends, ElementsAre(ElementsAre(0), ElementsAre(0, 1, 2),
                                ElementsAre(0, 1)));
  for (Budgeted& client : clients) {
    order->Remove(client.hook, Departure::kGone, {.account = &client.account});
  }
}

TEST(EvictionOrder, WhatIsSetAsideIsShownLastOrNotUntilItIsUsed) {
  const auto order = OrderOf(std::make_unique<LruPolicy>());
  order->Serve({});
  std::array<EvictionHook, 4> hooks;
  for (EvictionHook& hook : hooks) order->Insert(hook);
  for (const size_t i : {2, 0, 1}) order->SetAside(hooks[i]);
  const auto shown = [&](EvictionOrder::Asides asides) {
    std::vector<EvictionHook*> shown;
    order->Visit(
        {},
        [&](EvictionHook& hook) {
          shown.push_back(&hook);
          return EvictionOrder::Verdict::kNext;
        },
        asides);
    return shown;
  };
  const auto others = [&] { return shown(EvictionOrder::Asides::kLeaveOut); };
  EXPECT_THAT(others(), ElementsAre(&hooks[3]));
  EXPECT_THAT(shown(EvictionOrder::Asides::kOnly),
              ElementsAre(&hooks[2], &hooks[0], &hooks[1]));
  // Once more: behind all that are.
  order->SetAside(hooks[2]);
  // Two of them are looked at before all others, each time others.
  EXPECT_THAT(Listed(*order),
              ElementsAre(&hooks[1], &hooks[0], &hooks[3], &hooks[2]));
  order->Touch(hooks[0]);
  EXPECT_THAT(others(), ElementsAre(&hooks[3], &hooks[0]));
  EXPECT_EQ(order->size(), 4);
  RemoveAll(*order);
}

TEST(TouchLogs, APolicyThatAsksForFactsIsToldAtOnceAnotherBeforeAnythingElse) {
  for (const bool blindly : {false, true}) {
    int touches = 0;
    const auto order = OrderOf(std::make_unique<Told>(blindly, touches));
    EvictionHook a, b, c;
    order->Insert(a);
    order->Insert(b);
    order->Touch(a);
    EXPECT_EQ(touches, blindly ? 0 : 1);
    order->Insert(c);
    EXPECT_EQ(touches, 1);
    EXPECT_THAT(Listed(*order), ElementsAre(&b, &a, &c));
    order->Touch(b);
    EXPECT_THAT(Listed(*order), ElementsAre(&a, &c, &b));
    EXPECT_EQ(touches, 2);
    order->Touch(a);
    order->Note(EvictionBoundary::kFrame);
    EXPECT_EQ(touches, 3);
    RemoveAll(*order);
  }
}

TEST(TouchLogs, NoUseIsLostHoweverMany) {
  int touches = 0;
  const auto order = OrderOf(std::make_unique<Told>(true, touches));
  std::array<EvictionHook, 4> hooks;
  for (EvictionHook& hook : hooks) order->Insert(hook);
  order->Touch(hooks[0]);
  for (int i = 0; i < 1000; ++i) order->Touch(hooks[1 + i % 2]);
  EXPECT_THAT(Listed(*order),
              ElementsAre(&hooks[3], &hooks[0], &hooks[1], &hooks[2]));
  EXPECT_EQ(touches, 1001);
  RemoveAll(*order);
}

TEST(TouchLogs, AnEntryThatLeavesIsForgotten) {
  int touches = 0;
  const auto order = OrderOf(std::make_unique<Told>(true, touches));
  EvictionHook stays;
  order->Insert(stays);
  {
    auto leaves = std::make_unique<EvictionHook>();
    order->Insert(*leaves);
    order->Touch(*leaves);
    order->Remove(*leaves, Departure::kGone);
  }
  EXPECT_THAT(Listed(*order), ElementsAre(&stays));
  EXPECT_EQ(touches, 1);
  RemoveAll(*order);
}

// More threads than there are logs, each with entries of its own; some share
// a log's place one after the other.
TEST(TouchLogs, UsesOfAllThreadsAreTold) {
  constexpr int kThreads = 20;
  constexpr int kUses = 500;
  int touches = 0;
  const auto order = OrderOf(std::make_unique<Told>(true, touches));
  std::array<EvictionHook, kThreads> hooks;
  for (EvictionHook& hook : hooks) order->Insert(hook);
  Atomic<int> running{0};
  for (int round = 1; round <= 3; ++round) {
    {
      std::vector<Thread> threads;
      for (EvictionHook& hook : hooks) {
        threads.emplace_back([&] {
          // All at a time: one that ends leaves its log to the next.
          ++running;
          while (running.load() < round * kThreads) YieldFor(0);
          for (int i = 0; i < kUses; ++i) order->Touch(hook);
        });
      }
    }
    EXPECT_EQ(Listed(*order).size(), kThreads);
    EXPECT_EQ(touches, round * kThreads * kUses);
  }
  RemoveAll(*order);
}

}  // namespace
}  // namespace twostep
