#include "twostep/eviction/adaptive_policy.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <random>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "twostep/eviction/lru_policy.h"
#include "twostep/lab/cache_model.h"

namespace twostep {
namespace {

using ::testing::ElementsAre;

// Requests for objects of one byte each, and what policies miss of them.
struct Requests {
  std::vector<uint32_t> objects;
  uint32_t object_count = 0;

  void Add(uint32_t object) {
    objects.push_back(object);
    object_count = std::max(object_count, object + 1);
  }
  void AddRange(uint32_t first, uint32_t count) {
    for (uint32_t i = 0; i < count; ++i) Add(first + i);
  }
  template <typename Run>
  double Misses(Run run, uint64_t capacity) const {
    const std::vector<uint64_t> bytes(object_count, 1);
    return static_cast<double>(
        run(CacheRequests{objects, bytes}, capacity).misses);
  }
  double Adaptive(uint64_t capacity) const {
    return Misses(
        [](const CacheRequests& requests, uint64_t bytes) {
          return RunCache(std::make_unique<AdaptivePolicy>(), requests, bytes);
        },
        capacity);
  }
  double Lru(uint64_t capacity) const {
    return Misses(
        [](const CacheRequests& requests, uint64_t bytes) {
          return RunCache(std::make_unique<LruPolicy>(), requests, bytes);
        },
        capacity);
  }
  double Belady(uint64_t capacity) const {
    return Misses(&RunBelady, capacity);
  }
};

TEST(AdaptivePolicy, ACyclicScanMissesWithinATenthOfForesight) {
  for (const int rounds : {2, 3, 10}) {
    Requests scan;
    for (int round = 0; round < rounds; ++round) scan.AddRange(0, 448);
    for (const uint64_t capacity : {64, 128, 256, 447}) {
      EXPECT_LE(scan.Adaptive(capacity), 1.1 * scan.Belady(capacity))
          << rounds << " rounds, room for " << capacity;
    }
  }
}

TEST(AdaptivePolicy, BosOfEverySecondOrThirdFrameAreForetold) {
  for (const uint32_t buffers : {2, 3}) {
    Requests frames;
    for (uint32_t frame = 0; frame < 90; ++frame) {
      for (uint32_t draw = 0; draw < 10; ++draw) {
        frames.Add(frame % buffers);
        frames.AddRange(3 + draw * 10, 10);
      }
    }
    for (const uint64_t capacity : {25, 50, 75}) {
      EXPECT_LE(frames.Adaptive(capacity), 1.05 * frames.Belady(capacity))
          << buffers << " buffers, room for " << capacity;
    }
  }
}

TEST(AdaptivePolicy, FramesThatDifferALittleAreStillFollowed) {
  std::mt19937 random(1);
  Requests frames;
  for (int frame = 0; frame < 100; ++frame) {
    for (uint32_t bo = 0; bo < 200; ++bo) {
      if (random() % 20 != 0) frames.Add(bo);
    }
  }
  for (const uint64_t capacity : {50, 100, 150}) {
    EXPECT_LE(frames.Adaptive(capacity), 1.4 * frames.Belady(capacity));
    EXPECT_LE(frames.Adaptive(capacity), 0.95 * frames.Lru(capacity));
  }
}

TEST(AdaptivePolicy, WhatIsUsedOnceDoesNotFlushTheRest) {
  Requests frames;
  uint32_t upload = 80;
  for (int frame = 0; frame < 50; ++frame) {
    frames.AddRange(0, 80);
    for (int i = 0; i < 40; ++i) frames.Add(upload++);
  }
  // 80 of the 100 are there in every frame.
  EXPECT_LE(frames.Adaptive(100), 1.1 * frames.Belady(100));
  EXPECT_GE(frames.Lru(100), 2.5 * frames.Belady(100));
}

TEST(AdaptivePolicy, ANewPhaseIsLearnedInAFewFrames) {
  Requests phases;
  for (const uint32_t phase : {0, 1, 0, 2, 1}) {
    for (int frame = 0; frame < 20; ++frame) phases.AddRange(phase * 150, 150);
  }
  EXPECT_LE(phases.Adaptive(100), 1.1 * phases.Belady(100));
  // A phase that fits costs the frame in which it comes, and one to forget.
  EXPECT_LE(phases.Adaptive(160), phases.Belady(160) + 5 * 2 * 150);
}

// The guard: it may be behind by what fills the room, and two in a hundred.
TEST(AdaptivePolicy, WhereNothingRepeatsItIsNotMuchWorseThanLru) {
  for (const double skew : {0., .8, 1.1}) {
    std::vector<double> weights(500);
    for (size_t i = 0; i < weights.size(); ++i) {
      weights[i] = std::pow(static_cast<double>(i + 1), -skew);
    }
    std::discrete_distribution<uint32_t> draw(weights.begin(), weights.end());
    std::mt19937 random(7);
    Requests zipf;
    for (int i = 0; i < 50000; ++i) zipf.Add(draw(random));
    for (const uint64_t capacity : {50, 125, 250, 375}) {
      EXPECT_LE(zipf.Adaptive(capacity),
                1.03 * zipf.Lru(capacity) + 2. * capacity)
          << "skew " << skew << ", room for " << capacity;
    }
  }
}

// Worlds made to lead it astray: nearly all of each fits, and just as the next
// turn of a phase is believed in, another comes.
TEST(AdaptivePolicy, WhatMisleadsItDoesNotMakeItMuchWorseThanLru) {
  std::mt19937 random(3);
  for (const uint32_t frames : {2, 3, 5}) {
    Requests phases;
    for (int phase = 0; phase < 200; ++phase) {
      const uint32_t first = random() % 8 * 50;
      for (uint32_t frame = 0; frame < frames; ++frame) {
        phases.AddRange(first, 100);
      }
    }
    for (const uint64_t capacity : {60, 90, 110, 200, 300}) {
      EXPECT_LE(phases.Adaptive(capacity),
                1.03 * phases.Lru(capacity) + 2. * capacity)
          << frames << " frames a phase, room for " << capacity;
    }
  }
}

// More entries than the log has uses: what it has forgotten goes as with LRU.
TEST(AdaptivePolicy, BeyondItsLogItIsLru) {
  Requests scan;
  for (int round = 0; round < 2; ++round) scan.AddRange(0, 100000);
  EXPECT_EQ(scan.Adaptive(90000), scan.Lru(90000));
}

struct Entry : EvictionHook {
  uint64_t key = 0;
};

class AdaptiveOrder : public testing::Test {
 protected:
  explicit AdaptiveOrder(bool touches_arrivals = true) {
    policy_.Serve({.facts_of =
                       [](const void*, const EvictionHook& hook) {
                         return FactsOf(static_cast<const Entry&>(hook));
                       },
                   .touches_arrivals = touches_arrivals});
    for (uint64_t key = 0; key < entries_.size(); ++key) {
      entries_[key].key = key;
    }
  }
  ~AdaptiveOrder() override {
    while (EvictionHook* entry = policy_.First()) {
      policy_.Remove(*entry, Departure::kGone);
    }
  }
  static EvictionFacts FactsOf(const Entry& entry) {
    return {.key = entry.key, .bytes = 4096};
  }
  void Frames(int count) {
    for (int frame = 0; frame < count; ++frame) {
      for (Entry& entry : entries_) policy_.Touch(entry);
    }
  }
  std::vector<uint64_t> Keys() {
    std::vector<uint64_t> keys;
    for (EvictionHook* entry = policy_.First(); entry != nullptr;
         entry = policy_.After(*entry)) {
      keys.push_back(static_cast<Entry*>(entry)->key);
    }
    return keys;
  }

