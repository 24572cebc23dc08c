// B43 to B45: what holds for memory types holds for DMA types.

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "tests/bo/rig.h"

namespace twostep {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr uint64_t kQuarter = 256 * kKiB;  // of the DMA resource

ValidateContext NoWait() {
  ValidateContext context;
  context.wait.mode = WaitLimit::Mode::kNoWait;
  return context;
}

struct Resource {
  const char* name;
  DmaType dma;
  IommuMode iommu;
  bool bounce;
  const char* what;  // as errors call it
  DmaType other;     // another one with a resource of its own
  // Whether binding moves the contents into memory of the type's own.
  bool own_memory;
};

class DmaBindingOf : public testing::TestWithParam<Resource> {
 protected:
  // 1 MiB of the resource; enough of everything else.
  static RigOptions OptionsFor(const Resource& resource) {
    RigOptions options = RigOptions::Small(resource.iommu);
    options.machine.swiotlb.forced = resource.bounce;
    return options;
  }
  DmaType dma() const { return GetParam().dma; }
  Placement there() const { return Tt(dma()); }
  DmaBinder& binder() { return *rig_.device().binder(dma()); }
  MemoryManager& tt() { return *rig_.device().manager(MemoryType::kTt); }
  bool Bound(const BoRef& bo) { return bo->binder() == &binder(); }

  BoRef Put(uint64_t seed, uint64_t bytes = kQuarter) {
    BoRef bo = rig_.Make(bytes);
    rig_.CpuFill(bo, seed);
    EXPECT_EQ(rig_.Validate(bo, there()), absl::OkStatus());
    return bo;
  }
  std::vector<BoRef> Fill() {
    std::vector<BoRef> bos;
    for (int i = 0; i < 4; ++i) bos.push_back(Put(i));
    return bos;
  }
  void SetWorthless(const BoRef& bo) {
    bo->Reserve();
    bo->SetWorthless(true);
    bo->Unreserve();
  }

