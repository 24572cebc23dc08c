#include "twostep/machine/swiotlb.h"

#include <algorithm>
#include <bit>
#include <memory>
#include <random>
#include <tuple>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "twostep/machine/machine_config.h"
#include "twostep/machine/sync.h"

namespace twostep {
namespace {

using Kind = Shortage::Kind;

class SwiotlbTest : public testing::Test {
 protected:
  SwiotlbTest() { Make(kMiB, 0); }
  // The pool lies behind `before` bytes of others.
  void Make(uint64_t bytes, uint64_t before, uint32_t areas = 1) {
    pool_.reset();
    MachineConfig config;
    config.dma32_bytes = 16 * kMiB;
    config.normal_bytes = 0;
    memory_ = *PhysicalMemory::Create(config, Backing::kUnbacked);
    ASSERT_TRUE(memory_->Carve(before >> kPageShift).ok());
    pool_ =
        *Swiotlb::Create({.bytes = bytes, .areas = areas}, *memory_, nullptr);
  }
  SpaceBlock Take(uint64_t bytes, uint64_t alignment = kPageSize) {
    SpaceBlock slots;
    EXPECT_EQ(pool_->Allocate({bytes, alignment}, &slots), Kind::kNone);
    return slots;
  }

  std::unique_ptr<PhysicalMemory> memory_;
  std::unique_ptr<Swiotlb> pool_;
};

TEST_F(SwiotlbTest, ASlotIsTwoKiBAndAMappingIsWholeSlots) {
  const SpaceBlock one = Take(1, Swiotlb::kSlotBytes);
  const SpaceBlock two = Take(2048, Swiotlb::kSlotBytes);
  const SpaceBlock three = Take(2049, Swiotlb::kSlotBytes);
  EXPECT_EQ(two.start, one.start + 1);
  EXPECT_EQ(three.start, one.start + 2);
  EXPECT_EQ(pool_->used_frames(), 2);
  for (const SpaceBlock& slots : {one, two, three}) pool_->Free(slots);
  EXPECT_EQ(pool_->used_frames(), 0);
}

TEST_F(SwiotlbTest, APageStartsAtAPageEvenBehindASingleSlot) {
  Take(1, Swiotlb::kSlotBytes);
  const SpaceBlock page = Take(kPageSize);
  EXPECT_EQ(page.start % Swiotlb::kSlotsAPage, 0);
  EXPECT_EQ(page.start / Swiotlb::kSlotsAPage, pool_->first_frame() + 1);
}

// Wherever the pool lies, sets are where addresses are multiples of 256 KiB.
TEST_F(SwiotlbTest, NoMappingIsInTwoSets) {
  for (const uint64_t before : {uint64_t{0}, 5 * kPageSize}) {
    Make(kMiB, before);
    EXPECT_EQ(PagesToBytes(pool_->first_frame()) % Swiotlb::kSetBytes, 0);
    std::mt19937 random(7);
    std::vector<SpaceBlock> taken;
    std::vector<uint64_t> sizes;
    std::vector<int> owners(2 * kMiB / Swiotlb::kSlotBytes);
    for (int step = 0; step < 2000; ++step) {
      if (random() % 3 == 0 && !taken.empty()) {
        const size_t i = random() % taken.size();
        for (uint64_t s = 0; s < sizes[i]; ++s) --owners[taken[i].start + s];
        pool_->Free(taken[i]);
        taken.erase(taken.begin() + i);
        sizes.erase(sizes.begin() + i);
        continue;
      }
      const uint64_t slots = 1 + random() % Swiotlb::kSetSlots;
      const uint64_t alignment = Swiotlb::kSlotBytes << random() % 8;
      SpaceBlock block;
      const uint64_t boundary =
          std::max(Swiotlb::kSetBytes >> random() % 4,
                   std::bit_ceil(slots) * Swiotlb::kSlotBytes);
      if (pool_->Allocate({slots * Swiotlb::kSlotBytes, alignment, boundary},
                          &block) != Kind::kNone) {
        continue;
      }
      const uint64_t boundary_slots = boundary / Swiotlb::kSlotBytes;
      EXPECT_LE(boundary_slots, Swiotlb::kSetSlots);
      EXPECT_EQ(block.start / boundary_slots,
                (block.start + slots - 1) / boundary_slots);
      EXPECT_EQ(block.start * Swiotlb::kSlotBytes % alignment, 0);
      for (uint64_t s = 0; s < slots; ++s) {
        EXPECT_EQ(++owners[block.start + s], 1);
      }
      taken.push_back(block);
      sizes.push_back(slots);
    }
    EXPECT_GT(taken.size(), 3);
  }
}

TEST_F(SwiotlbTest, TooLongIsNeverFullAndFullIsNeverFragmented) {
  SpaceBlock block;
  EXPECT_EQ(pool_->Allocate({Swiotlb::kSetBytes + 1}, &block), Kind::kTooLong);
  std::vector<SpaceBlock> pages;
  for (int i = 0; i < 256; ++i) pages.push_back(Take(kPageSize));
  EXPECT_EQ(pool_->Allocate({Swiotlb::kSetBytes + 1}, &block), Kind::kTooLong);
  EXPECT_EQ(pool_->Allocate({kPageSize}, &block), Kind::kFull);
  // Every second page: enough for 256 KiB, and no two neighbours.
  for (int i = 0; i < 256; i += 2) pool_->Free(pages[i]);
  EXPECT_EQ(pool_->Allocate({2 * kPageSize}, &block), Kind::kFragmented);
  EXPECT_EQ(pool_->Allocate({Swiotlb::kSetBytes + 1}, &block), Kind::kTooLong);
  EXPECT_EQ(pool_->used_frames(), 128);
  Make(16 * kPageSize, 0);
  EXPECT_EQ(pool_->Allocate({17 * kPageSize}, &block), Kind::kNeverFits);
  Make(0, 0);
  EXPECT_EQ(pool_->Allocate({kPageSize}, &block), Kind::kNeverFits);
  EXPECT_EQ(pool_->used_frames(), 0);
}

TEST_F(SwiotlbTest, TheLargestHoleIsTheLongestMapping) {
  EXPECT_EQ(pool_->Describe(1).largest_hole, 64);
  EXPECT_EQ(pool_->Describe(1).free, 256);
  EXPECT_EQ(pool_->Describe(257).kind, Kind::kNeverFits);
  // Whole sets, then a hole of 40 pages over two of them: 10 and 30.
  std::vector<SpaceBlock> pages;
  for (int i = 0; i < 256; ++i) pages.push_back(Take(kPageSize));
  std::sort(pages.begin(), pages.end(),
            [](const SpaceBlock& a, const SpaceBlock& b) {
              return a.start < b.start;
            });
  EXPECT_EQ(pool_->Describe(1).kind, Kind::kFull);
  EXPECT_EQ(pool_->Describe(1).largest_hole, 0);
  for (int i = 54; i < 94; ++i) pool_->Free(pages[i]);
  const Shortage shortage = pool_->Describe(41);
  EXPECT_EQ(shortage.kind, Kind::kFull);
  EXPECT_EQ(shortage.free, 40);
  EXPECT_EQ(shortage.largest_hole, 30);
  SpaceBlock block;
  EXPECT_EQ(pool_->Allocate({31 * kPageSize}, &block), Kind::kFragmented);
  EXPECT_EQ(pool_->Allocate({30 * kPageSize}, &block), Kind::kNone);
}

// --- Areas ---

constexpr uint64_t kSet = Swiotlb::kSetBytes;
constexpr uint64_t kSets = 8;

// Which of the areas of two sets each, in a pool of eight.
uint64_t AreaOf(const Swiotlb& pool, uint64_t slot) {
  const uint64_t page = slot / Swiotlb::kSlotsAPage - pool.first_frame();
  return std::min<uint64_t>(page / (2 * kSet / kPageSize), 3);
}

TEST_F(SwiotlbTest, ThereAreAsManyAreasAsAskedForButNoMoreThanSets) {
  for (const auto& [sets, wanted, areas] :
       {std::tuple<uint64_t, uint32_t, size_t>{8, 1, 1},
        {8, 3, 4},
        {8, 8, 8},
        {8, 64, 8},
        {5, 64, 4},
        {1, 2, 1}}) {
    Make(sets * kSet, 0, wanted);
    EXPECT_EQ(pool_->areas(), areas) << sets << " sets, " << wanted;
    // All of it can be had.
    for (uint64_t i = 0; i < sets; ++i) Take(kSet);
    EXPECT_EQ(pool_->free_frames(), 0);
  }
  Make(kSet / 2, 0, 4);
  EXPECT_EQ(pool_->areas(), 1);
}

TEST_F(SwiotlbTest, AThreadStartsAtItsOwnAreaAndGoesOnToTheOthers) {
  Make(kSets * kSet, 0, 4);
  // The one that made the pool.
  EXPECT_EQ(AreaOf(*pool_, Take(kPageSize).start), 0);
  for (uint64_t set = 1; set < kSets; ++set) {
    EXPECT_EQ(AreaOf(*pool_, Take(kSet).start), set / 2);
  }
  SpaceBlock block;
  EXPECT_EQ(pool_->Allocate({kSet}, &block), Kind::kFull);
}

TEST_F(SwiotlbTest, ThreadsThatComeOneAfterTheOtherHaveAreasInTurn) {
  Make(kSets * kSet, 0, 4);
  std::vector<uint64_t> areas;
  for (int i = 0; i < 5; ++i) {
    Thread thread([&] {
      areas.push_back(AreaOf(*pool_, Take(kPageSize).start));
      // And every time.
      EXPECT_EQ(AreaOf(*pool_, Take(kSet / 4).start), areas.back());
    });
  }
  ASSERT_EQ(areas.size(), 5);
  for (size_t i = 1; i < areas.size(); ++i) {
    EXPECT_EQ(areas[i], (areas[i - 1] + 1) % 4);
  }
}

TEST_F(SwiotlbTest, NoMappingIsInTwoAreasAndAllAreCountedTogether) {
  Make(kSets * kSet + 5 * kPageSize, 0, 4);
  std::mt19937 random(3);
  std::vector<SpaceBlock> taken;
  std::vector<uint64_t> sizes;
  uint64_t used = 0;
  for (int step = 0; step < 3000; ++step) {
    if (random() % 3 == 0 && !taken.empty()) {
      const size_t i = random() % taken.size();
      pool_->Free(taken[i]);
      used -= sizes[i];
      taken.erase(taken.begin() + i);
      sizes.erase(sizes.begin() + i);
    } else {
      const uint64_t pages = 1 + random() % 64;
      SpaceBlock block;
      if (pool_->Allocate({pages * kPageSize}, &block) != Kind::kNone) continue;
      EXPECT_EQ(AreaOf(*pool_, block.start),
                AreaOf(*pool_, block.start + pages * Swiotlb::kSlotsAPage - 1));
      taken.push_back(block);
      sizes.push_back(pages);
      used += pages;
    }
    ASSERT_EQ(pool_->used_frames(), used);
    ASSERT_EQ(pool_->Describe(1).free, pool_->frames() - used);
  }
  for (const SpaceBlock& block : taken) pool_->Free(block);
  EXPECT_EQ(pool_->used_frames(), 0);
}

TEST_F(SwiotlbTest, ThreadsShareThePoolAndNoSlotIsGivenTwice) {
  Make(kSets * kSet, 0, 4);
  const uint64_t first = pool_->first_frame() * Swiotlb::kSlotsAPage;
  std::vector<Atomic<int>> owners(kSets * Swiotlb::kSetSlots);
  Atomic<int> twice{0};
  std::vector<Thread> threads;
  for (int t = 0; t < 6; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937 random(t);
      for (int round = 0; round < 2000; ++round) {
        SpaceBlock block;
        const uint64_t slots = 1 + random() % Swiotlb::kSetSlots;
        if (pool_->Allocate({slots * Swiotlb::kSlotBytes}, &block) !=
            Kind::kNone) {
          continue;
        }
        for (uint64_t s = 0; s < slots; ++s) {
          if (owners[block.start - first + s].fetch_add(1) != 0) ++twice;
        }
        for (uint64_t s = 0; s < slots; ++s) {
          owners[block.start - first + s].fetch_sub(1);
        }
        pool_->Free(block);
      }
    });
  }
  threads.clear();
  EXPECT_EQ(twice.load(), 0);
  EXPECT_EQ(pool_->used_frames(), 0);
  for (uint64_t i = 0; i < kSets; ++i) Take(kSet);
}