  std::array<Entry, 6> entries_;
  AdaptivePolicy policy_;
};

TEST_F(AdaptiveOrder, GoesFromTheLastNeededToTheNextNeeded) {
  for (Entry& entry : entries_) policy_.Insert(entry);
  Frames(3);
  EXPECT_THAT(Keys(), ElementsAre(5, 4, 3, 2, 1, 0));
  policy_.Touch(entries_[0]);
  policy_.Touch(entries_[1]);
  EXPECT_THAT(Keys(), ElementsAre(1, 0, 5, 4, 3, 2));
}

TEST_F(AdaptiveOrder, WhatIsExpectedTellsWhereTheProgramIs) {
  for (Entry& entry : entries_) policy_.Insert(entry);
  Frames(3);
  policy_.First();  // from now on it follows
  policy_.Remove(entries_[2], Departure::kAside);
  policy_.Touch(entries_[0]);
  EXPECT_THAT(Keys(), ElementsAre(0, 5, 4, 3, 1));
  // 1 is left out this time, so nobody knows when it is due.
  policy_.Expect(FactsOf(entries_[2]));
  EXPECT_THAT(Keys(), ElementsAre(1, 0, 5, 4, 3));
}

TEST_F(AdaptiveOrder, AnArrivalAndItsTouchAreOneUse) {
  for (Entry& entry : entries_) policy_.Insert(entry);
  Frames(1);
  // Nothing has repeated itself yet.
  EXPECT_THAT(Keys(), ElementsAre(0, 1, 2, 3, 4, 5));
}

// As one that was pinned, or one that was evicted into this memory type.
TEST_F(AdaptiveOrder, AnArrivalThatIsNotTouchedCountsAsUsedWhenItCame) {
  for (Entry& entry : entries_) policy_.Insert(entry);
  for (const int key : {0, 1, 2}) policy_.Touch(entries_[key]);
  EXPECT_THAT(Keys(), ElementsAre(3, 4, 5, 0, 1, 2));
  policy_.Remove(entries_[3], Departure::kAside);
  policy_.Remove(entries_[0], Departure::kAside);
  policy_.Insert(entries_[3]);
  policy_.Touch(entries_[4]);
  policy_.Insert(entries_[0]);
  EXPECT_THAT(Keys(), ElementsAre(5, 1, 2, 3, 4, 0));
}

TEST_F(AdaptiveOrder, AnArrivalOfLongAgoGoesFirst) {
  for (Entry& entry : entries_) policy_.Insert(entry);
  for (int i = 0; i < 5000; ++i) {
    for (const int key : {1, 3, 5}) policy_.Touch(entries_[key]);
  }
  const std::vector<uint64_t> keys = Keys();
  EXPECT_THAT(std::vector<uint64_t>(keys.begin(), keys.begin() + 3),
              ElementsAre(0, 2, 4));
}

TEST_F(AdaptiveOrder, WhoIsEvictedFromAsideBeforeItsFirstUseIsForgottenOnce) {
  policy_.Insert(entries_[0]);
  for (const Departure why : {Departure::kAside, Departure::kEvicted}) {
    policy_.Insert(entries_[1]);
    policy_.Remove(entries_[1], why);
  }
  policy_.Note(EvictionBoundary::kSubmission);
  for (const int key : {2, 3, 4, 5}) policy_.Insert(entries_[key]);
  EXPECT_THAT(Keys(), ElementsAre(0, 2, 3, 4, 5));
}

// What a submission wants, and does not get, it uses elsewhere.
TEST_F(AdaptiveOrder, WhatFindsNoRoomCountsAsUsed) {
  for (int key = 0; key < 5; ++key) policy_.Insert(entries_[key]);
  for (int frame = 0; frame < 3; ++frame) {
    for (int key = 0; key < 5; ++key) policy_.Touch(entries_[key]);
    policy_.Expect(FactsOf(entries_[5]));
    policy_.Note(EvictionBoundary::kSubmission);
  }
  policy_.Touch(entries_[0]);
  policy_.Touch(entries_[1]);
  EXPECT_THAT(Keys(), ElementsAre(1, 0, 4, 3, 2));
  policy_.Expect(FactsOf(entries_[5]));
  // Since 5 was used last only they were.
  EXPECT_THAT(Keys(), ElementsAre(2, 3, 4, 1, 0));
}

TEST_F(AdaptiveOrder, AnArrivalGoesFirstUntilItIsTouched) {
  for (Entry& entry : entries_) policy_.Insert(entry);
  Frames(3);
  Entry late;
  late.key = 99;
  policy_.Insert(late);
  EXPECT_THAT(Keys(), ElementsAre(99, 5, 4, 3, 2, 1, 0));
  policy_.Remove(late, Departure::kGone);
}

}  // namespace
}  // namespace twostep