  Rig rig_{OptionsFor(GetParam())};
};

TEST_P(DmaBindingOf, B43_EvictionTakesTheLeastRecentOnlyAsManyAsNeeded) {
  std::vector<BoRef> bos = Fill();
  ASSERT_EQ(rig_.Validate(bos[0], there()), absl::OkStatus());
  rig_.Touch(bos[1]);
  BoRef bo = rig_.Make(kQuarter);
  ASSERT_EQ(rig_.Validate(bo, there()), absl::OkStatus());
  for (int i = 0; i < 4; ++i) EXPECT_EQ(Bound(bos[i]), i != 2) << i;
  EXPECT_EQ(binder().stats().evictions, 1);
  // It has lost both steps; the GPU binding went first.
  EXPECT_TRUE(rig_.In(bos[2], MemoryType::kSystem));
  EXPECT_EQ(bos[2]->binder(), nullptr);
  EXPECT_EQ(bos[2]->pages().home(), Pages::Home::kMemory);
  EXPECT_EQ(rig_.Broken(), "");
  EXPECT_EQ(rig_.CpuWrongBytes(bos[2], 2), 0);
  for (int i : {0, 1, 3}) EXPECT_EQ(rig_.DeviceWrongBytes(bos[i], i), 0);
}

TEST_P(DmaBindingOf, B43_ThoseThatNoGpuSeesAreInTheSameOrder) {
  std::vector<BoRef> bos = Fill();
  // Out of the aperture, still DMA-bound, and used last.
  ASSERT_EQ(rig_.Validate(bos[0], Placement{.dma = dma()}), absl::OkStatus());
  EXPECT_TRUE(rig_.In(bos[0], MemoryType::kSystem));
  EXPECT_TRUE(Bound(bos[0]));
  BoRef bo = rig_.Make(kQuarter);
  ASSERT_EQ(rig_.Validate(bo, Placement{.dma = dma()}), absl::OkStatus());
  for (int i = 0; i < 4; ++i) EXPECT_EQ(Bound(bos[i]), i != 1) << i;
  EXPECT_EQ(rig_.Broken(), "");
}

TEST_P(DmaBindingOf, B43_TwoForASpaceOfTwo) {
  std::vector<BoRef> bos = Fill();
  BoRef bo = rig_.Make(2 * kQuarter);
  ASSERT_EQ(rig_.Validate(bo, there()), absl::OkStatus());
  EXPECT_EQ(binder().stats().evictions, 2);
  EXPECT_FALSE(Bound(bos[0]));
  EXPECT_FALSE(Bound(bos[1]));
  for (int i = 0; i < 4; ++i) EXPECT_EQ(rig_.CpuWrongBytes(bos[i], i), 0) << i;
  EXPECT_EQ(rig_.Broken(), "");
}

TEST_P(DmaBindingOf, B43_NothingToEvictAndNoSpace) {
  BoRef inside = Put(1, kMiB);
  BoRef bo = rig_.Make(kPageSize);
  rig_.CpuFill(bo, 2);
  const Fence fence = rig_.PendingWork(1);
  bo->Reserve();
  bo->fences().Add(fence, FenceUse::kRead);
  bo->Unreserve();
  const FrameNumber frame = bo->pages().frames()[0];
  inside->Reserve();
  absl::Status status = rig_.Validate(bo, there());
  inside->Unreserve();
  EXPECT_EQ(KindOf(status), ErrorKind::kCannotFit) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr(GetParam().what));
  EXPECT_THAT(std::string(status.message()), HasSubstr("is full"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("1024 KiB reserved"));
  EXPECT_TRUE(rig_.In(bo, MemoryType::kSystem));
  EXPECT_EQ(bo->binder(), nullptr);
  EXPECT_EQ(bo->pages().frames()[0], frame);
  EXPECT_EQ(tt().used_pages(), 256);
  EXPECT_TRUE(Bound(inside));
  EXPECT_EQ(rig_.Broken(), "");
  EXPECT_EQ(rig_.CpuWrongBytes(bo, 2), 0);
}

TEST_P(DmaBindingOf, B43_WhatCanNeverFitEvictsNobody) {
  std::vector<BoRef> bos = Fill();
  BoRef bo = rig_.Make(kMiB + kPageSize);
  EXPECT_EQ(KindOf(rig_.Validate(bo, there())), ErrorKind::kNeverFits);
  EXPECT_EQ(binder().stats().evictions, 0);
  EXPECT_EQ(bo->pages().home(), Pages::Home::kNone);
  EXPECT_EQ(rig_.Broken(), "");
}

TEST_P(DmaBindingOf, B43_APinnedBoInARightPlaceIsFineAndElsewhereRefused) {
  BoRef bo = Put(1);
  rig_.Pin(bo);
  ValidateContext context;
  EXPECT_EQ(rig_.Validate(bo, {Tt(GetParam().other), there()}, &context),
            absl::OkStatus());
  EXPECT_TRUE(context.hit);
  EXPECT_EQ(KindOf(rig_.Validate(bo, Tt(GetParam().other))),
            ErrorKind::kPinned);
  EXPECT_TRUE(Bound(bo));
  EXPECT_EQ(rig_.DeviceWrongBytes(bo, 1), 0);
  EXPECT_EQ(rig_.Broken(), "");
}

TEST_P(DmaBindingOf, B43_AllPinnedNamesThePins) {
  std::vector<BoRef> bos = Fill();
  for (const BoRef& pinned : bos) rig_.Pin(pinned);
  BoRef bo = rig_.Make(kQuarter);
  absl::Status status = rig_.Validate(bo, there());
  EXPECT_EQ(KindOf(status), ErrorKind::kCannotFit);
  EXPECT_THAT(std::string(status.message()), HasSubstr("1024 KiB pinned"));
  EXPECT_THAT(std::string(status.message()), Not(HasSubstr("reserved")));
  EXPECT_EQ(binder().stats().evictions, 0);
  EXPECT_EQ(rig_.Broken(), "");
}

TEST_P(DmaBindingOf, B43_APinnedOneIsSkippedEvenIfLeastRecent) {
  std::vector<BoRef> bos = Fill();
  rig_.Pin(bos[0]);
  BoRef bo = rig_.Make(kQuarter);
  ASSERT_EQ(rig_.Validate(bo, there()), absl::OkStatus());
  for (int i = 0; i < 4; ++i) EXPECT_EQ(Bound(bos[i]), i != 1) << i;
  EXPECT_EQ(rig_.Broken(), "");
}

TEST_P(DmaBindingOf, B43_TheFallbackIsAnotherDmaType) {
  if (GetParam().iommu == IommuMode::kTranslated) {
    GTEST_SKIP() << "the other types need IOVAs as well";
  }
  std::vector<BoRef> bos = Fill();
  BoRef bo = rig_.Make(kQuarter);
  rig_.CpuFill(bo, 9);
  Placement desired = there();
  desired.use = Placement::Use::kDesired;
  Placement fallback = Tt(GetParam().other);
  fallback.use = Placement::Use::kFallback;
  ASSERT_EQ(rig_.Validate(bo, {desired, fallback}), absl::OkStatus());
  EXPECT_EQ(bo->binder(), rig_.device().binder(GetParam().other));
  for (const BoRef& stayed : bos) EXPECT_TRUE(Bound(stayed));
  EXPECT_EQ(rig_.DeviceWrongBytes(bo, 9), 0);
  EXPECT_EQ(rig_.Broken(), "");
}

TEST_P(DmaBindingOf, B43_NoneIsAFallbackThatDoesNotRunOut) {
  std::vector<BoRef> bos = Fill();
  BoRef bo = rig_.Make(kQuarter);
  ASSERT_EQ(rig_.Validate(bo, {there(), Tt(DmaType::kNone)}), absl::OkStatus());
  EXPECT_EQ(bo->binder(), rig_.device().binder(DmaType::kNone));
  for (const BoRef& stayed : bos) EXPECT_TRUE(Bound(stayed));
}

TEST_P(DmaBindingOf, B43_AFailedRebindLeavesTheOldBinding) {
  std::vector<BoRef> bos = Fill();
  for (const BoRef& pinned : bos) rig_.Pin(pinned);
  BoRef bo = rig_.Make(kQuarter);
  ASSERT_EQ(rig_.Validate(bo, Tt(DmaType::kNone)), absl::OkStatus());
  rig_.DeviceFill(bo, 7);
  const PageCount start = bo->start_page();
  EXPECT_EQ(KindOf(rig_.Validate(bo, there())), ErrorKind::kCannotFit);
  EXPECT_EQ(bo->binder(), rig_.device().binder(DmaType::kNone));
  EXPECT_TRUE(rig_.In(bo, MemoryType::kTt));
  EXPECT_EQ(bo->start_page(), start);
  EXPECT_EQ(rig_.Broken(), "");
  EXPECT_EQ(rig_.DeviceWrongBytes(bo, 7), 0);
}

TEST_P(DmaBindingOf, B43_ABusyVictimIsWaitedForUnlessThatIsForbidden) {
  BoRef victim = Put(1, kMiB);
  const Fence fence = rig_.KeepBusy(victim, FenceUse::kRead);
  BoRef bo = rig_.Make(kQuarter);
  ValidateContext no_wait = NoWait();
  absl::Status status = rig_.Validate(bo, {there()}, &no_wait);
  EXPECT_EQ(KindOf(status), ErrorKind::kBusy) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("fence work:1"));
  EXPECT_TRUE(Bound(victim));
  EXPECT_TRUE(rig_.In(victim, MemoryType::kTt));
  EXPECT_FALSE(fence.Signalled());
  EXPECT_EQ(rig_.Broken(), "");
  ASSERT_EQ(rig_.Validate(bo, there()), absl::OkStatus());
  EXPECT_TRUE(fence.Signalled());
  EXPECT_FALSE(Bound(victim));
  EXPECT_EQ(rig_.CpuWrongBytes(victim, 1), 0);
}