// --- min_align_mask ---

// As for NVMe: what lies within a page of the device's stays where it is in it.
TEST_F(SwiotlbTest, AMappingKeepsTheBitsOfItsAddressWithinTheMask) {
  std::mt19937 random(5);
  for (const uint64_t mask : {uint64_t{511}, uint64_t{2047}, uint64_t{4095},
                              uint64_t{16383}, uint64_t{65535}}) {
    Make(kMiB, 0);
    std::vector<std::pair<uint64_t, uint64_t>> extents;
    std::vector<SpaceBlock> taken;
    for (int i = 0; i < 400; ++i) {
      const Swiotlb::Request request{.bytes = 1 + random() % 9000,
                                     .alignment = Swiotlb::kSlotBytes,
                                     .min_align_mask = mask,
                                     .address = random()};
      SpaceBlock slots;
      if (pool_->Allocate(request, &slots) != Kind::kNone) break;
      const uint64_t at = Swiotlb::AddressOf(slots, request);
      EXPECT_EQ(at & mask, request.address & mask);
      EXPECT_EQ(at / kSet, (at + request.bytes - 1) / kSet);
      for (const auto& [start, end] : extents) {
        EXPECT_TRUE(at + request.bytes <= start || at >= end);
      }
      extents.emplace_back(at, at + request.bytes);
      taken.push_back(slots);
    }
    EXPECT_GT(taken.size(), 10) << mask;
    for (const SpaceBlock& slots : taken) pool_->Free(slots);
    EXPECT_EQ(pool_->used_frames(), 0);
  }
}

