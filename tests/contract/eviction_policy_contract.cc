#include "tests/contract/eviction_policy_contract.h"

#include <algorithm>
#include <random>
#include <utility>

#include "gmock/gmock.h"
#include "tests/allocation_count.h"
#include "twostep/machine/types.h"

namespace twostep {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

PolicyUnderTest::PolicyUnderTest(std::unique_ptr<EvictionPolicy> policy,
                                 uint64_t capacity_bytes)
    : policy_(std::move(policy)) {
  if (capacity_bytes == kNotServed) return;
  policy_->Serve(
      {.facts_of =
           [](const void* context, const EvictionHook& hook) {
             const auto* test = static_cast<const PolicyUnderTest*>(context);
             EXPECT_EQ(&hook, test->asked_about_)
                 << "asked for facts of an entry that the verb is not about";
             return test->FactsOf(static_cast<const Entry&>(hook).key);
           },
       .context = this,
       .capacity_bytes = capacity_bytes,
       .most_ghosts = 16});
}

PolicyUnderTest::~PolicyUnderTest() {
  while (!in_.empty()) Remove(in_.begin()->first, Departure::kGone);
}

// Differ in all that a policy may go by.
EvictionFacts PolicyUnderTest::FactsOf(uint64_t key) const {
  return {.key = key,
          .bytes = (1 + key * 7 % 13) * kPageSize,
          .cost_ns = 1 + key * 5 % 11,
          .client = static_cast<uint32_t>(key % 3),
          .priority = static_cast<uint8_t>(key % 5),
          .dirty = key % 2 != 0};
}

std::vector<uint64_t> PolicyUnderTest::Keys() const {
  std::vector<uint64_t> keys;
  for (const auto& [key, entry] : in_) keys.push_back(key);
  return keys;
}

void PolicyUnderTest::Insert(uint64_t key) {
  auto entry = std::make_unique<Entry>();
  entry->key = key;
  asked_about_ = entry.get();
  policy_->Insert(*entry);
  asked_about_ = nullptr;
  in_[key] = std::move(entry);
}

void PolicyUnderTest::Return(uint64_t key) {
  auto entry = std::move(aside_.extract(key).mapped());
  asked_about_ = entry.get();
  policy_->Insert(*entry);
  asked_about_ = nullptr;
  in_[key] = std::move(entry);
}

void PolicyUnderTest::Touch(uint64_t key) {
  asked_about_ = in_.at(key).get();
  policy_->Touch(*in_.at(key));
  asked_about_ = nullptr;
}

void PolicyUnderTest::Remove(uint64_t key, Departure why) {
  auto entry = std::move(in_.extract(key).mapped());
  asked_about_ = entry.get();
  policy_->Remove(*entry, why);
  asked_about_ = nullptr;
  if (why == Departure::kAside) aside_[key] = std::move(entry);
}

void PolicyUnderTest::Expect(uint64_t key) { policy_->Expect(FactsOf(key)); }

std::vector<uint64_t> PolicyUnderTest::WalkFrom(EvictionHook* entry,
                                                size_t most) {
  std::vector<uint64_t> keys;
  // One more than there are: enough to see that it does not end.
  most = std::min(most, in_.size() + 1);
  while (entry != nullptr && keys.size() < most) {
    keys.push_back(static_cast<Entry*>(entry)->key);
    if (keys.size() < most) entry = policy_->After(*entry);
  }
  return keys;
}

std::vector<uint64_t> PolicyUnderTest::Walk(size_t most) {
  return WalkFrom(policy_->First(), most);
}

std::vector<uint64_t> PolicyUnderTest::WalkBehind(uint64_t key) {
  return WalkFrom(policy_->After(*in_.at(key)), SIZE_MAX);
}

void EvictionPolicyContract::Churn(PolicyUnderTest& order, uint64_t seed,
                                   int steps,
                                   const std::function<void()>& after_each) {
  constexpr uint64_t kKeys = 60;
  std::mt19937_64 random(seed);
  for (int step = 0; step < steps && !HasFailure(); ++step) {
    const uint64_t key = random() % kKeys;
    const uint64_t kind = random() % 16;
    if (!order.Has(key)) {
      if (kind == 0) order.Expect(key);  // it may not come after all
      if (order.IsAside(key)) {
        order.Return(key);
      } else if (kind != 0) {
        if (kind < 8) order.Expect(key);
        for (; order.size() >= 40;
             order.Remove(order.Walk(1)[0], Departure::kEvicted)) {
        }
        order.Insert(key);
      }
    } else if (kind == 0) {
      order.Remove(key, Departure::kEvicted);  // passing others over
    } else if (kind == 1) {
      order.Remove(key, Departure::kGone);
    } else if (kind == 2) {
      order.Remove(key, Departure::kAside);
    } else if (kind == 3) {
      order.policy().Note(random() % 2 == 0 ? EvictionBoundary::kSubmission
                                            : EvictionBoundary::kFrame);
    } else if (kind == 4) {
      order.Walk(random() % 10);
    } else {
      order.Touch(key);
    }
    after_each();
  }
}

namespace {

// No Serve at all; a capacity that is not known; one that what is there
// exceeds; one that it never reaches.
constexpr uint64_t kCapacities[] = {PolicyUnderTest::kNotServed, 0,
                                    50 * kPageSize, 100000 * kPageSize};

std::vector<uint64_t> Sorted(std::vector<uint64_t> keys) {
  std::sort(keys.begin(), keys.end());
  return keys;
}

}  // namespace

TEST_P(EvictionPolicyContract, EmptyHasNothingToGiveUp) {
  for (const uint64_t capacity : kCapacities) {
    auto order = Make(capacity);
    EXPECT_EQ(order->policy().First(), nullptr);
    EXPECT_FALSE(order->policy().Overfull());
  }
}

TEST_P(EvictionPolicyContract, OneEntryIsTheOneToGo) {
  for (const uint64_t capacity : kCapacities) {
    auto order = Make(capacity);
    for (Departure why :
         {Departure::kEvicted, Departure::kGone, Departure::kAside}) {
      order->Insert(5);
      EXPECT_THAT(order->Walk(), ElementsAre(5));
      order->Touch(5);
      EXPECT_THAT(order->Walk(), ElementsAre(5));
      order->Remove(5, why);
      EXPECT_THAT(order->Walk(), IsEmpty());
    }
    order->Return(5);
    EXPECT_THAT(order->Walk(), ElementsAre(5));
  }
}

TEST_P(EvictionPolicyContract, EveryEntryIsReachedOnceWhateverCameBefore) {
  for (const uint64_t capacity : kCapacities) {
    for (uint64_t seed = 1; seed <= 4; ++seed) {
      auto order = Make(capacity);
      Churn(*order, seed, 1000,
            [&] { EXPECT_EQ(Sorted(order->Walk()), order->Keys()); });
    }
  }
}

// Without walks in between, which may spend what is known of uses.
TEST_P(EvictionPolicyContract, EveryEntryIsReachedOnceAfterManySteps) {
  for (const uint64_t capacity : kCapacities) {
    for (uint64_t seed = 1; seed <= 100; ++seed) {
      auto order = Make(capacity);
      Churn(*order, seed, 200, [] {});
      EXPECT_EQ(Sorted(order->Walk()), order->Keys());
    }
  }
}

TEST_P(EvictionPolicyContract, AskingAgainGivesTheSameOrder) {
  for (const uint64_t capacity : kCapacities) {
    for (uint64_t seed = 1; seed <= 20; ++seed) {
      auto order = Make(capacity);
      Churn(*order, seed, 300, [] {});
      const std::vector<uint64_t> some = order->Walk(order->size() / 2);
      const std::vector<uint64_t> all = order->Walk();
      EXPECT_EQ(some,
                std::vector<uint64_t>(all.begin(), all.begin() + some.size()));
      EXPECT_EQ(order->Walk(), all);
    }
  }
}

TEST_P(EvictionPolicyContract, AWalkCanStartBehindAnyEntry) {
  for (const uint64_t capacity : kCapacities) {
    for (uint64_t seed = 1; seed <= 20; ++seed) {
      auto order = Make(capacity);
      Churn(*order, seed, 300, [] {});
      const std::vector<uint64_t> all = order->Walk();
      for (size_t i = 0; i < all.size(); ++i) {
        EXPECT_EQ(order->WalkBehind(all[i]),
                  std::vector<uint64_t>(all.begin() + i + 1, all.end()));
      }
    }
  }
}

TEST_P(EvictionPolicyContract, TheSameStepsGiveTheSameOrder) {
  for (const uint64_t capacity : {uint64_t{0}, 50 * kPageSize}) {
    auto one = Make(capacity);
    auto other = Make(capacity);
    Churn(*one, 7, 2000, [] {});
    Churn(*other, 7, 2000, [] {});
    EXPECT_EQ(one->Walk(), other->Walk());
  }
}

TEST_P(EvictionPolicyContract, WhatWasAsideLeavesTheOthersInTheirOrder) {
  for (const uint64_t capacity : kCapacities) {
    auto order = Make(capacity);
    for (uint64_t key = 0; key < 20; ++key) order->Insert(key);
    for (uint64_t key : {3, 5, 5, 5, 7}) order->Touch(key);
    std::vector<uint64_t> before = order->Walk();
    const uint64_t away = before[10];
    order->Remove(away, Departure::kAside);
    before.erase(before.begin() + 10);
    // A policy that draws lots may draw anew, but not lose one.
    EXPECT_EQ(Sorted(order->Walk()), Sorted(before));
    order->Return(away);
    before.push_back(away);
    EXPECT_EQ(Sorted(order->Walk()), Sorted(before));
  }
}

TEST_P(EvictionPolicyContract, BeingOverfullEndsWhenEnoughHaveGone) {
  auto order = Make(50 * kPageSize);
  Churn(*order, 3, 3000, [&] {
    while (order->policy().Overfull()) {
      ASSERT_FALSE(order->Walk(1).empty());
      order->Remove(order->Walk(1)[0], Departure::kEvicted);
    }
  });
}

TEST_P(EvictionPolicyContract, APageIsAdmittedWhereThereIsRoomForMany) {
  auto order = Make(100000 * kPageSize);
  EXPECT_TRUE(order->policy().Admits(kPageSize));
}

// The verbs come under a spin lock.
TEST_P(EvictionPolicyContract, AllocatesNothingOnceItHasHeldAsManyEntries) {
  constexpr size_t kEntries = 64;
  std::vector<EvictionHook> hooks(kEntries);
  const std::unique_ptr<EvictionPolicy> policy = GetParam().make();
  policy->Serve({.capacity_bytes = kEntries});
  size_t allocations = 0;
  for (int round = 0; round < 200; ++round) {
    const size_t before = AllocationCount();
    for (EvictionHook& hook : hooks) {
      if (round == 0) {
        policy->Insert(hook);
      } else {
        policy->Touch(hook);
        EvictionHook& first = *policy->First();
        policy->Remove(first, Departure::kEvicted);
        first.set_state(0);
        policy->Expect(EvictionOwner::Alike(nullptr, first));
        policy->Insert(first);
      }
      EvictionHook* at = policy->First();
      for (int i = 0; i < 3 && at != nullptr; ++i) at = policy->After(*at);
    }
    // Rare growth, by doubling, is over by then.
    if (round >= 100) allocations += AllocationCount() - before;
  }
  EXPECT_EQ(allocations, 0);
  for (EvictionHook& hook : hooks) policy->Remove(hook, Departure::kGone);
}

}  // namespace twostep
