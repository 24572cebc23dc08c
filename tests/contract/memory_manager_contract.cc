#include "tests/contract/memory_manager_contract.h"

#include <algorithm>
#include <random>

#include "twostep/machine/clock.h"
#include "twostep/machine/timeline.h"

namespace twostep {

using Kind = Shortage::Kind;

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(MemoryManagerContract);

void MemoryManagerContract::TearDown() {
  while (!grants_.empty()) Free(0);
  EXPECT_EQ(manager_->used_pages(), 0);
  if (finite()) {
    const Shortage all = manager_->Describe(SpaceRequest{.size = capacity()});
    EXPECT_EQ(all.kind, Kind::kNone);
    EXPECT_EQ(all.free, capacity());
    EXPECT_EQ(all.largest_hole, capacity());
  }
}

Shortage::Kind MemoryManagerContract::Allocate(const SpaceRequest& request) {
  SpaceBlock block;
  const Kind kind = manager_->Allocate(request, &block);
  if (kind == Kind::kNone) {
    grants_.push_back({block, static_cast<PageCount>(request.size)});
  }
  return kind;
}

void MemoryManagerContract::AllocatePages(PageCount pages) {
  for (PageCount i = 0; i < pages; ++i) {
    ASSERT_EQ(Allocate(SpaceRequest{.size = 1}), Kind::kNone) << i;
  }
}

void MemoryManagerContract::Free(size_t grant) {
  manager_->Free(grants_[grant].block, grants_[grant].pages);
  grants_.erase(grants_.begin() + static_cast<ptrdiff_t>(grant));
}

std::vector<MemoryManagerContract::Run> MemoryManagerContract::RunsOf(
    const Grant& grant) const {
  std::vector<Run> runs;
  manager_->ForEachSegment(grant.block, grant.pages,
                           [&](uint64_t start, uint64_t pages) {
                             runs.push_back({start, start + pages});
                           });
  return runs;
}

void MemoryManagerContract::ExpectSound() const {
  std::vector<Run> all;
  uint64_t used = 0;
  for (const Grant& grant : grants_) {
    uint64_t pages = 0;
    for (const Run& run : RunsOf(grant)) {
      EXPECT_LT(run.start, run.end);
      pages += run.end - run.start;
      all.push_back(run);
    }
    EXPECT_EQ(pages, grant.pages);
    used += pages;
    EXPECT_EQ(RunsOf(grant).front().start, grant.block.start);
  }
  EXPECT_EQ(manager_->used_pages(), used);
  if (!finite()) return;
  std::sort(all.begin(), all.end(),
            [](const Run& a, const Run& b) { return a.start < b.start; });
  for (size_t i = 0; i < all.size(); ++i) {
    EXPECT_LE(all[i].end, i + 1 == all.size() ? capacity() : all[i + 1].start);
  }
}

namespace {

TEST_P(MemoryManagerContract, IsWhatItSays) {
  EXPECT_EQ(manager().kind(), GetParam().kind);
  EXPECT_EQ(manager().fixed(), GetParam().kind == MemoryManager::Kind::kFixed);
  EXPECT_EQ(manager().pages(), capacity());
  EXPECT_FALSE(manager().name().empty());
  EXPECT_EQ(manager().vram() != nullptr, manager().fixed());
  if (manager().vram() != nullptr) {
    EXPECT_EQ(manager().vram()->bytes(), PagesToBytes(capacity()));
  }
  EXPECT_EQ(manager().aperture() != nullptr,
            GetParam().kind == MemoryManager::Kind::kAperture);
  EXPECT_EQ(manager().order().size(), 0);
}

// R13
TEST_P(MemoryManagerContract, UsageAddsUp) {
  for (const PageCount pages : {1, 3, 8, 16, 5}) {
    ASSERT_EQ(Allocate(SpaceRequest{.size = pages}), Kind::kNone);
    ExpectSound();
  }
  EXPECT_EQ(manager().used_pages(), 33);
  Free(2);
  ExpectSound();
  EXPECT_EQ(manager().used_pages(), 25);
  if (finite()) {
    EXPECT_EQ(manager().Describe(SpaceRequest{.size = 1}).free,
              capacity() - 25);
  }
}

TEST_P(MemoryManagerContract, OutOfUseItGrantsNothingAndKeepsWhatItGranted) {
  ASSERT_EQ(Allocate(SpaceRequest{.size = 4}), Kind::kNone);
  manager().SetInUse(false);
  EXPECT_FALSE(manager().in_use());
  EXPECT_EQ(Allocate(SpaceRequest{.size = 1}), Kind::kNotInUse);
  EXPECT_EQ(manager().Describe(SpaceRequest{.size = 1}).kind, Kind::kNotInUse);
  EXPECT_EQ(manager().used_pages(), 4);
  ExpectSound();
  Free(0);
  EXPECT_EQ(manager().used_pages(), 0);
  manager().SetInUse(true);
  EXPECT_EQ(Allocate(SpaceRequest{.size = 1}), Kind::kNone);
}

TEST_P(MemoryManagerContract, GrantsStayInTheirRange) {
  if (!finite()) GTEST_SKIP() << "no space";
  const SpaceRequest up{.size = 4, .first = 16, .end = 32};
  SpaceRequest down = up;
  down.direction = Direction::kTopDown;
  ASSERT_EQ(Allocate(up), Kind::kNone);
  EXPECT_EQ(grants()[0].block.start, 16);
  ASSERT_EQ(Allocate(down), Kind::kNone);
  EXPECT_EQ(grants()[1].block.start, 28);
  ASSERT_EQ(Allocate(up), Kind::kNone);
  ASSERT_EQ(Allocate(down), Kind::kNone);
  for (const Grant& grant : grants()) {
    for (const Run& run : RunsOf(grant)) {
      EXPECT_GE(run.start, 16);
      EXPECT_LE(run.end, 32);
    }
  }
  ExpectSound();
  // There is room, but not there.
  const SpaceRequest one{.size = 1, .first = 16, .end = 32};
  EXPECT_EQ(Allocate(one), Kind::kFragmented);
  EXPECT_EQ(manager().Describe(one).kind, Kind::kFragmented);
  EXPECT_EQ(manager().Describe(one).free, capacity() - 16);
  const SpaceRequest wide{.size = 17, .first = 16, .end = 32};
  EXPECT_EQ(Allocate(wide), Kind::kNeverFits);
  EXPECT_EQ(manager().Describe(wide).kind, Kind::kNeverFits);
}

TEST_P(MemoryManagerContract, FullFragmentedAndTooLargeAreThreeAnswers) {
  if (!finite()) GTEST_SKIP() << "no space";
  SpaceRequest all{.size = capacity()};
  SpaceRequest more{.size = capacity() + 1};
  for (const bool contiguous : {true, false}) {
    more.contiguous = contiguous;
    EXPECT_EQ(Allocate(more), Kind::kNeverFits);
    EXPECT_EQ(manager().Describe(more).kind, Kind::kNeverFits);
  }
  AllocatePages(capacity());
  EXPECT_EQ(Allocate(SpaceRequest{.size = 1}), Kind::kFull);
  Shortage shortage = manager().Describe(SpaceRequest{.size = 1});
  EXPECT_EQ(shortage.kind, Kind::kFull);
  EXPECT_EQ(shortage.free, 0);
  EXPECT_EQ(shortage.largest_hole, 0);
  EXPECT_EQ(manager().used_pages(), capacity());
  // Every second page.
  for (PageCount i = capacity(); i > 0; --i) {
    if (grants()[i - 1].block.start % 2 == 1) Free(i - 1);
  }
  SpaceRequest two{.size = 2};
  EXPECT_EQ(Allocate(two), Kind::kFragmented);
  shortage = manager().Describe(two);
  EXPECT_EQ(shortage.kind, Kind::kFragmented);
  EXPECT_EQ(shortage.free, capacity() / 2);
  EXPECT_EQ(shortage.largest_hole, 1);
  EXPECT_EQ(Allocate(all), Kind::kFull);
  two.contiguous = false;
  EXPECT_EQ(manager().Describe(two).kind,
            GetParam().splits ? Kind::kNone : Kind::kFragmented);
  if (GetParam().splits) {
    two.size = capacity() / 2;
    ASSERT_EQ(Allocate(two), Kind::kNone);
    EXPECT_EQ(RunsOf(grants().back()).size(), capacity() / 2);
  }
  ExpectSound();
}

// Any request in any state: what Describe says is what Allocate does.
TEST_P(MemoryManagerContract, DescribeIsExact) {
  std::mt19937 random(7);
  const auto below = [&](uint32_t n) {
    return static_cast<uint32_t>(random() % n);
  };
  for (int step = 0; step < 3000; ++step) {
    if (!grants().empty() && below(3) == 0) {
      Free(below(static_cast<uint32_t>(grants().size())));
      continue;
    }
    SpaceRequest request{.size = 1 + below(20)};
    request.contiguous = below(2) == 0;
    request.alignment = uint64_t{1} << below(4);
    if (finite() && below(2) == 0) {
      request.first = below(capacity());
      request.end = request.first + 1 + below(capacity());
    }
    if (below(4) == 0) request.direction = Direction::kTopDown;
    const uint64_t used = manager().used_pages();
    const Shortage shortage = manager().Describe(request);
    ASSERT_EQ(Allocate(request), shortage.kind) << step;
    if (finite()) {
      ASSERT_EQ(shortage.free, capacity() - used) << step;
    }
    if (shortage.kind == Kind::kNone) {
      ASSERT_EQ(manager().used_pages(), used + request.size);
    } else {
      ASSERT_EQ(manager().used_pages(), used);
      if (request.alignment == 1 && request.first == 0 && finite()) {
        ASSERT_LT(shortage.largest_hole, request.size) << step;
      }
    }
    ExpectSound();
  }
}

TEST_P(MemoryManagerContract, FreedSpaceComesWithTheFencesThatItWaitsFor) {
  if (!manager().fixed()) GTEST_SKIP() << "no storage of its own";
  Clock clock(Clock::Kind::kReal);
  Timeline timeline("engine", clock);
  FenceSet pending;
  EXPECT_FALSE(manager().AppendFreedFences(&pending));
  ASSERT_EQ(Allocate(SpaceRequest{.size = capacity()}), Kind::kNone);
  FenceSet reads;
  reads.Add(timeline.Emit(0), FenceUse::kRead);
  reads.Add(timeline.Emit(0), FenceUse::kRead);
  manager().FreeAfter(grants()[0].block, capacity(), &reads);
  grants().clear();
  EXPECT_EQ(manager().used_pages(), 0);
  // At once, but with what to wait for: as a move, for which readers wait too.
  ASSERT_EQ(Allocate(SpaceRequest{.size = 1}), Kind::kNone);
  EXPECT_TRUE(manager().AppendFreedFences(&pending));
  EXPECT_FALSE(pending.Signalled(FenceUse::kMove));
  timeline.Complete(1);
  FenceSet again;
  EXPECT_TRUE(manager().AppendFreedFences(&again));
  EXPECT_FALSE(again.Signalled(FenceUse::kMove));
  timeline.Complete(2);
  EXPECT_TRUE(pending.Signalled(FenceUse::kMove));
  FenceSet none;
  EXPECT_FALSE(manager().AppendFreedFences(&none));
  EXPECT_TRUE(none.empty());
}

TEST_P(MemoryManagerContract, SpaceFreedAfterNothingWaitsForNothing) {
  if (!manager().fixed()) GTEST_SKIP() << "no storage of its own";
  ASSERT_EQ(Allocate(SpaceRequest{.size = 2}), Kind::kNone);
  FenceSet nothing;
  manager().FreeAfter(grants()[0].block, 2, &nothing);
  grants().clear();
  FenceSet pending;
  EXPECT_FALSE(manager().AppendFreedFences(&pending));
  EXPECT_EQ(manager().used_pages(), 0);
}

// R1, R2
TEST_P(MemoryManagerContract, AnApertureShowsExactlyWhatIsBound) {
  if (manager().aperture() == nullptr) GTEST_SKIP() << "no page table";
  const ApertureTable& table = *manager().aperture();
  EXPECT_EQ(table.pages(), capacity());
  AllocatePages(3);
  ASSERT_EQ(Allocate(SpaceRequest{.size = 3}), Kind::kNone);
  const SpaceBlock block = grants()[3].block;
  manager().Bind(block, {0x5000, 0x1000, 0xffff'ffff'f000});
  EXPECT_EQ(table.Get(block.start), 0x5000);
  EXPECT_EQ(table.Get(block.start + 1), 0x1000);
  EXPECT_EQ(table.Get(block.start + 2), 0xffff'ffff'f000);
  EXPECT_EQ(table.Get(block.start - 1), kNoDmaAddress);
  EXPECT_EQ(table.Get(block.start + 3), kNoDmaAddress);
  manager().Unbind(block, 3);
  for (PageCount i = 0; i < capacity(); ++i) {
    EXPECT_EQ(table.Get(i), kNoDmaAddress) << i;
  }
}

// What the choice of victims by position rests on.
TEST_P(MemoryManagerContract, SpaceShowsWhereAGrantIs) {
  ASSERT_EQ(Allocate(SpaceRequest{.size = 6}), Kind::kNone);
  const SpaceBlock block = grants()[0].block;
  bool shown = false;
  const bool has_positions = manager().WithSpace([&](RangeAllocator& space) {
    shown = true;
    EXPECT_EQ(space.capacity(), capacity());
    EXPECT_EQ(space.Around(block.node).start, block.start);
    EXPECT_EQ(space.Around(block.node).end, block.start + 6);
  });
  EXPECT_EQ(shown, has_positions);
  if (finite() && !GetParam().splits) {
    EXPECT_TRUE(has_positions);
  }
}

TEST_P(MemoryManagerContract, ManyThreadsTakeAndGiveBack) {
  constexpr int kThreads = 4;
  {
    std::vector<Thread> threads;
    for (int i = 0; i < kThreads; ++i) {
      threads.emplace_back([this, i] {
        FenceSet fences;
        for (PageCount step = 0; step < 500; ++step) {
          const PageCount pages = 1 + (step + i) % 16;
          SpaceBlock block;
          ASSERT_EQ(manager().Allocate(SpaceRequest{.size = pages}, &block),
                    Kind::kNone);
          ASSERT_GE(manager().used_pages(), pages);
          if (manager().fixed()) {
            manager().FreeAfter(block, pages, &fences);
          } else {
            manager().Free(block, pages);
          }
        }
      });
    }
  }
  EXPECT_EQ(manager().used_pages(), 0);
}

}  // namespace
}  // namespace twostep