TEST_P(DmaBindingOf, B43_ADestroyedBusyBosBindingIsReclaimedFirst) {
  std::vector<BoRef> bos = Fill();
  const Fence fence = rig_.KeepBusy(bos[3]);
  bos[3].reset();
  BoRef bo = rig_.Make(kQuarter);
  ValidateContext no_wait = NoWait();
  for (int i = 0; i < 3; ++i) rig_.Pin(bos[i]);
  absl::Status status = rig_.Validate(bo, {there()}, &no_wait);
  EXPECT_EQ(KindOf(status), ErrorKind::kBusy) << status;
  for (int i = 0; i < 3; ++i) rig_.Unpin(bos[i]);
  EXPECT_FALSE(fence.Signalled());
  ValidateContext context;
  ASSERT_EQ(rig_.Validate(bo, {there()}, &context), absl::OkStatus());
  EXPECT_TRUE(fence.Signalled());
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(Bound(bos[i])) << i;
  EXPECT_EQ(binder().stats().evictions, 0);
  EXPECT_EQ(context.bytes_moved, 0);
  EXPECT_EQ(rig_.Broken(), "");
}

TEST_P(DmaBindingOf, B43_ABusyBoGivesItsContentsUpAtOnce) {
  BoRef bo = Put(1, kMiB);
  const Fence fence = rig_.KeepBusy(bo);
  ValidateContext no_wait = NoWait();
  ASSERT_EQ(rig_.Validate(bo, {}, &no_wait), absl::OkStatus());
  EXPECT_EQ(bo->binder(), nullptr);
  EXPECT_EQ(binder().bound_pages_now(), 256);
  rig_.CpuFill(bo, 2);
  EXPECT_FALSE(fence.Signalled());
  EXPECT_EQ(rig_.Broken(), "");
  ASSERT_EQ(rig_.Validate(bo, there()), absl::OkStatus());
  EXPECT_TRUE(fence.Signalled());
  EXPECT_EQ(rig_.DeviceWrongBytes(bo, 2), 0);
  EXPECT_EQ(rig_.Broken(), "");
}

