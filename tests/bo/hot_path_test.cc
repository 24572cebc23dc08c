// What must not allocate: a validation that changes nothing, the touch of
// Unreserve, and the bookkeeping of evictions. The number arrays of contents
// are no bookkeeping: a page of contents has an entry as long as it lives.

#include <type_traits>

#include "tests/allocation_count.h"
#include "tests/bo/rig.h"

namespace twostep {
namespace {

static_assert(sizeof(BufferObject) <= 192,
              "a bo is budgeted at three cache lines");
static_assert(sizeof(DmaBinding) <= 72, "a binding is budgeted at 72 bytes");
static_assert(sizeof(Fence) == 16 && std::is_trivially_copyable_v<Fence>,
              "a fence is a value of two words");

// Unbacked: what a copy engine with a thread needs for its jobs is not counted.
RigOptions Unbacked(Clock::Kind clock, SpaceAllocator allocator) {
  RigOptions options = RigOptions::Small();
  options.options = {.backing = Backing::kUnbacked,
                     .clock = clock,
                     .check_dma = CheckDma::kOff};
  options.gpu.vram_allocator = allocator;
  options.gpu.aperture_bytes = kMiB;
  options.machine.normal_bytes = 32 * kMiB;
  return options;
}

class HotPath : public testing::TestWithParam<
                    std::tuple<Clock::Kind, SpaceAllocator, PageCount>> {
 protected:
  HotPath()
      : rig_(Unbacked(std::get<0>(GetParam()), std::get<1>(GetParam()))),
        bo_bytes_(PagesToBytes(std::get<2>(GetParam()))) {}

  // Validates all bos in turn, and returns how often that allocated. Copies are
  // done by the time of the next.
  uint64_t Round(const Placement& placement, bool expect_hit) {
    const uint64_t before = AllocationCount();
    for (const BoRef& bo : bos_) {
      bo->Reserve();
      ValidateContext context;
      const absl::Status status =
          rig_.device().Validate(*bo, {&placement, 1}, &context);
      bo->Unreserve();
      rig_.machine().clock().Charge(1'000'000);
      EXPECT_TRUE(status.ok()) << status;
      EXPECT_EQ(context.hit, expect_hit);
    }
    return AllocationCount() - before;
  }
  void Make(uint64_t bytes_of_all) {
    for (uint64_t made = 0; made < bytes_of_all; made += bo_bytes_) {
      bos_.push_back(rig_.Make(bo_bytes_));
    }
  }
  // Until every pool has what it needs.
  void WarmUp(const Placement& placement) {
    for (int round = 0; round < 3; ++round) Round(placement, false);
  }

  Rig rig_;
  const uint64_t bo_bytes_;
  std::vector<BoRef> bos_;
};

TEST_P(HotPath, TheCounterCounts) {
  const uint64_t before = AllocationCount();
  ::operator delete(::operator new(1));
  EXPECT_EQ(AllocationCount() - before, 1);
}

TEST_P(HotPath, AValidateHitAndItsTouchAllocateNothing) {
  Make(kMiB / 2);
  for (const Placement& placement :
       {kVram, Tt(DmaType::kNone), Tt(DmaType::kDynamic),
        Tt(DmaType::kCoherent), Tt(DmaType::kCma)}) {
    Round(placement, false);
    EXPECT_EQ(Round(placement, true), 0);
  }
}

TEST_P(HotPath, EvictingFromTheApertureAllocatesNothing) {
  // All stay DMA-bound.
  Make(2 * kMiB);
  const Placement tt = Tt(DmaType::kNone);
  WarmUp(tt);
  MemoryManager& manager = *rig_.device().manager(MemoryType::kTt);
  const uint64_t before = manager.evictions().load();
  EXPECT_EQ(Round(tt, false), 0);
  EXPECT_EQ(manager.evictions().load() - before, bos_.size());
}

TEST_P(HotPath, EvictingWorthlessContentsFromVramAllocatesNothing) {
  Make(2 * kMiB);
  for (const BoRef& bo : bos_) {
    bo->Reserve();
    bo->SetWorthless(true);
    bo->Unreserve();
  }
  WarmUp(kVram);
  const uint64_t before = rig_.host().stats().purges.load();
  EXPECT_EQ(Round(kVram, false), 0);
  EXPECT_EQ(rig_.host().stats().purges.load() - before, bos_.size());
}

TEST_P(HotPath, EvictingFromVramAllocatesTheNumbersOfThePagesAlone) {
  Make(2 * kMiB);
  WarmUp(kVram);
  MemoryManager& manager = *rig_.device().manager(MemoryType::kVram);
  const uint64_t before = manager.evictions().load();
  const uint64_t allocations = Round(kVram, false);
  EXPECT_EQ(manager.evictions().load() - before, bos_.size());
  EXPECT_LE(allocations, bos_.size());
}

TEST_P(HotPath, EvictingIovasAllocatesNothing) {
  // The IOVA space holds half of them.
  Make(2 * kMiB);
  const Placement tt = Tt(DmaType::kDynamic);
  WarmUp(tt);
  DmaBinder& binder = rig_.host().binder(DmaType::kDynamic);
  const uint64_t before = binder.stats().evictions.load();
  EXPECT_EQ(Round(tt, false), 0);
  EXPECT_EQ(binder.stats().evictions.load() - before, bos_.size());
}

TEST_P(HotPath, EvictingFromCoherentMemoryAllocatesTheNumbersOfPagesAlone) {
  Make(2 * kMiB);
  const Placement tt = Tt(DmaType::kCoherent);
  WarmUp(tt);
  // One array for the pages that leave, one for those that come, one for those
  // that could not come yet.
  EXPECT_LE(Round(tt, false), 3 * bos_.size());
}

// The driver's usual wish: VRAM while there is room, else the aperture.
TEST_P(HotPath, FallingBackAllocatesNothingToSayWhy) {
  Make(2 * kMiB);
  const Placement places[] = {
      {.memory = MemoryType::kVram, .use = Placement::Use::kDesired},
      Tt(DmaType::kNone)};
  Round(kSystem, true);
  uint64_t allocations = 0;
  for (int round = 0; round < 4; ++round) {
    const uint64_t before = AllocationCount();
    for (const BoRef& bo : bos_) {
      bo->Reserve();
      ValidateContext context;
      EXPECT_TRUE(rig_.device().Validate(*bo, places, &context).ok());
      bo->Unreserve();
      rig_.machine().clock().Charge(1'000'000);
    }
    allocations = AllocationCount() - before;
  }
  EXPECT_EQ(allocations, 0);
}

INSTANTIATE_TEST_SUITE_P(
    All, HotPath,
    testing::Combine(testing::Values(Clock::Kind::kReal, Clock::Kind::kVirtual),
                     testing::Values(SpaceAllocator::kRange,
                                     SpaceAllocator::kBuddy),
                     testing::Values(1, 8)));

}  // namespace
}  // namespace twostep
