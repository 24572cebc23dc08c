// S29: CPU faults on bos in VRAM, through a window smaller than VRAM.

#include <vector>

#include "gtest/gtest.h"
#include "tests/bo/platforms.h"
#include "twostep/bo/gpu_runs.h"

namespace twostep {
namespace {

constexpr uint64_t kSize = 128 * kKiB;
constexpr PageCount kPages = 32;
// Of 1 MiB: two bos of eight.
constexpr PageCount kWindowPages = 2 * kPages;

class CpuWindow : public ::testing::TestWithParam<SpaceAllocator> {
 protected:
  static RigOptions Options() {
    RigOptions options = RigOptions::Small();
    options.gpu.vram_allocator = GetParam();
    options.gpu.vram_visible_bytes = PagesToBytes(kWindowPages);
    return options;
  }
  void SetUp() override {
    for (uint64_t i = 0; i < 8; ++i) {
      bos_.push_back(rig_.Make(kSize));
      rig_.CpuFill(bos_[i], i);
      ASSERT_EQ(rig_.Validate(bos_[i], kVram), absl::OkStatus());
      (Visible(bos_[i]) ? inside_ : beyond_).push_back(bos_[i]);
    }
    ASSERT_EQ(inside_.size(), 2);
  }
  bool Visible(const BoRef& bo) {
    return rig_.In(bo, MemoryType::kVram) &&
           bo->start_page() + kPages <= kWindowPages;
  }
  void ExpectBytes() {
    EXPECT_EQ(rig_.Broken(), "");
    for (uint64_t i = 0; i < bos_.size(); ++i) {
      if (bos_[i] != nullptr) {
        EXPECT_EQ(rig_.CpuWrongBytes(bos_[i], i), 0) << i;
      }
    }
    EXPECT_EQ(rig_.Broken(), "");
  }

  Rig rig_{Options()};
  std::vector<BoRef> bos_;
  std::vector<BoRef> inside_;
  std::vector<BoRef> beyond_;
};

INSTANTIATE_TEST_SUITE_P(Of, CpuWindow,
                         ::testing::Values(SpaceAllocator::kRange,
                                           SpaceAllocator::kBuddy),
                         [](const auto& info) {
                           return info.param == SpaceAllocator::kRange
                                      ? "Range"
                                      : "Buddy";
                         });

TEST_P(CpuWindow, S29_WhatIsInsideIsMappedWhereItIs) {
  const uint64_t faults = rig_.host().stats().cpu_faults;
  for (const BoRef& bo : inside_) {
    const PageCount at = bo->start_page();
    auto mapping = *CpuMapping::Create(bo);
    ASSERT_EQ(mapping->Touch(PageRange{1, 1}, Access::kWrite),
              absl::OkStatus());
    EXPECT_EQ(bo->start_page(), at);
    EXPECT_TRUE(Visible(bo));
  }
  EXPECT_EQ(rig_.host().stats().cpu_faults - faults, 2);
  ExpectBytes();
}

TEST_P(CpuWindow, S29_AFaultBeyondItMovesTheBoInWhereThereIsRoom) {
  const BoRef bo = beyond_.front();
  // The one inside makes room by leaving.
  ASSERT_EQ(rig_.Validate(inside_[0], kSystem), absl::OkStatus());
  auto mapping = *CpuMapping::Create(bo);
  const std::byte first = mapping->data()[0];
  EXPECT_TRUE(Visible(bo));
  // What is written is in VRAM, for the device to see.
  mapping->data()[0] = ~first;
  EXPECT_EQ(*rig_.DevicePage(bo, 0, Access::kRead), ~first);
  mapping->data()[0] = first;
  ExpectBytes();
}

TEST_P(CpuWindow, S29_ElseItGoesToSystemPagesAndNobodyIsEvictedForIt) {
  for (const BoRef& bo : beyond_) {
    auto mapping = *CpuMapping::Create(bo);
    ASSERT_EQ(mapping->Touch(PageRange{3, 1}, Access::kWrite),
              absl::OkStatus());
    EXPECT_FALSE(rig_.In(bo, MemoryType::kVram));
    EXPECT_TRUE(bo->pages().present());
    for (const BoRef& other : inside_) EXPECT_TRUE(Visible(other));
  }
  EXPECT_EQ(rig_.device().manager(MemoryType::kVram)->evictions(), 0);
  ExpectBytes();
  for (size_t i = 0; i < bos_.size(); ++i) {
    ASSERT_EQ(rig_.Validate(bos_[i], kVram), absl::OkStatus());
    EXPECT_EQ(rig_.DeviceWrongBytes(bos_[i], i), 0);
  }
}

// A mapping follows its bo: out of the window, and back in.
TEST_P(CpuWindow, S29_AMappingFaultsAgainWhereTheBoIsThen) {
  const BoRef bo = inside_[0];
  auto mapping = *CpuMapping::Create(bo);
  const std::byte first = mapping->data()[0];
  Placement away = kVram;
  away.first_page = kWindowPages;
  ASSERT_EQ(rig_.Validate(beyond_[0], kSystem), absl::OkStatus());
  ASSERT_EQ(rig_.Validate(bo, away), absl::OkStatus());
  EXPECT_FALSE(Visible(bo));
  EXPECT_EQ(mapping->data()[0], first);
  EXPECT_TRUE(Visible(bo));
  ExpectBytes();
}

// B11: a block of buddies may lie in several places.
TEST(CpuMappingOfVram, ShowsABoThatLiesInPiecesInItsOrder) {
  RigOptions options = RigOptions::Small();
  options.gpu.vram_allocator = SpaceAllocator::kBuddy;
  Rig rig(options);
  std::vector<BoRef> bos;
  for (int i = 0; i < 8; ++i) {
    bos.push_back(rig.Make(kSize));
    ASSERT_EQ(rig.Validate(bos[i], kVram), absl::OkStatus());
  }
  bos[1].reset();
  bos[4].reset();
  BoRef bo = rig.Make(2 * kSize);
  rig.CpuFill(bo, 1);
  ASSERT_EQ(rig.Validate(bo, kVram), absl::OkStatus());
  ASSERT_EQ(RunsOf(*bo).size(), 2);
  EXPECT_EQ(rig.CpuWrongBytes(bo, 1), 0);
  rig.CpuFill(bo, 2);
  EXPECT_EQ(rig.DeviceWrongBytes(bo, 2), 0);
}

}  // namespace
}  // namespace twostep
