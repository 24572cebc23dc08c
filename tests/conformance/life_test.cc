// B22 and B23: the end of a bo, and pins; those of bulk moves are in
// tests/bo/order_scale_test.cc.

#include <string>

#include "gmock/gmock.h"
#include "tests/bo/rig.h"

namespace twostep {
namespace {

// VRAM and aperture of 1 MiB, no IOMMU.
RigOptions Options() {
  RigOptions options = RigOptions::Small(IommuMode::kAbsent);
  options.gpu.aperture_bytes = kMiB;
  return options;
}

uint64_t UsedFrames(Rig& rig) {
  return rig.machine().memory().used_frames(Zone::kDma32) +
         rig.machine().memory().used_frames(Zone::kNormal);
}

TEST(Life, B22_TheLastHandleOfAnIdleBoFreesAll) {
  for (const Placement& placement :
       {kSystem, kVram, Tt(DmaType::kNone), Tt(DmaType::kDynamic),
        Tt(DmaType::kCoherent), Tt(DmaType::kCma)}) {
    Rig rig(Options());
    BoRef bo = rig.Make(64 * kKiB);
    rig.CpuFill(bo, 1);
    ASSERT_EQ(rig.Validate(bo, placement), absl::OkStatus());
    ASSERT_EQ(WaitForCpu(*bo, Access::kWrite), absl::OkStatus());
    MemoryManager& manager = *rig.device().manager(placement.memory);
    BoRef second = bo;
    bo.reset();
    EXPECT_EQ(rig.host().bo_count(), 1);
    EXPECT_EQ(manager.order().size(), 1);
    second.reset();
    EXPECT_EQ(rig.host().bo_count(), 0);
    EXPECT_EQ(manager.order().size(), 0);
    EXPECT_EQ(manager.used_pages(), 0);
    EXPECT_EQ(rig.device().binder(placement.dma)->bound_pages_now(), 0);
    rig.host().ReapGhosts({WaitLimit::Mode::kNoWait});
    EXPECT_EQ(UsedFrames(rig), 0);
    EXPECT_EQ(rig.machine().coherent_pool().used_frames(), 0);
    EXPECT_EQ(rig.machine().cma().used_frames(), 0);
    EXPECT_EQ(rig.Broken(), "");
  }
}

TEST(Life, B22_OfABusyOneItFreesAfterTheFence) {
  for (const Placement& placement :
       {Tt(DmaType::kNone), Tt(DmaType::kDynamic), Tt(DmaType::kCoherent),
        Tt(DmaType::kCma)}) {
    Rig rig(Options());
    BoRef bo = rig.Make(64 * kKiB);
    ASSERT_EQ(rig.Validate(bo, placement), absl::OkStatus());
    const Fence fence = rig.KeepBusy(bo, FenceUse::kRead);
    MemoryManager& tt = *rig.device().manager(MemoryType::kTt);
    const DmaBinder& binder = *rig.device().binder(placement.dma);
    bo.reset();
    EXPECT_EQ(rig.host().bo_count(), 0);
    EXPECT_EQ(tt.order().size(), 0);
    EXPECT_EQ(tt.used_pages(), 16);
    EXPECT_EQ(binder.bound_pages_now(), 16);
    EXPECT_FALSE(rig.host().ReapGhosts({WaitLimit::Mode::kNoWait}));
    EXPECT_EQ(rig.Broken(), "");
    ASSERT_EQ(WaitFor(fence, {}), absl::OkStatus());
    EXPECT_TRUE(rig.host().ReapGhosts({WaitLimit::Mode::kNoWait}));
    EXPECT_EQ(tt.used_pages(), 0);
    EXPECT_EQ(binder.bound_pages_now(), 0);
    EXPECT_EQ(UsedFrames(rig), 0);
    EXPECT_EQ(rig.Broken(), "");
  }
}

TEST(Life, B22_BusySpaceIsReusedByWhoWaitsForTheFence) {
  for (const Placement& placement : {kVram, Tt(DmaType::kNone)}) {
    Rig rig(Options());
    BoRef gone = rig.Make(kMiB);
    ASSERT_EQ(rig.Validate(gone, placement), absl::OkStatus());
    ASSERT_EQ(WaitForCpu(*gone, Access::kWrite), absl::OkStatus());
    const Fence fence = rig.KeepBusy(gone);
    gone.reset();
    BoRef bo = rig.Make(kMiB);
    rig.CpuFill(bo, 1);
    ASSERT_EQ(rig.Validate(bo, placement), absl::OkStatus());
    EXPECT_TRUE(rig.In(bo, placement.memory));
    for (const Fence& dependency : rig.Dependencies(bo)) {
      ASSERT_EQ(WaitFor(dependency, {}), absl::OkStatus());
    }
    EXPECT_TRUE(fence.Signalled());
    EXPECT_EQ(rig.DeviceWrongBytes(bo, 1), 0);
    EXPECT_EQ(rig.Broken(), "");
  }
}

TEST(Life, B23_PinsNest) {
  for (const Placement& placement : {kVram, Tt(DmaType::kCoherent)}) {
    Rig rig(Options());
    BoRef bo = rig.Make(kMiB);
    ASSERT_EQ(rig.Validate(bo, placement), absl::OkStatus());
    MemoryManager& manager = *rig.device().manager(placement.memory);
    BoRef other = rig.Make(kMiB);
    rig.Pin(bo);
    rig.Pin(bo);
    EXPECT_EQ(manager.pinned_pages_now(), bo->page_count());
    EXPECT_EQ(KindOf(rig.Validate(other, placement)), ErrorKind::kCannotFit);
    rig.Unpin(bo);
    EXPECT_TRUE(bo->pinned());
    EXPECT_EQ(manager.order().size(), 0);
    EXPECT_EQ(KindOf(rig.Validate(other, placement)), ErrorKind::kCannotFit);
    rig.Unpin(bo);
    EXPECT_FALSE(bo->pinned());
    EXPECT_EQ(manager.pinned_pages_now(), 0);
    EXPECT_EQ(rig.Validate(other, placement), absl::OkStatus());
    EXPECT_EQ(rig.Broken(), "");
  }
}

TEST(Life, B23_AnUnpinnedBoRejoinsAtTheEnd) {
  Rig rig(Options());
  BoRef pinned = rig.Make(512 * kKiB);
  BoRef other = rig.Make(512 * kKiB);
  ASSERT_EQ(rig.Validate(pinned, kVram), absl::OkStatus());
  ASSERT_EQ(rig.Validate(other, kVram), absl::OkStatus());
  rig.Pin(pinned);
  rig.Touch(other);
  rig.Unpin(pinned);
  BoRef bo = rig.Make(512 * kKiB);
  ASSERT_EQ(rig.Validate(bo, kVram), absl::OkStatus());
  EXPECT_TRUE(rig.In(pinned, MemoryType::kVram));
  EXPECT_FALSE(rig.In(other, MemoryType::kVram));
}

}  // namespace
}  // namespace twostep