TEST_P(DmaBindingOf, B43_AWorthlessVictimIsPurgedNotCopied) {
  std::vector<BoRef> bos = Fill();
  SetWorthless(bos[0]);
  for (int i = 1; i < 4; ++i) rig_.Touch(bos[i]);
  const uint64_t copied = binder().stats().copied_back_bytes;
  BoRef bo = rig_.Make(kQuarter);
  ValidateContext context;
  ASSERT_EQ(rig_.Validate(bo, {there()}, &context), absl::OkStatus());
  EXPECT_TRUE(bos[0]->purged());
  EXPECT_EQ(bos[0]->pages().home(), Pages::Home::kNone);
  EXPECT_EQ(bos[0]->binder(), nullptr);
  for (int i = 1; i < 4; ++i) EXPECT_TRUE(Bound(bos[i])) << i;
  EXPECT_EQ(binder().stats().copied_back_bytes, copied);
  EXPECT_EQ(context.bytes_moved, 0);
  EXPECT_EQ(rig_.host().stats().purges, 1);
  EXPECT_EQ(rig_.Broken(), "");
}

TEST_P(DmaBindingOf, B43_MovesCountTheBytesTheyMove) {
  std::vector<BoRef> bos = Fill();
  BoRef bo = rig_.Make(kQuarter);
  rig_.CpuFill(bo, 9);
  ValidateContext context;
  ASSERT_EQ(rig_.Validate(bo, {there()}, &context), absl::OkStatus());
  // The victim's out, this one's in; where pages stay, nothing moves.
  EXPECT_EQ(context.bytes_moved, GetParam().own_memory ? 2 * kQuarter : 0);
  ValidateContext again;
  ASSERT_EQ(rig_.Validate(bo, {there()}, &again), absl::OkStatus());
  EXPECT_TRUE(again.hit);
  EXPECT_EQ(again.bytes_moved, 0);
}

