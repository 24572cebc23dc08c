// What stood in the way of a validation, as values: a driver acts on the cause,
// not on words.

#include <vector>

#include "tests/bo/rig.h"

namespace twostep {
namespace {

using Cause = Obstacle::Cause;

class Obstacles : public testing::Test {
 protected:
  // Those of a validation that fails.
  std::vector<Obstacle> Of(Rig& rig, const BoRef& bo,
                           std::vector<Placement> placements,
                           WaitLimit::Mode mode = WaitLimit::Mode::kWait) {
    context_.wait.mode = mode;
    EXPECT_FALSE(rig.Validate(bo, std::move(placements), &context_).ok());
    return context_.obstacles;
  }
  static void Place(Rig& rig, const BoRef& bo, const Placement& placement) {
    ASSERT_EQ(rig.Validate(bo, placement), absl::OkStatus());
  }

  ValidateContext context_;
  Rig rig_;
};

TEST_F(Obstacles, WhatNeverFitsIsSoForEachPlace) {
  const auto found = Of(rig_, rig_.Make(2 * kMiB),
                        {kVram, Tt(DmaType::kDynamic), Tt(DmaType::kCoherent)});
  ASSERT_EQ(found.size(), 3);
  for (const Obstacle& one : found) EXPECT_EQ(one.cause, Cause::kNeverFits);
  EXPECT_EQ(context_.pending, Fence{});
}

TEST_F(Obstacles, PinsAreNamedWhereItWouldFitWithoutThem) {
  const BoRef pinned = rig_.Make(kMiB);
  Place(rig_, pinned, kVram);
  rig_.Pin(pinned);
  const auto found = Of(rig_, rig_.Make(kPageSize), {kVram});
  ASSERT_EQ(found.size(), 1);
  EXPECT_EQ(found[0].cause, Cause::kPinned);
  EXPECT_EQ(found[0].pinned_pages, kMiB / kPageSize);
}

TEST_F(Obstacles, WhatOthersOfTheThreadHaveIsFull) {
  const BoRef held = rig_.Make(kMiB);
  Place(rig_, held, kVram);
  held->Reserve();
  const auto found = Of(rig_, rig_.Make(kPageSize), {kVram});
  held->Unreserve();
  ASSERT_EQ(found.size(), 1);
  EXPECT_EQ(found[0].cause, Cause::kFull);
}

TEST_F(Obstacles, AHoleThatIsTooSmallIsToldWithItsSize) {
  RigOptions options = RigOptions::Small();
  options.gpu.vram_allocator = SpaceAllocator::kRange;
  Rig rig(options);
  std::vector<BoRef> parts;
  for (int i = 0; i < 8; ++i) {
    parts.push_back(rig.Make(kMiB / 8));
    Place(rig, parts.back(), kVram);
  }
  for (size_t i = 1; i < 8; i += 2) rig.Pin(parts[i]);
  for (size_t i = 0; i < 8; i += 2) Place(rig, parts[i], kSystem);
  Placement together = kVram;
  together.contiguous = true;
  const auto found = Of(rig, rig.Make(kMiB / 4), {together});
  ASSERT_EQ(found.size(), 1);
  EXPECT_EQ(found[0].cause, Cause::kFragmented);
  EXPECT_EQ(found[0].shortage.largest_hole, kMiB / 8 / kPageSize);
}

TEST_F(Obstacles, WhatOnePlaceMeetsIsNotToldOfTheNext) {
  const BoRef busy = rig_.Make(8 * kMiB);
  Place(rig_, busy, Tt(DmaType::kNone));
  const Fence fence = rig_.KeepBusy(busy);
  const BoRef pinned = rig_.Make(kMiB);
  Place(rig_, pinned, kVram);
  rig_.Pin(pinned);
  const auto found = Of(rig_, rig_.Make(kPageSize), {Tt(DmaType::kNone), kVram},
                        WaitLimit::Mode::kNoWait);
  ASSERT_EQ(found.size(), 2);
  EXPECT_EQ(found[0].cause, Cause::kBusy);
  EXPECT_EQ(found[0].pending, fence);
  EXPECT_EQ(found[1].cause, Cause::kPinned);
  EXPECT_EQ(found[1].pending, Fence{});
  EXPECT_EQ(context_.pending, fence);
}

TEST_F(Obstacles, ASegmentLimitIsNotAFullPool) {
  RigOptions options = RigOptions::Small(IommuMode::kAbsent);
  options.machine.swiotlb.forced = true;
  options.gpu.segments.max_segments = 1;
  Rig rig(options);
  const auto found = Of(rig, rig.Make(kMiB / 2), {Tt(DmaType::kDynamic)});
  ASSERT_EQ(found.size(), 1);
  EXPECT_EQ(found[0].cause, Cause::kSegmentLimit);
}

TEST_F(Obstacles, AFenceThatWasNotWaitedForIsThere) {
  const BoRef busy = rig_.Make(8 * kMiB);
  Place(rig_, busy, Tt(DmaType::kNone));
  const Fence fence = rig_.KeepBusy(busy);
  const BoRef bo = rig_.Make(kPageSize);
  const auto found =
      Of(rig_, bo, {Tt(DmaType::kNone)}, WaitLimit::Mode::kNoWait);
  ASSERT_EQ(found.size(), 1);
  EXPECT_EQ(found[0].cause, Cause::kBusy);
  EXPECT_EQ(found[0].pending, fence);
  EXPECT_EQ(context_.pending, fence);
  // Storage without a bo is waited for in the same way.
  busy->Reserve();
  EXPECT_EQ(WaitFor(context_.pending, WaitLimit{}), absl::OkStatus());
  busy->Unreserve();
  EXPECT_EQ(rig_.Validate(bo, {Tt(DmaType::kNone)}, &context_),
            absl::OkStatus());
  EXPECT_TRUE(context_.obstacles.empty());
}

TEST_F(Obstacles, WhatOtherThreadsHaveReservedIsContended) {
  const BoRef held = rig_.Make(kMiB);
  Place(rig_, held, kVram);
  Atomic<bool> taken{false};
  Atomic<bool> stop{false};
  Thread holder([&] {
    held->Reserve();
    taken = true;
    for (uint64_t rounds = 0; !stop; ++rounds) YieldFor(rounds);
    held->Unreserve();
  });
  for (uint64_t rounds = 0; !taken; ++rounds) YieldFor(rounds);
  const auto found =
      Of(rig_, rig_.Make(kPageSize), {kVram}, WaitLimit::Mode::kNoWait);
  stop = true;
  ASSERT_EQ(found.size(), 1);
  EXPECT_EQ(found[0].cause, Cause::kContended);
  EXPECT_EQ(context_.pending, Fence{});
}

TEST_F(Obstacles, AClientsOwnLimitIsNotAShortageOfOthers) {
  const ClientRef client =
      *rig_.host().CreateClient({.name = "small", .device = {.max_pages = 2}});
  const BoRef first = *rig_.host().CreateBo(2 * kPageSize, client);
  Place(rig_, first, kVram);
  rig_.Pin(first);
  const auto found =
      Of(rig_, *rig_.host().CreateBo(kPageSize, client), {kVram});
  ASSERT_EQ(found.size(), 1);
  EXPECT_EQ(found[0].cause, Cause::kOverLimit);
  const auto never =
      Of(rig_, *rig_.host().CreateBo(3 * kPageSize, client), {kVram});
  ASSERT_EQ(never.size(), 1);
  EXPECT_EQ(never[0].cause, Cause::kNeverFits);
}

// Other errors have none, also after one that had.
TEST_F(Obstacles, AreOfTheLastCallAlone) {
  const BoRef big = rig_.Make(2 * kMiB);
  ASSERT_EQ(Of(rig_, big, {kVram}).size(), 1);
  EXPECT_TRUE(Of(rig_, big, {Placement{.dma = DmaType{7}}}).empty());
  ASSERT_EQ(Of(rig_, big, {kVram}).size(), 1);
  ASSERT_EQ(rig_.device().Suspend(), absl::OkStatus());
  EXPECT_TRUE(Of(rig_, big, {kVram}).empty());
}

}  // namespace
}  // namespace twostep
