// The lower bounds, against the best that any policy can do, found by trying
// them all.

#include "twostep/lab/byte_bound.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <random>
#include <vector>

#include "gtest/gtest.h"

namespace twostep {
namespace {

// Sets of objects that are in, as bits, and the least that it costs to get
// there.
using States = std::map<uint32_t, uint64_t>;

uint64_t BytesOf(const UseSequence& uses, uint32_t set) {
  uint64_t bytes = 0;
  for (size_t i = 0; i < uses.bytes.size(); ++i) {
    if (set >> i & 1) bytes += uses.bytes[i];
  }
  return bytes;
}

void Lower(States* states, uint32_t set, uint64_t cost) {
  auto [it, fresh] = states->emplace(set, cost);
  if (!fresh) it->second = std::min(it->second, cost);
}

// Every subset of what is in or just used may stay, if it fits.
uint64_t BruteForceMissBytes(const UseSequence& uses, uint64_t capacity) {
  States states = {{0, 0}};
  for (const uint32_t object : uses.objects) {
    States next;
    for (const auto& [set, cost] : states) {
      const uint32_t bit = uint32_t{1} << object;
      const uint64_t paid = cost + (set & bit ? 0 : uses.bytes[object]);
      for (uint32_t kept = set | bit;; kept = (kept - 1) & (set | bit)) {
        if (BytesOf(uses, kept) <= capacity) Lower(&next, kept, paid);
        if (kept == 0) break;
      }
    }
    states = std::move(next);
  }
  uint64_t least = ~uint64_t{0};
  for (const auto& [set, cost] : states) least = std::min(least, cost);
  return least;
}

// Each step needs all its bos in; what leaves costs its bytes, unless it is
// destroyed; what comes in costs its bytes if it has contents, which it has
// from its first use on.
uint64_t BruteForceMovedBytes(const TraceHistory& history, uint64_t capacity) {
  const UseSequence& uses = history.uses;
  States states = {{0, 0}};
  uint32_t used = 0;
  for (size_t step = 0; step < uses.steps(); ++step) {
    uint32_t needed = 0;
    for (size_t i = uses.begin_of(step); i < uses.begin_of(step + 1); ++i) {
      needed |= uint32_t{1} << uses.objects[i];
    }
    uint32_t gone = 0;
    uint32_t filled = used;
    for (size_t bo = 0; bo < uses.bytes.size(); ++bo) {
      if (history.destroyed_before[bo] <= step) gone |= uint32_t{1} << bo;
      if (history.contents_first[bo]) filled |= uint32_t{1} << bo;
    }
    States next;
    for (const auto& [full, cost] : states) {
      const uint32_t set = full & ~gone;
      const uint64_t in = BytesOf(uses, needed & ~set & filled);
      const uint32_t others = set & ~needed;
      for (uint32_t kept = others;; kept = (kept - 1) & others) {
        if (BytesOf(uses, kept | needed) <= capacity) {
          Lower(&next, kept | needed,
                cost + in + BytesOf(uses, others & ~kept));
        }
        if (kept == 0) break;
      }
    }
    states = std::move(next);
    used |= needed;
  }
  uint64_t least = ~uint64_t{0};
  for (const auto& [set, cost] : states) least = std::min(least, cost);
  return least;
}

UseSequence RandomRequests(std::mt19937_64& random, uint64_t most_bytes) {
  UseSequence uses;
  for (int i = 0; i < 6; ++i) uses.bytes.push_back(1 + random() % most_bytes);
  for (int i = 0; i < 14; ++i) {
    uses.objects.push_back(static_cast<uint32_t>(random() % 6));
  }
  return uses;
}

TEST(LeastMissBytes, NoPolicyDoesWithLess) {
  std::mt19937_64 random(1);
  uint64_t bound_sum = 0;
  uint64_t best_sum = 0;
  for (int round = 0; round < 300; ++round) {
    const UseSequence uses = RandomRequests(random, 5);
    const uint64_t capacity = 1 + random() % 12;
    const uint64_t bound = LeastMissBytes(uses, capacity);
    const uint64_t best = BruteForceMissBytes(uses, capacity);
    ASSERT_LE(bound, best) << round;
    bound_sum += bound;
    best_sum += best;
  }
  // And it is worth something.
  EXPECT_GT(bound_sum * 100, best_sum * 90);
}

TEST(LeastMissBytes, IsReachedWhereAllObjectsAreOfOneSize) {
  std::mt19937_64 random(2);
  for (int round = 0; round < 300; ++round) {
    const UseSequence uses = RandomRequests(random, 1);
    const uint64_t capacity = random() % 6;
    ASSERT_EQ(LeastMissBytes(uses, capacity),
              BruteForceMissBytes(uses, capacity))
        << round;
  }
}

TEST(LeastMissBytes, OfASequenceByHand) {
  // Capacity 2 of objects of 1: a b c a b: a and b stay, c passes through.
  UseSequence uses;
  uses.bytes = {1, 1, 1};
  uses.objects = {0, 1, 2, 0, 1};
  EXPECT_EQ(LeastMissBytes(uses, 2), 3);
  EXPECT_EQ(LeastMissBytes(uses, 1), 4);
  EXPECT_EQ(LeastMissBytes(uses, 0), 5);
  EXPECT_EQ(LeastMissBytes(UseSequence{}, 1), 0);
}

TraceHistory RandomHistory(std::mt19937_64& random, uint64_t capacity) {
  TraceHistory history;
  UseSequence& uses = history.uses;
  uses.step_begin.push_back(0);
  for (int bo = 0; bo < 6; ++bo) {
    uses.bytes.push_back(1 + random() % 4);
    history.contents_first.push_back(random() % 2 == 0);
    history.destroyed_before.push_back(9);
  }
  for (uint32_t step = 0; step < 9; ++step) {
    uint32_t set = 0;
    for (int tries = 0; tries < 3; ++tries) {
      const uint32_t with = set | uint32_t{1} << random() % 6;
      if (BytesOf(uses, with) <= capacity) set = with;
    }
    for (uint32_t bo = 0; bo < 6; ++bo) {
      if ((set >> bo & 1) && history.destroyed_before[bo] > step) {
        uses.objects.push_back(bo);
      }
    }
    uses.step_begin.push_back(uses.objects.size());
    if (random() % 4 == 0) {
      uint32_t& gone = history.destroyed_before[random() % 6];
      gone = std::min(gone, step + 1);
    }
  }
  return history;
}

TEST(LeastMovedBytes, NoPolicyDoesWithLess) {
  std::mt19937_64 random(3);
  uint64_t bound_sum = 0;
  uint64_t best_sum = 0;
  for (int round = 0; round < 300; ++round) {
    const uint64_t capacity = 4 + random() % 8;
    const TraceHistory history = RandomHistory(random, capacity);
    const uint64_t bound = LeastMovedBytes(history, capacity);
    const uint64_t best = BruteForceMovedBytes(history, capacity);
    ASSERT_LE(bound, best) << round;
    bound_sum += bound;
    best_sum += best;
  }
  EXPECT_GT(bound_sum * 100, best_sum * 60);
}

TEST(LeastMovedBytes, WhatASubmissionUsesLeavesLessForOthers) {
  // Bo 0 of 2 bytes is used before and after a submission of the other two,
  // which fill the 3 bytes: one of bo 0 at least goes out and comes back.
  TraceHistory history;
  history.uses.bytes = {2, 1, 1};
  history.uses.objects = {0, 1, 2, 0};
  history.uses.step_begin = {0, 1, 3, 4};
  history.contents_first = {false, false, false};
  history.destroyed_before = {3, 3, 3};
  EXPECT_EQ(LeastMovedBytes(history, 3), 2);
  EXPECT_EQ(LeastMovedBytes(history, 4), 0);
  history.contents_first = {true, false, true};
  EXPECT_EQ(LeastMovedBytes(history, 4), 3);
}

}  // namespace
}  // namespace twostep
