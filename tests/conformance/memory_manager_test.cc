// B7 to B11: what memory managers grant.

#include <algorithm>
#include <bit>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "tests/bo/rig.h"
#include "twostep/eviction/policy_registry.h"
#include "twostep/machine/buddy_allocator.h"
#include "twostep/machine/range_allocator.h"
#include "twostep/mem_types/managers.h"

namespace twostep {
namespace {

using ::testing::HasSubstr;

constexpr uint64_t kPages = 256;

std::unique_ptr<EvictionPolicy> Lru() { return *MakeEvictionPolicy("lru"); }

std::unique_ptr<MemoryManager> Tt() {
  return *MakeTtManager(PagesToBytes(kPages), Lru());
}
std::unique_ptr<MemoryManager> RangeVram() {
  return *MakeVramManager({PagesToBytes(kPages), 0}, SpaceAllocator::kRange,
                          Backing::kUnbacked, Lru());
}
std::unique_ptr<MemoryManager> BuddyVram() {
  return *MakeVramManager({PagesToBytes(kPages), 0}, SpaceAllocator::kBuddy,
                          Backing::kUnbacked, Lru());
}

struct ManagerCase {
  const char* name;
  std::unique_ptr<MemoryManager> (*make)();
  MemoryManager::Kind kind;
};

class MemoryManagers : public testing::TestWithParam<ManagerCase> {
 protected:
  const std::unique_ptr<MemoryManager> manager_ = GetParam().make();
};

TEST_P(MemoryManagers, B7_UsageGrowsByTheSizeGrantedAndFallsToZero) {
  EXPECT_EQ(manager_->kind(), GetParam().kind);
  EXPECT_EQ(manager_->pages(), kPages);
  EXPECT_EQ(manager_->used_pages(), 0);
  std::vector<std::pair<SpaceBlock, PageCount>> granted;
  uint64_t used = 0;
  for (const PageCount size : {1, 3, 64, 100}) {
    SpaceBlock block;
    ASSERT_EQ(manager_->Allocate({.size = size}, &block),
              Shortage::Kind::kNone);
    EXPECT_NE(block.node, 0);
    uint64_t pages = 0;
    manager_->ForEachSegment(block, size, [&](uint64_t start, uint64_t count) {
      EXPECT_LE(start + count, kPages);
      pages += count;
    });
    EXPECT_EQ(pages, size);
    used += size;
    EXPECT_EQ(manager_->used_pages(), used);
    granted.emplace_back(block, size);
  }
  for (const auto& [block, size] : granted) {
    manager_->Free(block, size);
    used -= size;
    EXPECT_EQ(manager_->used_pages(), used);
  }
  EXPECT_EQ(manager_->used_pages(), 0);
  // All of it is one piece again.
  SpaceBlock all;
  EXPECT_EQ(manager_->Allocate({.size = kPages}, &all), Shortage::Kind::kNone);
}

TEST_P(MemoryManagers, B7_ARefusalTakesNothing) {
  SpaceBlock block;
  EXPECT_EQ(manager_->Allocate({.size = kPages + 1}, &block),
            Shortage::Kind::kNeverFits);
  ASSERT_EQ(manager_->Allocate({.size = kPages - 1}, &block),
            Shortage::Kind::kNone);
  SpaceBlock second;
  EXPECT_EQ(manager_->Allocate({.size = 2}, &second), Shortage::Kind::kFull);
  EXPECT_EQ(manager_->used_pages(), kPages - 1);
}

TEST_P(MemoryManagers, B9_OutOfUseItGrantsNothingAndWhatWasGrantedStays) {
  SpaceBlock block;
  ASSERT_EQ(manager_->Allocate({.size = 8}, &block), Shortage::Kind::kNone);
  manager_->SetInUse(false);
  SpaceBlock refused;
  EXPECT_EQ(manager_->Allocate({.size = 1}, &refused),
            Shortage::Kind::kNotInUse);
  EXPECT_EQ(manager_->Describe({.size = 1}).kind, Shortage::Kind::kNotInUse);
  EXPECT_EQ(manager_->used_pages(), 8);
  manager_->Free(block, 8);
  EXPECT_EQ(manager_->used_pages(), 0);
  manager_->SetInUse(true);
  EXPECT_EQ(manager_->Allocate({.size = 1}, &block), Shortage::Kind::kNone);
}

INSTANTIATE_TEST_SUITE_P(
    All, MemoryManagers,
    testing::Values(
        ManagerCase{"Tt", &Tt, MemoryManager::Kind::kAperture},
        ManagerCase{"RangeVram", &RangeVram, MemoryManager::Kind::kFixed},
        ManagerCase{"BuddyVram", &BuddyVram, MemoryManager::Kind::kFixed}),
    [](const auto& info) { return info.param.name; });

TEST(MemoryManager, B7_ABosResourceIsOfTheTypeAndInTheRangeAskedFor) {
  Rig rig;
  BoRef bo = rig.Make(5 * kPageSize - 1);
  Placement placement = kVram;
  placement.first_page = 100;
  placement.end_page = 110;
  placement.direction = Direction::kTopDown;
  ASSERT_EQ(rig.Validate(bo, placement), absl::OkStatus());
  EXPECT_EQ(bo->manager().name(), "vram");
  EXPECT_EQ(bo->page_count(), 5);
  EXPECT_EQ(bo->start_page(), 105);
  EXPECT_EQ(bo->manager().used_pages(), 5);
  ASSERT_EQ(rig.Validate(bo, kSystem), absl::OkStatus());
  EXPECT_EQ(rig.device().manager(MemoryType::kVram)->used_pages(), 0);
}

TEST(MemoryManager, B8_APinnedBoStandsOnNoOrderAndUnpinningPutsItBack) {
  for (const Placement& placement :
       {kVram, twostep::Tt(DmaType::kNone), twostep::Tt(DmaType::kDynamic),
        twostep::Tt(DmaType::kCoherent), twostep::Tt(DmaType::kCma), kSystem}) {
    Rig rig;
    BoRef bo = rig.Make(3 * kPageSize);
    rig.CpuFill(bo, 1);
    ASSERT_EQ(rig.Validate(bo, placement), absl::OkStatus());
    MemoryManager& manager = *rig.device().manager(placement.memory);
    const DmaBinder* binder = bo->binder();
    const size_t dma_entries = binder != nullptr && binder->can_run_out();
    EXPECT_EQ(manager.order().size(), 1);
    if (binder != nullptr) {
      EXPECT_EQ(binder->order().size(), dma_entries);
    }
    rig.Pin(bo);
    EXPECT_TRUE(bo->pinned());
    EXPECT_EQ(manager.order().size(), 0);
    if (binder != nullptr) {
      EXPECT_EQ(binder->order().size(), 0);
    }
    EXPECT_EQ(manager.pinned_pages_now(), 3);
    EXPECT_EQ(rig.Broken(), "");
    rig.Unpin(bo);
    EXPECT_FALSE(bo->pinned());
    EXPECT_EQ(manager.order().size(), 1);
    if (binder != nullptr) {
      EXPECT_EQ(binder->order().size(), dma_entries);
    }
    EXPECT_EQ(manager.pinned_pages_now(), 0);
    EXPECT_EQ(rig.Broken(), "");
  }
}

TEST(MemoryManager, B8_APinThatIsNeverGivenBackEndsWithItsBo) {
  for (const Placement& placement : {kVram, twostep::Tt(DmaType::kDynamic)}) {
    Rig rig;
    BoRef bo = rig.Make(3 * kPageSize);
    ASSERT_EQ(rig.Validate(bo, placement), absl::OkStatus());
    rig.Pin(bo);
    bo.reset();
    EXPECT_EQ(rig.device().manager(placement.memory)->pinned_pages_now(), 0);
    EXPECT_EQ(rig.device().binder(DmaType::kDynamic)->pinned_pages_now(), 0);
    EXPECT_EQ(rig.Broken(), "");
  }
}

TEST(MemoryManager, B9_SystemGrantsWithoutLimit) {
  auto system = MakeSystemManager(Lru());
  EXPECT_TRUE(system->in_use());
  for (int i = 0; i < 4; ++i) {
    SpaceBlock block;
    EXPECT_EQ(system->Allocate({.size = ~PageCount{0}}, &block),
              Shortage::Kind::kNone);
  }
}

TEST(MemoryManager, B9_ABoThatAsksForATypeOutOfUseIsToldSo) {
  Rig rig;
  BoRef inside = rig.Make(kPageSize);
  ASSERT_EQ(rig.Validate(inside, kVram), absl::OkStatus());
  rig.device().manager(MemoryType::kVram)->SetInUse(false);
  BoRef bo = rig.Make(kPageSize);
  absl::Status status = rig.Validate(bo, kVram);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(status.message()), HasSubstr("vram is out of use"));
  EXPECT_TRUE(rig.In(inside, MemoryType::kVram));
  EXPECT_TRUE(rig.In(bo, MemoryType::kSystem));
}

TEST(RangeManager, B10_EveryPowerOfTwoAlignmentUpToTheTop) {
  for (const Direction direction :
       {Direction::kBottomUp, Direction::kTopDown}) {
    RangeAllocator space(0, ~uint64_t{0});
    for (int bits = 0; bits < 64; ++bits) {
      const uint64_t alignment = uint64_t{1} << bits;
      SpaceBlock block;
      ASSERT_EQ(space.Allocate(
                    {.size = 1, .alignment = alignment, .direction = direction},
                    &block),
                Shortage::Kind::kNone)
          << bits;
      EXPECT_EQ(block.start % alignment, 0) << bits;
      // Alone, so that also the largest alignments find a place.
      space.Free(block.node);
    }
  }
}

TEST(RangeManager, B10_FirstFromTheBottomAndTopDownFromTheTop) {
  Rig rig;
  BoRef low = rig.Make(4 * kPageSize);
  BoRef high = rig.Make(4 * kPageSize);
  Placement top_down = kVram;
  top_down.direction = Direction::kTopDown;
  ASSERT_EQ(rig.Validate(low, kVram), absl::OkStatus());
  ASSERT_EQ(rig.Validate(high, top_down), absl::OkStatus());
  EXPECT_EQ(low->start_page(), 0);
  EXPECT_EQ(high->start_page(), kPages - 4);
}

TEST(RangeManager, B10_AHoleBetweenTwoIsFound) {
  Rig rig;
  std::vector<BoRef> bos;
  for (int i = 0; i < 4; ++i) {
    bos.push_back(rig.Make(64 * kPageSize));
    ASSERT_EQ(rig.Validate(bos.back(), kVram), absl::OkStatus());
  }
  const PageCount hole = bos[1]->start_page();
  bos[1].reset();
  BoRef bo = rig.Make(64 * kPageSize);
  ASSERT_EQ(rig.Validate(bo, kVram), absl::OkStatus());
  EXPECT_EQ(bo->start_page(), hole);
  for (const int stayed : {0, 2, 3}) {
    EXPECT_TRUE(rig.In(bos[stayed], MemoryType::kVram)) << stayed;
  }
}

TEST(RangeManager, B10_ASubRangeIsNeverLeft) {
  for (const Direction direction :
       {Direction::kBottomUp, Direction::kTopDown}) {
    auto manager = RangeVram();
    const SpaceRequest request{
        .size = 10, .first = 101, .end = 151, .direction = direction};
    for (int i = 0; i < 5; ++i) {
      SpaceBlock block;
      ASSERT_EQ(manager->Allocate(request, &block), Shortage::Kind::kNone) << i;
      EXPECT_GE(block.start, 101);
      EXPECT_LE(block.start + 10, 151);
    }
    SpaceBlock block;
    EXPECT_NE(manager->Allocate(request, &block), Shortage::Kind::kNone);
  }
}

TEST(BuddyManager, B11_EachOrderOnceFitsExactlyAndThenItIsFull) {
  // One block of each order from 0 to 10.
  constexpr int kOrders = 11;
  BuddyAllocator space(0, (uint64_t{1} << kOrders) - 1);
  for (int order = 0; order < kOrders; ++order) {
    SpaceBlock block;
    ASSERT_EQ(space.Allocate({.size = uint64_t{1} << order}, &block),
              Shortage::Kind::kNone)
        << order;
  }
  EXPECT_EQ(space.free(), 0);
  SpaceBlock block;
  EXPECT_EQ(space.Allocate({.size = 1}, &block), Shortage::Kind::kFull);
}

TEST(BuddyManager, B11_FreeingPairsMergesUpToTheLargestOrder) {
  auto manager = BuddyVram();
  std::vector<SpaceBlock> pages(kPages);
  for (SpaceBlock& page : pages) {
    ASSERT_EQ(manager->Allocate({.size = 1}, &page), Shortage::Kind::kNone);
  }
  // Buddies apart from each other: first all even ones, then all odd ones.
  for (const uint64_t parity : {0, 1}) {
    for (const SpaceBlock& page : pages) {
      if (page.start % 2 == parity) manager->Free(page, 1);
    }
  }
  SpaceBlock all;
  EXPECT_EQ(manager->Allocate({.size = kPages, .contiguous = true}, &all),
            Shortage::Kind::kNone);
}

TEST(BuddyManager, B11_WhittledDownSpaceRefusesAnyLargerOrder) {
  auto manager = BuddyVram();
  std::vector<SpaceBlock> pages(kPages);
  for (SpaceBlock& page : pages) {
    ASSERT_EQ(manager->Allocate({.size = 1}, &page), Shortage::Kind::kNone);
  }
  for (const SpaceBlock& page : pages) {
    if (page.start % 2 == 0) manager->Free(page, 1);
  }
  for (uint64_t size = 2; size <= kPages / 2; size *= 2) {
    SpaceBlock block;
    EXPECT_EQ(manager->Allocate({.size = size, .contiguous = true}, &block),
              Shortage::Kind::kFragmented)
        << size;
    EXPECT_EQ(manager->Describe({.size = size}).largest_hole, 1);
  }
  // In pieces it is all there.
  SpaceBlock split;
  EXPECT_EQ(
      manager->Allocate({.size = kPages / 2, .contiguous = false}, &split),
      Shortage::Kind::kNone);
}

TEST(BuddyManager, B11_ContiguousIsOneRunOfAnySizeOrRefused) {
  auto manager = BuddyVram();
  const auto runs = [&](const SpaceBlock& block, PageCount pages) {
    int count = 0;
    manager->ForEachSegment(block, pages, [&](uint64_t, uint64_t) { ++count; });
    return count;
  };
  for (const PageCount size : {1, 3, 5, 7, 48, 100}) {
    SpaceBlock block;
    ASSERT_EQ(manager->Allocate({.size = size, .contiguous = true}, &block),
              Shortage::Kind::kNone)
        << size;
    EXPECT_EQ(runs(block, size), 1) << size;
    manager->Free(block, size);
  }
  // Two runs of 100 with a page between them that is used.
  SpaceBlock low, middle, high;
  ASSERT_EQ(manager->Allocate({.size = 1, .first = 100, .end = 101}, &middle),
            Shortage::Kind::kNone);
  ASSERT_EQ(manager->Allocate({.size = 55, .first = 201}, &high),
            Shortage::Kind::kNone);
  EXPECT_EQ(manager->Allocate({.size = 101, .contiguous = true}, &low),
            Shortage::Kind::kFragmented);
  ASSERT_EQ(manager->Allocate({.size = 101, .contiguous = false}, &low),
            Shortage::Kind::kNone);
  EXPECT_GT(runs(low, 101), 1);
}

TEST(BuddyManager, B11_ABoInPiecesIsNotWhereContiguousAsks) {
  RigOptions options = RigOptions::Small();
  options.gpu.vram_allocator = SpaceAllocator::kBuddy;
  Rig rig(options);
  // Every other page of the VRAM is used.
  std::vector<BoRef> pages;
  for (uint64_t i = 0; i < kPages; ++i) {
    pages.push_back(rig.Make(kPageSize));
    ASSERT_EQ(rig.Validate(pages.back(), kVram), absl::OkStatus());
  }
  pages.erase(
      std::remove_if(pages.begin(), pages.end(),
                     [](const BoRef& bo) { return bo->start_page() % 2 == 0; }),
      pages.end());
  BoRef bo = rig.Make(8 * kPageSize);
  rig.CpuFill(bo, 1);
  ASSERT_EQ(rig.Validate(bo, kVram), absl::OkStatus());
  const auto runs = [&] {
    int count = 0;
    bo->manager().ForEachSegment(bo->block(), bo->page_count(),
                                 [&](uint64_t, uint64_t) { ++count; });
    return count;
  };
  ASSERT_EQ(runs(), 8);
  EXPECT_EQ(rig.DeviceWrongBytes(bo, 1), 0);

  Placement contiguous = kVram;
  contiguous.contiguous = true;
  ValidateContext context;
  ASSERT_EQ(rig.Validate(bo, {contiguous}, &context), absl::OkStatus());
  EXPECT_FALSE(context.hit);
  EXPECT_EQ(runs(), 1);
  EXPECT_EQ(rig.DeviceWrongBytes(bo, 1), 0);
  EXPECT_EQ(rig.Broken(), "");
  ValidateContext again;
  ASSERT_EQ(rig.Validate(bo, {contiguous}, &again), absl::OkStatus());
  EXPECT_TRUE(again.hit);
}

}  // namespace
}  // namespace twostep
