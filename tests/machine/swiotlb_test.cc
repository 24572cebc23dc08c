#include "twostep/machine/swiotlb.h"

#include <algorithm>
#include <bit>
#include <memory>
#include <random>
#include <vector>

#include "gtest/gtest.h"
#include "twostep/machine/machine_config.h"

namespace twostep {
namespace {

using Kind = Shortage::Kind;

class SwiotlbTest : public testing::Test {
 protected:
  SwiotlbTest() { Make(kMiB, 0); }
  // The pool lies behind `before` bytes of others.
  void Make(uint64_t bytes, uint64_t before) {
    pool_.reset();
    MachineConfig config;
    config.dma32_bytes = 16 * kMiB;
    config.normal_bytes = 0;
    memory_ = *PhysicalMemory::Create(config, Backing::kUnbacked);
    ASSERT_TRUE(memory_->Carve(before >> kPageShift).ok());
    pool_ = *Swiotlb::Create(bytes, *memory_, nullptr);
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
  EXPECT_EQ(Swiotlb::FirstFrame(page), pool_->first_frame() + 1);
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

}  // namespace
}  // namespace twostep