TEST_P(DmaBindingOf, B43_AVictimThatCannotBeUnboundStaysAndTheNextIsTried) {
  if (!GetParam().own_memory) {
    GTEST_SKIP() << "unbinding it needs nothing";
  }
  // Two bos inside; frames for the small one only.
  BoRef large = Put(1, 3 * kQuarter);
  BoRef small = Put(2);
  rig_.Touch(large);
  rig_.Touch(small);
  BoRef hog =
      rig_.Make(rig_.machine().memory().free_frames(kNoFrame - 1) * kPageSize -
                2 * kQuarter);
  rig_.CpuFill(hog, 3);
  rig_.Pin(hog);
  BoRef bo = rig_.Make(kQuarter);
  const PageCount start = large->start_page();
  const uint64_t swapped = rig_.host().stats().swap_out_bytes;
  ASSERT_EQ(rig_.Validate(bo, there()), absl::OkStatus());
  EXPECT_EQ(rig_.host().stats().swap_out_bytes, swapped);
  EXPECT_TRUE(Bound(large));
  EXPECT_TRUE(rig_.In(large, MemoryType::kTt));
  EXPECT_EQ(large->start_page(), start);
  EXPECT_FALSE(Bound(small));
  EXPECT_EQ(rig_.Broken(), "");
  EXPECT_EQ(rig_.DeviceWrongBytes(large, 1), 0);
  EXPECT_EQ(rig_.CpuWrongBytes(small, 2), 0);
  // Nor has it lost its turn: with frames to go to it is the next victim.
  ASSERT_EQ(rig_.Validate(small, kVram), absl::OkStatus());
  rig_.Unpin(hog);
  hog.reset();
}

TEST_P(DmaBindingOf, B43_UnbindingIntoFullFramesCascades) {
  // Frames for the victim must first be swapped out of.
  std::vector<BoRef> bos = Fill();
  std::vector<BoRef> anonymous;
  while (rig_.machine().memory().free_frames(kNoFrame - 1) >= 64) {
    anonymous.push_back(rig_.Make(kQuarter));
    rig_.CpuFill(anonymous.back(), 10 + anonymous.size());
  }
  BoRef bo = rig_.Make(kQuarter);
  rig_.CpuFill(bo, 5);
  ASSERT_EQ(rig_.Validate(bo, there()), absl::OkStatus());
  EXPECT_TRUE(Bound(bo));
  EXPECT_FALSE(Bound(bos[0]));
  EXPECT_GT(rig_.host().stats().swap_out_bytes, 0);
  EXPECT_EQ(rig_.Broken(), "");
  EXPECT_EQ(rig_.DeviceWrongBytes(bo, 5), 0);
  for (int i = 0; i < 4; ++i) EXPECT_EQ(rig_.CpuWrongBytes(bos[i], i), 0);
  EXPECT_EQ(rig_.CpuWrongBytes(anonymous[0], 11), 0);
}

