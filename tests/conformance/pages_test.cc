// B12 to B14: the pages of a bo.

#include "twostep/machine/pages.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "tests/bo/rig.h"

namespace twostep {
namespace {

uint64_t UsedFrames(Rig& rig) {
  return rig.machine().memory().used_frames(Zone::kDma32) +
         rig.machine().memory().used_frames(Zone::kNormal);
}

TEST(PagesOfABo, B12_TheSizeRoundsUpToPages) {
  Rig rig;
  EXPECT_EQ(rig.Make(1)->page_count(), 1);
  EXPECT_EQ(rig.Make(kPageSize)->page_count(), 1);
  EXPECT_EQ(rig.Make(kPageSize + 1)->page_count(), 2);
  EXPECT_EQ(rig.Make(kMiB - 1)->size_bytes(), kMiB);
}

TEST(PagesOfABo, B12_ZeroAndBeyondTheAddressSpaceAreRefused) {
  Rig rig;
  const uint64_t limit = PagesToBytes(~PageCount{0});
  for (const uint64_t bytes :
       {uint64_t{0}, limit, limit - kPageSize + 1, uint64_t{1} << 63,
        ~uint64_t{0} - kPageSize, ~uint64_t{0}}) {
    auto bo = rig.host().CreateBo(bytes);
    EXPECT_EQ(bo.status().code(), absl::StatusCode::kOutOfRange) << bytes;
    EXPECT_EQ(KindOf(bo.status()), ErrorKind::kNeverFits) << bytes;
  }
  EXPECT_EQ(rig.host().bo_count(), 0);
  auto largest = rig.host().CreateBo(limit - kPageSize);
  ASSERT_EQ(largest.status(), absl::OkStatus());
  EXPECT_EQ((*largest)->page_count(), ~PageCount{0} - 1);
}

TEST(PagesOfABo, B6_FreshOnesShowNobodyElsesBytes) {
  Rig rig;
  PhysicalMemory& memory = rig.machine().memory();
  for (int time = 0; time < 2; ++time) {
    Pages pages(7);
    ASSERT_EQ(pages.Populate(memory, kNoFrame - 1, PhysicalMemory::Zero::kYes),
              Shortage::Kind::kNone);
    for (const FrameNumber frame : pages.frames()) {
      EXPECT_EQ(memory.CpuBytes(frame)[42], std::byte{0});
      memory.CpuBytes(frame)[42] = std::byte{1};
    }
    // Released, they are the first to be taken again.
    pages.Release(memory, rig.machine().swap());
  }
}

TEST(PagesOfABo, B13_PopulateIsIdempotent) {
  Rig rig;
  PhysicalMemory& memory = rig.machine().memory();
  Pages pages(7);
  ASSERT_EQ(pages.Populate(memory, kNoFrame - 1, PhysicalMemory::Zero::kYes),
            Shortage::Kind::kNone);
  const std::vector<FrameNumber> frames(pages.frames().begin(),
                                        pages.frames().end());
  memory.CpuBytes(frames[3])[17] = std::byte{42};
  ASSERT_EQ(pages.Populate(memory, kNoFrame - 1, PhysicalMemory::Zero::kYes),
            Shortage::Kind::kNone);
  EXPECT_TRUE(std::equal(frames.begin(), frames.end(), pages.frames().begin()));
  EXPECT_EQ(memory.CpuBytes(frames[3])[17], std::byte{42});
  EXPECT_EQ(UsedFrames(rig), 7);
  pages.Release(memory, rig.machine().swap());
  EXPECT_EQ(UsedFrames(rig), 0);
}

TEST(PagesOfABo, B13_UnpopulateOfAnEmptyBoDoesNothing) {
  Rig rig;
  Pages pages(7);
  pages.Release(rig.machine().memory(), rig.machine().swap());
  EXPECT_EQ(pages.home(), Pages::Home::kNone);
  EXPECT_EQ(UsedFrames(rig), 0);
  BoRef bo = rig.Make(kPageSize);
  EXPECT_EQ(rig.Validate(bo, std::vector<Placement>{}), absl::OkStatus());
  EXPECT_EQ(bo->pages().home(), Pages::Home::kNone);
  EXPECT_EQ(rig.Broken(), "");
}

TEST(PagesOfABo, B13_AFailedPopulateLeavesNoPageBehind) {
  Rig rig;
  PhysicalMemory& memory = rig.machine().memory();
  const uint64_t free = memory.free_frames(kNoFrame - 1);
  Pages pages(static_cast<PageCount>(free + 1));
  EXPECT_NE(pages.Populate(memory, kNoFrame - 1, PhysicalMemory::Zero::kYes),
            Shortage::Kind::kNone);
  EXPECT_FALSE(pages.present());
  EXPECT_EQ(UsedFrames(rig), 0);
  EXPECT_EQ(memory.free_frames(kNoFrame - 1), free);
}

TEST(PagesOfABo, B13_ABoLargerThanTheMachineIsNeverPopulated) {
  Rig rig;
  BoRef small = rig.Make(kMiB);
  rig.CpuFill(small, 1);
  BoRef bo = rig.Make(kGiB);
  for (const DmaType dma : {DmaType::kNone, DmaType::kDynamic}) {
    absl::Status status =
        rig.Validate(bo, Placement{.dma = dma, .memory = MemoryType::kSystem});
    if (dma == DmaType::kNone) {
      EXPECT_EQ(status, absl::OkStatus());  // needs no page yet
      continue;
    }
    EXPECT_EQ(KindOf(status), ErrorKind::kNeverFits) << status;
    EXPECT_EQ(bo->pages().home(), Pages::Home::kNone);
  }
  auto mapping = *CpuMapping::Create(bo);
  EXPECT_EQ(KindOf(mapping->Touch(PageRange{0, 1}, Access::kRead)),
            ErrorKind::kNeverFits);
  // Nobody paid for the attempts.
  EXPECT_EQ(rig.host().stats().swap_out_bytes, 0);
  EXPECT_EQ(UsedFrames(rig), small->page_count());
  EXPECT_EQ(rig.Broken(), "");
}

TEST(PagesOfABo, B14_SwapOutGivesUpTheFramesAndKeepsTheBytes) {
  Rig rig;
  PhysicalMemory& memory = rig.machine().memory();
  SwapStore& swap = rig.machine().swap();
  Pages pages(5);
  ASSERT_EQ(pages.Populate(memory, kNoFrame - 1, PhysicalMemory::Zero::kYes),
            Shortage::Kind::kNone);
  for (PageCount i = 0; i < 5; ++i) {
    memory.CpuBytes(pages.frames()[i])[i] = static_cast<std::byte>(i + 1);
  }
  ASSERT_EQ(pages.SwapOut(memory, swap), Shortage::Kind::kNone);
  EXPECT_EQ(pages.home(), Pages::Home::kSwapped);
  EXPECT_EQ(UsedFrames(rig), 0);
  EXPECT_EQ(swap.used_pages(), 5);
  ASSERT_EQ(*pages.SwapIn(memory, swap, kNoFrame - 1), Shortage::Kind::kNone);
  EXPECT_EQ(swap.used_pages(), 0);
  for (PageCount i = 0; i < 5; ++i) {
    EXPECT_EQ(memory.CpuBytes(pages.frames()[i])[i],
              static_cast<std::byte>(i + 1));
  }
  pages.Release(memory, swap);
}

TEST(PagesOfABo, B14_BothWaysReportHowManyPages) {
  RigOptions options = RigOptions::Small();
  options.machine.dma32_bytes = 4 * kMiB;  // 1 MiB of it beside the pools
  options.machine.normal_bytes = 0;
  Rig rig(options);
  const uint64_t frames = rig.machine().memory().free_frames(kNoFrame - 1);
  BoRef first = rig.Make(PagesToBytes(frames) / 4 * 3);
  BoRef second = rig.Make(PagesToBytes(frames) / 2);
  MoveStats& stats = rig.host().stats();
  rig.CpuFill(first, 1);
  EXPECT_EQ(stats.swap_out_bytes, 0);
  rig.CpuFill(second, 2);
  EXPECT_EQ(first->pages().home(), Pages::Home::kSwapped);
  EXPECT_EQ(stats.swap_out_bytes, first->size_bytes());
  EXPECT_EQ(stats.swap_in_bytes, 0);
  EXPECT_EQ(rig.machine().swap().used_pages(), first->page_count());
  EXPECT_EQ(UsedFrames(rig), second->page_count());
  EXPECT_EQ(rig.Broken(), "");

  EXPECT_EQ(rig.CpuWrongBytes(first, 1), 0);
  EXPECT_EQ(stats.swap_in_bytes, first->size_bytes());
  EXPECT_EQ(stats.swap_out_bytes, first->size_bytes() + second->size_bytes());
  EXPECT_EQ(rig.CpuWrongBytes(second, 2), 0);
  EXPECT_EQ(rig.Broken(), "");
}

}  // namespace
}  // namespace twostep
