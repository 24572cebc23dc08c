#include "twostep/machine/dma_segments.h"

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace twostep {
namespace {

constexpr uint64_t kPage = kPageSize;

std::vector<DmaSegment> Coalesce(const std::vector<DmaAddress>& pages,
                                 const SegmentLimits& limits) {
  return CoalesceSegments(static_cast<PageCount>(pages.size()), limits,
                          [&](PageCount page) { return pages[page]; });
}

TEST(DmaSegments, NeighboursOnTheBusAreOneSegment) {
  const std::vector<DmaAddress> pages = {8 * kPage, 9 * kPage, 10 * kPage,
                                         3 * kPage, 2 * kPage, 3 * kPage};
  EXPECT_EQ(
      Coalesce(pages, {}),
      (std::vector<DmaSegment>{
          {8 * kPage, 3 * kPage}, {3 * kPage, kPage}, {2 * kPage, 2 * kPage}}));
  // One page an entry.
  EXPECT_EQ(Coalesce(pages, {.max_bytes = kPage}).size(), 6);
  EXPECT_TRUE(Coalesce({}, {}).empty());
}

TEST(DmaSegments, BlocksAreInOnePieceAndAlignedAsAWhole) {
  const SegmentLimits limits{.alignment = 4 * kPage};
  const auto keeps = [&](const std::vector<DmaAddress>& pages) {
    return KeepsTo(static_cast<PageCount>(pages.size()), limits,
                   [&](PageCount page) { return pages[page] * kPage; });
  };
  EXPECT_TRUE(keeps({8, 9, 10, 11}));
  EXPECT_FALSE(keeps({6, 7, 8, 9}));
  EXPECT_FALSE(keeps({8, 9, 11, 10}));
  // What is less than a block lies anywhere.
  EXPECT_TRUE(keeps({8, 9, 10, 11, 3, 1}));
}

TEST(DmaSegments, NoSegmentIsTooLongOrCrossesABoundary) {
  std::vector<DmaAddress> pages;
  for (uint64_t i = 0; i < 10; ++i) pages.push_back((6 + i) * kPage);
  EXPECT_EQ(Coalesce(pages, {.max_bytes = 4 * kPage + 100}),
            (std::vector<DmaSegment>{{6 * kPage, 4 * kPage},
                                     {10 * kPage, 4 * kPage},
                                     {14 * kPage, 2 * kPage}}));
  EXPECT_EQ(Coalesce(pages, {.boundary = 8 * kPage}),
            (std::vector<DmaSegment>{{6 * kPage, 2 * kPage},
                                     {8 * kPage, 8 * kPage}}));
  EXPECT_EQ(Coalesce(pages, {.max_bytes = 3 * kPage, .boundary = 8 * kPage}),
            (std::vector<DmaSegment>{{6 * kPage, 2 * kPage},
                                     {8 * kPage, 3 * kPage},
                                     {11 * kPage, 3 * kPage},
                                     {14 * kPage, 2 * kPage}}));
}

// The fewest segments that keep to the limits, by trying all.
uint64_t Fewest(const std::vector<DmaAddress>& pages,
                const SegmentLimits& limits) {
  std::vector<uint64_t> fewest(pages.size() + 1, 0);
  for (size_t end = 1; end <= pages.size(); ++end) {
    fewest[end] = ~uint64_t{0};
    for (size_t start = 0; start < end; ++start) {
      const uint64_t bytes = (end - start) * kPage;
      bool ok = bytes <= limits.max_bytes || end - start == 1;
      for (size_t i = start + 1; i < end; ++i) {
        ok &= pages[i] == pages[i - 1] + kPage;
      }
      const DmaAddress last = pages[start] + bytes - 1;
      ok &= limits.boundary == 0 ||
            pages[start] / limits.boundary == last / limits.boundary;
      if (ok) fewest[end] = std::min(fewest[end], fewest[start] + 1);
    }
  }
  return fewest.back();
}

TEST(DmaSegments, TheyAreTheFewestAndHoldEveryPageInOrder) {
  std::mt19937 random(11);
  for (int round = 0; round < 3000; ++round) {
    std::vector<DmaAddress> pages;
    DmaAddress next = random() % 32 * kPage;
    for (uint64_t i = 0, n = 1 + random() % 20; i < n; ++i) {
      if (random() % 5 == 0) next = random() % 64 * kPage;
      pages.push_back(next);
      next += kPage;
    }
    SegmentLimits limits;
    if (random() % 2 == 0) limits.max_bytes = (1 + random() % 8) * kPage + 7;
    if (random() % 2 == 0) limits.boundary = kPage << random() % 5;
    const std::vector<DmaSegment> segments = Coalesce(pages, limits);
    std::vector<DmaAddress> held;
    for (const DmaSegment& segment : segments) {
      EXPECT_LE(segment.bytes, limits.max_bytes);
      EXPECT_TRUE(limits.boundary == 0 ||
                  segment.address / limits.boundary ==
                      (segment.address + segment.bytes - 1) / limits.boundary);
      for (uint64_t at = 0; at < segment.bytes; at += kPage) {
        held.push_back(segment.address + at);
      }
    }
    ASSERT_EQ(held, pages) << round;
    const uint64_t fewest = Fewest(pages, limits);
    ASSERT_EQ(segments.size(), fewest) << round;
    const auto keeps = [&](uint64_t max_segments) {
      limits.max_segments = max_segments;
      return KeepsTo(static_cast<PageCount>(pages.size()), limits,
                     [&](PageCount page) { return pages[page]; });
    };
    EXPECT_TRUE(keeps(fewest));
    EXPECT_TRUE(fewest == 1 || !keeps(fewest - 1));
    // Wherever they lie.
    EXPECT_LE(limits.FewestFor(static_cast<PageCount>(pages.size())), fewest);
  }
}

TEST(DmaSegments, WholeBlocksAreAlignedAndWhatIsLeftNeedNotBe) {
  const SegmentLimits limits{.alignment = 4 * kPage};
  const auto keeps = [&](const std::vector<DmaAddress>& pages) {
    return KeepsTo(static_cast<PageCount>(pages.size()), limits,
                   [&](PageCount page) { return pages[page] * kPage; });
  };
  EXPECT_TRUE(keeps({8, 9, 10, 11, 4, 5, 6, 7, 3, 1}));
  EXPECT_TRUE(keeps({3, 1, 9}));
  EXPECT_FALSE(keeps({9, 10, 11, 12}));
  EXPECT_FALSE(keeps({8, 9, 10, 12}));
  EXPECT_FALSE(keeps({8, 9, 10, 11, 5, 6, 7, 8}));
}

TEST(DmaSegments, WhatSuitsBothIsTheNarrowerOfEach) {
  const SegmentLimits a{.max_bytes = 8 * kPage,
                        .boundary = 0,
                        .max_segments = 3,
                        .alignment = kPage};
  const SegmentLimits b{.max_bytes = 16 * kPage,
                        .boundary = 64 * kPage,
                        .max_segments = 2,
                        .alignment = 4 * kPage};
  const SegmentLimits both{.max_bytes = 8 * kPage,
                           .boundary = 64 * kPage,
                           .max_segments = 2,
                           .alignment = 4 * kPage};
  EXPECT_EQ(a.And(b), both);
  EXPECT_EQ(b.And(a), both);
  EXPECT_EQ(a.And({}), a);
}

TEST(DmaSegments, WhatMakesNoSenseIsNamed) {
  const auto wrong = [](const SegmentLimits& limits) {
    const auto problem = limits.FindProblem();
    return problem.has_value() ? std::string(problem->field) : std::string();
  };
  EXPECT_EQ(wrong({}), "");
  EXPECT_EQ(wrong({.max_bytes = kPage - 1}), "max_bytes");
  EXPECT_EQ(wrong({.max_bytes = kPage, .alignment = 2 * kPage}), "max_bytes");
  EXPECT_EQ(wrong({.boundary = 3 * kPage}), "boundary");
  EXPECT_EQ(wrong({.boundary = kPage, .alignment = 2 * kPage}), "boundary");
  EXPECT_EQ(wrong({.max_segments = 0}), "max_segments");
  EXPECT_EQ(wrong({.alignment = kPage / 2}), "alignment");
  EXPECT_EQ(wrong({.alignment = 3 * kPage}), "alignment");
  EXPECT_EQ(wrong({.alignment = 512 * kKiB}), "alignment");
}

}  // namespace
}  // namespace twostep