// swiotlb_max_mapping_size: so that there is room for the offset.
TEST_F(SwiotlbTest, AMaskMakesTheLongestMappingShorter) {
  SpaceBlock block;
  const auto allocate = [&](uint64_t bytes, uint64_t mask, uint64_t address) {
    return pool_->Allocate({.bytes = bytes,
                            .alignment = Swiotlb::kSlotBytes,
                            .min_align_mask = mask,
                            .address = address},
                           &block);
  };
  EXPECT_EQ(allocate(252 * kKiB + 1, 4095, 0), Kind::kTooLong);
  EXPECT_EQ(allocate(252 * kKiB, 4095, 0), Kind::kNone);
  EXPECT_EQ(allocate(252 * kKiB, 4095, 4095), Kind::kNone);
  EXPECT_EQ(allocate(192 * kKiB + 1, 65535, 0), Kind::kTooLong);
  EXPECT_EQ(allocate(192 * kKiB, 65535, 0xf000), Kind::kNone);
}

TEST_F(SwiotlbTest, AHoleWithNoPlaceBehindTheMaskIsFragmented) {
  Make(kSet, 0);
  std::vector<SpaceBlock> pages;
  for (int i = 0; i < 64; ++i) pages.push_back(Take(kPageSize));
  std::sort(pages.begin(), pages.end(),
            [](const SpaceBlock& a, const SpaceBlock& b) {
              return a.start < b.start;
            });
  for (int i = 0; i < 64; i += 4) pool_->Free(pages[i]);
  SpaceBlock block;
  const auto allocate = [&](uint64_t address) {
    return pool_->Allocate(
        {.bytes = kPageSize, .min_align_mask = 16383, .address = address},
        &block);
  };
  EXPECT_EQ(allocate(0x1000), Kind::kFragmented);
  EXPECT_EQ(allocate(0x4000), Kind::kNone);
}

}  // namespace
}  // namespace twostep