TEST_P(DmaBindingOf, B43_AVramVictimCascadesIntoTheDmaResource) {
  class IntoAperture : public DeviceHooks {
   public:
    explicit IntoAperture(DmaType dma) : placement_(Tt(dma)) {}
    PlacementList EvictTo(const BufferObject&) override {
      return {&placement_, 1};
    }

   private:
    const Placement placement_;
  };
  IntoAperture hooks(dma());
  RigOptions options = OptionsFor(GetParam());
  options.hooks = &hooks;
  Rig rig(options);
  std::vector<BoRef> bound, in_vram;
  for (int i = 0; i < 4; ++i) {
    bound.push_back(rig.Make(kQuarter));
    rig.CpuFill(bound.back(), i);
    ASSERT_EQ(rig.Validate(bound.back(), there()), absl::OkStatus());
    in_vram.push_back(rig.Make(kQuarter));
    rig.CpuFill(in_vram.back(), 10 + i);
    ASSERT_EQ(rig.Validate(in_vram.back(), kVram), absl::OkStatus());
  }
  BoRef bo = rig.Make(kQuarter);
  ASSERT_EQ(rig.Validate(bo, kVram), absl::OkStatus());
  EXPECT_EQ(in_vram[0]->binder(), rig.device().binder(dma()));
  EXPECT_EQ(bound[0]->binder(), nullptr);
  EXPECT_EQ(rig.device().binder(dma())->stats().evictions, 1);
  EXPECT_EQ(rig.Broken(), "");
  EXPECT_EQ(rig.DeviceWrongBytes(in_vram[0], 10), 0);
  EXPECT_EQ(rig.CpuWrongBytes(bound[0], 0), 0);
}

TEST_P(DmaBindingOf, B44_ReboundAfterAGpuEvictItCostsNoMapAndNoCopy) {
  // An aperture of half the DMA resource.
  RigOptions options = OptionsFor(GetParam());
  options.gpu.aperture_bytes = 2 * kQuarter;
  Rig rig(options);
  std::vector<BoRef> bos;
  for (int i = 0; i < 3; ++i) {
    bos.push_back(rig.Make(kQuarter));
    rig.CpuFill(bos.back(), i);
    ASSERT_EQ(rig.Validate(bos.back(), there()), absl::OkStatus());
  }
  DmaBinder& binder = *rig.device().binder(dma());
  EXPECT_TRUE(rig.In(bos[0], MemoryType::kSystem));
  EXPECT_EQ(bos[0]->binder(), &binder);
  const DmaAddress address = bos[0]->binding().Address(bos[0]->pages(), 0);
  const uint64_t binds = binder.stats().binds;
  const uint64_t synced = binder.stats().pages_synced_for_device;
  ValidateContext context;
  ASSERT_EQ(rig.Validate(bos[0], {there()}, &context), absl::OkStatus());
  EXPECT_TRUE(rig.In(bos[0], MemoryType::kTt));
  EXPECT_EQ(context.bytes_moved, 0);
  EXPECT_EQ(binder.stats().binds, binds);
  EXPECT_EQ(binder.stats().pages_synced_for_device, synced);
  EXPECT_EQ(binder.stats().evictions, 0);
  EXPECT_EQ(binder.stats().copied_back_bytes, 0);
  EXPECT_EQ(bos[0]->binding().Address(bos[0]->pages(), 0), address);
  EXPECT_EQ(rig.DeviceWrongBytes(bos[0], 0), 0);
  EXPECT_EQ(rig.Broken(), "");
}

TEST_P(DmaBindingOf, B45_ChangingOnlyTheDmaTypeKeepsContentsAndAperturePages) {
  for (const DmaType to :
       {DmaType::kNone, DmaType::kDynamic, DmaType::kCoherent, DmaType::kCma}) {
    if (to == dma()) continue;
    BoRef bo = Put(1);
    rig_.DeviceFill(bo, 2);
    const PageCount start = bo->start_page();
    ASSERT_EQ(rig_.Validate(bo, Tt(to)), absl::OkStatus());
    EXPECT_EQ(bo->binder(), rig_.device().binder(to));
    EXPECT_TRUE(rig_.In(bo, MemoryType::kTt));
    EXPECT_EQ(bo->start_page(), start);
    EXPECT_EQ(binder().bound_pages_now(), 0);
    for (PageCount page = 0; page < bo->page_count(); ++page) {
      ASSERT_EQ(tt().aperture()->Get(start + page),
                bo->binding().Address(bo->pages(), page));
    }
    EXPECT_EQ(rig_.Broken(), "");
    EXPECT_EQ(rig_.DeviceWrongBytes(bo, 2), 0);
    rig_.DeviceFill(bo, 3);
    ASSERT_EQ(rig_.Validate(bo, there()), absl::OkStatus());
    EXPECT_EQ(bo->start_page(), start);
    EXPECT_EQ(rig_.DeviceWrongBytes(bo, 3), 0);
    EXPECT_EQ(rig_.CpuWrongBytes(bo, 3), 0);
    EXPECT_EQ(rig_.Broken(), "");
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, DmaBindingOf,
    testing::Values(Resource{"DynamicIommu", DmaType::kDynamic,
                             IommuMode::kTranslated, false,
                             "IOVA space of iommu0", DmaType::kCoherent, false},
                    Resource{"DynamicSwiotlb", DmaType::kDynamic,
                             IommuMode::kAbsent, true, "dynamic memory",
                             DmaType::kCoherent, false},
                    Resource{"Coherent", DmaType::kCoherent, IommuMode::kAbsent,
                             false, "coherent memory", DmaType::kCma, true},
                    Resource{"Cma", DmaType::kCma, IommuMode::kAbsent, false,
                             "cma memory", DmaType::kCoherent, true}),
    [](const auto& info) { return info.param.name; });

TEST(DmaBindings, B43_IovasAreTakenFromOtherDmaTypesToo) {
  Rig rig;  // IOVAs as large as the coherent memory
  BoRef coherent = rig.Make(kMiB);
  rig.CpuFill(coherent, 1);
  ASSERT_EQ(rig.Validate(coherent, Tt(DmaType::kCoherent)), absl::OkStatus());
  BoRef bo = rig.Make(kQuarter);
  ASSERT_EQ(rig.Validate(bo, Tt(DmaType::kDynamic)), absl::OkStatus());
  EXPECT_EQ(coherent->binder(), nullptr);
  EXPECT_EQ(rig.CpuWrongBytes(coherent, 1), 0);
  EXPECT_EQ(rig.Broken(), "");
}

TEST(DmaBindings, B43_PinsOfOtherDmaTypesAreNamed) {
  Rig rig;
  BoRef coherent = rig.Make(kMiB);
  ASSERT_EQ(rig.Validate(coherent, Tt(DmaType::kCoherent)), absl::OkStatus());
  rig.Pin(coherent);
  BoRef bo = rig.Make(kQuarter);
  absl::Status status = rig.Validate(bo, Tt(DmaType::kDynamic));
  EXPECT_EQ(KindOf(status), ErrorKind::kCannotFit);
  EXPECT_THAT(std::string(status.message()), HasSubstr("IOVA space of iommu0"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("1024 KiB pinned"));
}

TEST(DmaBindings, B43_NoFramesToUnbindIntoIsNamed) {
  RigOptions options = RigOptions::Small(IommuMode::kAbsent);
  options.machine.swap_bytes = 0;
  Rig rig(options);
  BoRef bo = rig.Make(kQuarter);
  rig.CpuFill(bo, 1);
  ASSERT_EQ(rig.Validate(bo, Tt(DmaType::kCoherent)), absl::OkStatus());
  BoRef hog =
      rig.Make(rig.machine().memory().free_frames(kNoFrame - 1) * kPageSize);
  rig.CpuFill(hog, 2);
  absl::Status status = rig.Validate(bo, Tt(DmaType::kNone));
  EXPECT_EQ(KindOf(status), ErrorKind::kCannotFit);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("the host's page frames is full"));
  EXPECT_EQ(bo->binder(), rig.device().binder(DmaType::kCoherent));
  EXPECT_TRUE(rig.In(bo, MemoryType::kTt));
  EXPECT_EQ(rig.DeviceWrongBytes(bo, 1), 0);
  EXPECT_EQ(rig.Broken(), "");
}

}  // namespace
}  // namespace twostep
