// B25 to B41: what a validation does, and what it leaves alone. Rows that speak
// of any memory type run for the aperture and for both VRAM allocators.

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "tests/bo/rig.h"

namespace twostep {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr uint64_t kQuarter = 256 * kKiB;  // of a memory type

// VRAM and aperture of 1 MiB, no IOMMU.
RigOptions Options() {
  RigOptions options = RigOptions::Small(IommuMode::kAbsent);
  options.gpu.aperture_bytes = kMiB;
  return options;
}

ValidateContext NoWait() {
  ValidateContext context;
  context.wait.mode = WaitLimit::Mode::kNoWait;
  return context;
}

Placement Desired(Placement placement) {
  placement.use = Placement::Use::kDesired;
  return placement;
}
Placement Fallback(Placement placement) {
  placement.use = Placement::Use::kFallback;
  return placement;
}

// A driver whose answers a test sets.
class ScriptedHooks : public DeviceHooks {
 public:
  std::vector<Placement> evict_to{Placement{}};
  std::optional<Placement> hop;
  // Copies of bos of this size fail.
  PageCount unmovable_pages = 0;
  int copies = 0;
  std::vector<BoEvent> events;

  void Notify(const BufferObject&, BoEvent event) override {
    events.push_back(event);
  }
  PlacementList EvictTo(const BufferObject&) override { return evict_to; }
  std::optional<Placement> Hop(const BufferObject& bo,
                               const Placement& to) override {
    const bool fixed_to_fixed =
        bo.manager().fixed() && to.memory == MemoryType::kVram;
    const bool same_side =
        !bo.manager().fixed() && to.memory != MemoryType::kVram;
    return fixed_to_fixed || same_side ? std::nullopt : hop;
  }
  absl::StatusOr<Fence> Copy(CopyEngine& engine, CopyJob job,
                             absl::Span<const Fence> dependencies) override {
    if (job.pages == unmovable_pages) {
      return absl::InternalError("the engine refuses");
    }
    ++copies;
    return DeviceHooks::Copy(engine, std::move(job), dependencies);
  }
};

// --- B25 to B28: where a bo is ---

TEST(Validate, B25_AFreshBoIsInSystemUnpopulatedAndUnbound) {
  Rig rig;
  BoRef bo = rig.Make(kPageSize);
  EXPECT_EQ(&bo->manager(), &rig.host().system_manager());
  EXPECT_EQ(bo->pages().home(), Pages::Home::kNone);
  EXPECT_EQ(bo->binder(), nullptr);
  EXPECT_FALSE(bo->pinned());
  EXPECT_FALSE(bo->worthless());
  EXPECT_FALSE(bo->purged());
  EXPECT_TRUE(bo->fences().empty());
  EXPECT_EQ(rig.host().system_manager().order().size(), 0);
  EXPECT_EQ(rig.Broken(), "");
  // There is a slot for a fence.
  const Fence fence = rig.KeepBusy(bo);
  ASSERT_EQ(rig.Dependencies(bo).size(), 1);
  EXPECT_EQ(rig.Dependencies(bo)[0], fence);
}

TEST(Validate, B26_InASystemPageTypeItIsPopulatedAndDmaBound) {
  for (const DmaType dma :
       {DmaType::kNone, DmaType::kDynamic, DmaType::kCoherent, DmaType::kCma}) {
    for (const MemoryType memory : {MemoryType::kTt, MemoryType::kSystem}) {
      Rig rig(Options());
      BoRef bo = rig.Make(3 * kPageSize);
      ASSERT_EQ(rig.Validate(bo, Placement{.dma = dma, .memory = memory}),
                absl::OkStatus());
      const bool anonymous =
          dma == DmaType::kNone && memory == MemoryType::kSystem;
      EXPECT_TRUE(rig.In(bo, memory));
      EXPECT_EQ(bo->pages().present(), !anonymous);
      EXPECT_EQ(bo->binder(), anonymous ? nullptr : rig.device().binder(dma));
      EXPECT_EQ(rig.Broken(), "");
    }
  }
}

TEST(Validate, B26_InVramItKeepsNoSystemPages) {
  for (const DmaType dma :
       {DmaType::kNone, DmaType::kDynamic, DmaType::kCoherent, DmaType::kCma}) {
    Rig rig(Options());
    BoRef bo = rig.Make(kQuarter);
    rig.CpuFill(bo, 1);
    ASSERT_EQ(rig.Validate(bo, Tt(dma)), absl::OkStatus());
    ASSERT_EQ(rig.Validate(bo, kVram), absl::OkStatus());
    EXPECT_EQ(bo->pages().home(), Pages::Home::kNone);
    EXPECT_EQ(bo->binder(), nullptr);
    EXPECT_EQ(rig.DeviceWrongBytes(bo, 1), 0);
    // The copy has read them: they go.
    rig.host().ReapGhosts({WaitLimit::Mode::kNoWait});
    PhysicalMemory& memory = rig.machine().memory();
    EXPECT_EQ(memory.used_frames(Zone::kDma32), 0);
    EXPECT_EQ(memory.used_frames(Zone::kNormal), 0);
    EXPECT_EQ(rig.device().binder(dma)->bound_pages_now(), 0);
    EXPECT_EQ(rig.device().manager(MemoryType::kTt)->used_pages(), 0);
    EXPECT_EQ(rig.Broken(), "");
  }
}

TEST(Validate, B27_AlreadyRightMovesNothing) {
  for (const Placement& placement :
       {kSystem, kVram, Tt(DmaType::kNone), Tt(DmaType::kDynamic),
        Tt(DmaType::kCoherent), Tt(DmaType::kCma)}) {
    ScriptedHooks hooks;
    RigOptions options = Options();
    options.hooks = &hooks;
    Rig rig(options);
    BoRef bo = rig.Make(kQuarter);
    rig.CpuFill(bo, 1);
    ASSERT_EQ(rig.Validate(bo, placement), absl::OkStatus());
    ASSERT_EQ(WaitForCpu(*bo, Access::kWrite), absl::OkStatus());
    const PageCount start = bo->start_page();
    hooks.events.clear();
    const uint64_t binds = rig.device().binder(placement.dma)->stats().binds;
    // Also where a busy bo is right, and where it is not the first choice.
    rig.KeepBusy(bo);
    ValidateContext context = NoWait();
    Placement elsewhere =
        placement.memory == MemoryType::kVram ? Tt(DmaType::kNone) : kVram;
    ASSERT_EQ(rig.Validate(bo, {elsewhere, placement}, &context),
              absl::OkStatus());
    EXPECT_TRUE(context.hit);
    EXPECT_EQ(context.bytes_moved, 0);
    EXPECT_EQ(bo->start_page(), start);
    EXPECT_EQ(rig.device().binder(placement.dma)->stats().binds, binds);
    EXPECT_TRUE(hooks.events.empty());
  }
}

TEST(Validate, B27_EveryMoveCountsTheBytesItMoved) {
  Rig rig(Options());
  BoRef bo = rig.Make(kQuarter);
  const auto moved = [&](const Placement& placement) {
    ValidateContext context;
    EXPECT_EQ(rig.Validate(bo, {placement}, &context), absl::OkStatus());
    EXPECT_FALSE(context.hit);
    return context.bytes_moved;
  };
  // Nothing is there yet to be moved.
  EXPECT_EQ(moved(kVram), 0);
  EXPECT_EQ(moved(kSystem), kQuarter);
  EXPECT_EQ(moved(kVram), kQuarter);
  EXPECT_EQ(moved(Tt(DmaType::kNone)), kQuarter);
  // The same pages, bound in another way.
  EXPECT_EQ(moved(Tt(DmaType::kDynamic)), 0);
  // These have memory of their own.
  EXPECT_EQ(moved(Tt(DmaType::kCoherent)), kQuarter);
  EXPECT_EQ(moved(Tt(DmaType::kCma)), 2 * kQuarter);  // out of one, into one
  EXPECT_EQ(moved(kVram), kQuarter);
  EXPECT_EQ(moved(Tt(DmaType::kCoherent)), kQuarter);
  EXPECT_EQ(moved(kSystem), kQuarter);
}

TEST(Validate, B27_TheVictimsBytesCountToo) {
  Rig rig(Options());
  std::vector<BoRef> bos;
  for (int i = 0; i < 4; ++i) {
    bos.push_back(rig.Make(kQuarter));
    rig.CpuFill(bos.back(), i);
    ASSERT_EQ(rig.Validate(bos.back(), kVram), absl::OkStatus());
  }
  BoRef bo = rig.Make(2 * kQuarter);
  rig.CpuFill(bo, 9);
  ValidateContext context;
  context.bytes_moved = 5;  // what it counts is added
  ASSERT_EQ(rig.Validate(bo, {kVram}, &context), absl::OkStatus());
  EXPECT_EQ(context.bytes_moved, 5 + bo->size_bytes() + 2 * kQuarter);
}

TEST(Validate, B28_AMemoryTypeThatTheDeviceLacksIsRefusedByName) {
  RigOptions options = Options();
  options.gpu.vram_bytes = 0;
  options.gpu.vram_visible_bytes = 0;
  options.gpu.aperture_bytes = 0;
  Rig rig(options);
  BoRef bo = rig.Make(kPageSize);
  for (const auto& [placement, name] :
       {std::pair<Placement, const char*>{kVram, "memory type VRAM"},
        {Tt(DmaType::kDynamic), "memory type TT"},
        {Placement{.memory = static_cast<MemoryType>(7)}, "memory type 7"},
        {Placement{.memory = static_cast<MemoryType>(200)},
         "memory type 200"}}) {
    absl::Status status = rig.Validate(bo, placement);
    EXPECT_EQ(KindOf(status), ErrorKind::kWrongPlace);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), HasSubstr(name));
    EXPECT_THAT(std::string(status.message()), HasSubstr(bo->DebugName()));
    EXPECT_THAT(std::string(status.message()), HasSubstr("gpu0"));
  }
  EXPECT_EQ(rig.Broken(), "");
}

TEST(Validate, B28_ADmaTypeThatTheDeviceLacksIsRefusedByName) {
  Rig rig(Options());
  BoRef bo = rig.Make(kPageSize);
  ASSERT_EQ(rig.Validate(bo, {kVram}), absl::OkStatus());
  ASSERT_EQ(rig.Validate(bo, {kSystem}), absl::OkStatus());
  for (const int type : {4, 15, 200}) {
    // Bound to nothing is not bound to what is not there.
    EXPECT_EQ(
        KindOf(rig.Validate(bo, Placement{.dma = static_cast<DmaType>(type)})),
        ErrorKind::kWrongPlace);
    // Also as the second choice: nothing has been done for the first.
    absl::Status status =
        rig.Validate(bo, {kVram, Tt(static_cast<DmaType>(type))});
    EXPECT_EQ(KindOf(status), ErrorKind::kWrongPlace);
    EXPECT_THAT(std::string(status.message()),
                HasSubstr("DMA type " + std::to_string(type)));
    EXPECT_TRUE(rig.In(bo, MemoryType::kSystem));
  }
}

// --- Rows that hold for every memory type that can run out ---

struct Space {
  const char* name;
  Placement placement;
  SpaceAllocator allocator;
  Placement other;  // somewhere else with room
};

class ValidateIn : public testing::TestWithParam<Space> {
 protected:
  static RigOptions OptionsFor(const Space& space, DeviceHooks* hooks) {
    RigOptions options = Options();
    options.gpu.vram_allocator = space.allocator;
    options.hooks = hooks;
    return options;
  }
  const Placement& there() const { return GetParam().placement; }
  const Placement& other() const { return GetParam().other; }
  bool fixed() const { return there().memory == MemoryType::kVram; }
  MemoryManager& manager() { return *rig_.device().manager(there().memory); }
  bool Inside(const BoRef& bo) { return rig_.In(bo, there().memory); }

  // A bo of a quarter with the pattern of `seed`, in the memory type, idle.
  BoRef Put(uint64_t seed, uint64_t bytes = kQuarter) {
    BoRef bo = rig_.Make(bytes);
    rig_.CpuFill(bo, seed);
    EXPECT_EQ(rig_.Validate(bo, there()), absl::OkStatus());
    EXPECT_EQ(WaitForCpu(*bo, Access::kWrite), absl::OkStatus());
    return bo;
  }
  // Four that fill it, the first one least recently used.
  std::vector<BoRef> Fill() {
    std::vector<BoRef> bos;
    for (int i = 0; i < 4; ++i) bos.push_back(Put(i));
    return bos;
  }

  ScriptedHooks hooks_;
  Rig rig_{OptionsFor(GetParam(), &hooks_)};
};

TEST_P(ValidateIn, B27_WhoEndsBeyondTheRangeIsNotInPlace) {
  const PageCount pages = kQuarter / kPageSize;
  Placement range = there();
  range.first_page = pages;
  range.end_page = 2 * pages;
  BoRef bo = rig_.Make(kQuarter);
  rig_.CpuFill(bo, 1);
  ASSERT_EQ(rig_.Validate(bo, range), absl::OkStatus());
  ASSERT_EQ(bo->start_page(), pages);
  // It begins there, but is not all there.
  range.first_page = 0;
  range.end_page = 2 * pages - 1;
  ValidateContext context;
  ASSERT_EQ(rig_.Validate(bo, {range}, &context), absl::OkStatus());
  EXPECT_FALSE(context.hit);
  EXPECT_LE(bo->start_page() + pages, range.end_page);
  EXPECT_EQ(rig_.DeviceWrongBytes(bo, 1), 0);
  EXPECT_EQ(rig_.Broken(), "");
}

TEST_P(ValidateIn, B29_NothingToEvictAndNoSpace) {
  BoRef inside = Put(1, kMiB);
  BoRef bo = rig_.Make(kPageSize);
  rig_.CpuFill(bo, 2);
  const Fence fence = rig_.KeepBusy(bo, FenceUse::kRead);
  const FrameNumber frame = bo->pages().frames()[0];
  inside->Reserve();
  absl::Status status = rig_.Validate(bo, there());
  inside->Unreserve();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(KindOf(status), ErrorKind::kCannotFit);
  EXPECT_THAT(std::string(status.message()), HasSubstr(bo->DebugName()));
  EXPECT_THAT(std::string(status.message()),
              HasSubstr(manager().name() + " is full"));
  // Untouched.
  EXPECT_TRUE(rig_.In(bo, MemoryType::kSystem));
  EXPECT_EQ(bo->binder(), nullptr);
  EXPECT_EQ(bo->pages().frames()[0], frame);
  ASSERT_EQ(rig_.Dependencies(bo).size(), 1);
  EXPECT_EQ(rig_.Dependencies(bo)[0], fence);
  EXPECT_EQ(rig_.host().system_manager().order().size(), 1);
  EXPECT_EQ(rig_.CpuWrongBytes(bo, 2), 0);
  EXPECT_TRUE(Inside(inside));
  EXPECT_EQ(manager().evictions(), 0);
  EXPECT_EQ(rig_.Broken(), "");
}

TEST_P(ValidateIn, B29_WhatCanNeverFitIsSaidToNeverFitAndEvictsNobody) {
  std::vector<BoRef> bos = Fill();
  BoRef bo = rig_.Make(kMiB + kPageSize);
  absl::Status status = rig_.Validate(bo, there());
  EXPECT_EQ(status.code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(KindOf(status), ErrorKind::kNeverFits);
  Placement range = there();
  range.first_page = 10;
  range.end_page = 20;
  BoRef small = rig_.Make(11 * kPageSize);
  EXPECT_EQ(KindOf(rig_.Validate(small, range)), ErrorKind::kNeverFits);
  EXPECT_EQ(manager().evictions(), 0);
  EXPECT_EQ(rig_.Broken(), "");
}

TEST_P(ValidateIn, B30_APinnedBoInARightPlaceIsFineAndElsewhereRefused) {
  BoRef bo = Put(1);
  rig_.Pin(bo);
  ValidateContext context;
  EXPECT_EQ(rig_.Validate(bo, {other(), there()}, &context), absl::OkStatus());
  EXPECT_TRUE(context.hit);
  for (const std::vector<Placement>& placements :
       {std::vector<Placement>{other()}, {}}) {
    absl::Status status = rig_.Validate(bo, placements);
    EXPECT_EQ(KindOf(status), ErrorKind::kPinned);
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(status.message()), HasSubstr("pinned in"));
    EXPECT_THAT(std::string(status.message()), HasSubstr(manager().name()));
  }
  Placement elsewhere = there();
  elsewhere.first_page = bo->start_page() + 1;
  EXPECT_EQ(KindOf(rig_.Validate(bo, elsewhere)), ErrorKind::kPinned);
  EXPECT_TRUE(Inside(bo));
  EXPECT_EQ(rig_.DeviceWrongBytes(bo, 1), 0);
  EXPECT_EQ(rig_.Broken(), "");
}

TEST_P(ValidateIn, B31_TheDesiredPlaceIsFullSoTheFallbackIsTaken) {
  std::vector<BoRef> bos = Fill();
  BoRef bo = rig_.Make(kQuarter);
  rig_.CpuFill(bo, 9);
  ASSERT_EQ(rig_.Validate(bo, {Desired(there()), Fallback(other())}),
            absl::OkStatus());
  EXPECT_TRUE(rig_.In(bo, other().memory));
  for (const BoRef& stayed : bos) EXPECT_TRUE(Inside(stayed));
  EXPECT_EQ(manager().evictions(), 0);
  EXPECT_EQ(rig_.CpuWrongBytes(bo, 9), 0);
  // With room it is the desired place that is taken.
  bos.clear();
  ASSERT_EQ(rig_.Validate(bo, {Desired(there())}), absl::OkStatus());
  EXPECT_TRUE(Inside(bo));
  EXPECT_EQ(rig_.Broken(), "");
}

TEST_P(ValidateIn, B31_AnUnevictedPlaceComesBeforeEvicting) {
  std::vector<BoRef> bos = Fill();
  BoRef bo = rig_.Make(kQuarter);
  ASSERT_EQ(rig_.Validate(bo, {there(), other()}), absl::OkStatus());
  EXPECT_TRUE(rig_.In(bo, other().memory));
  EXPECT_EQ(manager().evictions(), 0);
}

TEST_P(ValidateIn, B31_ADesiredPlaceAloneThatIsFullSaysThatItDoesNotEvict) {
  std::vector<BoRef> bos = Fill();
  BoRef bo = rig_.Make(kQuarter);
  absl::Status status = rig_.Validate(bo, Desired(there()));
  EXPECT_EQ(KindOf(status), ErrorKind::kCannotFit);
  EXPECT_THAT(std::string(status.message()), HasSubstr("is full"));
  // Nobody is reserved or busy: that would be a wrong lead.
  EXPECT_THAT(std::string(status.message()), Not(HasSubstr("reserved")));
  EXPECT_THAT(std::string(status.message()), HasSubstr("without evicting"));
}

TEST_P(ValidateIn, B33_NoPlacementGivesTheContentsUp) {
  BoRef bo = Put(1);
  ValidateContext context;
  ASSERT_EQ(rig_.Validate(bo, {}, &context), absl::OkStatus());
  EXPECT_EQ(context.bytes_moved, 0);
  EXPECT_FALSE(context.hit);
  EXPECT_TRUE(rig_.In(bo, MemoryType::kSystem));
  EXPECT_EQ(bo->pages().home(), Pages::Home::kNone);
  EXPECT_EQ(bo->binder(), nullptr);
  EXPECT_EQ(manager().used_pages(), 0);
  EXPECT_EQ(rig_.Broken(), "");
  // New contents are zero.
  auto mapping = *CpuMapping::Create(bo);
  for (uint64_t i = 0; i < bo->size_bytes(); i += 512) {
    ASSERT_EQ(mapping->data()[i], std::byte{0});
  }
}

TEST_P(ValidateIn, B33_ABusyBoIsAtOnceReusableItsOldStorageAfterTheFence) {
  BoRef bo = Put(1, kMiB);
  const Fence fence = rig_.KeepBusy(bo);
  ValidateContext no_wait = NoWait();
  ASSERT_EQ(rig_.Validate(bo, {}, &no_wait), absl::OkStatus());
  EXPECT_FALSE(fence.Signalled());
  EXPECT_TRUE(bo->fences().empty());
  EXPECT_EQ(bo->pages().home(), Pages::Home::kNone);
  EXPECT_EQ(rig_.Broken(), "");
  rig_.CpuFill(bo, 2);
  EXPECT_FALSE(fence.Signalled());

  // The old space, to another bo: with the fence to wait for.
  BoRef next = rig_.Make(kMiB);
  ASSERT_EQ(rig_.Validate(next, there()), absl::OkStatus());
  EXPECT_TRUE(Inside(next));
  for (const Fence& dependency : rig_.Dependencies(next)) {
    ASSERT_EQ(WaitFor(dependency, {}), absl::OkStatus());
  }
  EXPECT_TRUE(fence.Signalled());
  EXPECT_EQ(rig_.CpuWrongBytes(bo, 2), 0);
  EXPECT_EQ(rig_.Broken(), "");
}

TEST_P(ValidateIn, B35_EvictionTakesTheLeastRecentOnlyAsManyAsNeeded) {
  std::vector<BoRef> bos = Fill();
  // Used by a validation, by a mere reservation, and not at all.
  ASSERT_EQ(rig_.Validate(bos[0], there()), absl::OkStatus());
  rig_.Touch(bos[1]);
  BoRef bo = rig_.Make(kQuarter);
  ASSERT_EQ(rig_.Validate(bo, there()), absl::OkStatus());
  EXPECT_TRUE(Inside(bo));
  EXPECT_TRUE(Inside(bos[0]));
  EXPECT_TRUE(Inside(bos[1]));
  EXPECT_FALSE(Inside(bos[2]));
  EXPECT_TRUE(Inside(bos[3]));
  EXPECT_EQ(manager().evictions(), 1);
  EXPECT_EQ(rig_.CpuWrongBytes(bos[2], 2), 0);
  EXPECT_EQ(rig_.DeviceWrongBytes(bos[0], 0), 0);
  EXPECT_EQ(rig_.DeviceWrongBytes(bos[3], 3), 0);
  EXPECT_EQ(rig_.Broken(), "");
}

TEST_P(ValidateIn, B35_TwoForASpaceOfTwo) {
  std::vector<BoRef> bos = Fill();
  BoRef bo = rig_.Make(2 * kQuarter);
  ASSERT_EQ(rig_.Validate(bo, there()), absl::OkStatus());
  EXPECT_EQ(manager().evictions(), 2);
  EXPECT_FALSE(Inside(bos[0]));
  EXPECT_FALSE(Inside(bos[1]));
  for (int i = 0; i < 4; ++i) EXPECT_EQ(rig_.CpuWrongBytes(bos[i], i), 0);
  EXPECT_EQ(rig_.Broken(), "");
}

TEST_P(ValidateIn, B35_OnlyWhoStandsInTheRangeAskedForIsEvicted) {
  std::vector<BoRef> bos = Fill();
  BoRef last = bos[0];
  for (const BoRef& bo : bos) {
    if (bo->start_page() > last->start_page()) last = bo;
  }
  rig_.Touch(last);  // the others are less recent, but elsewhere
  Placement range = there();
  range.first_page = last->start_page();
  BoRef bo = rig_.Make(kQuarter);
  ASSERT_EQ(rig_.Validate(bo, range), absl::OkStatus());
  EXPECT_EQ(bo->start_page(), range.first_page);
  EXPECT_EQ(manager().evictions(), 1);
  for (const BoRef& other : bos) EXPECT_EQ(Inside(other), other != last);
  EXPECT_EQ(rig_.Broken(), "");
}

TEST_P(ValidateIn, R11_RoomThatIsBeingMadeIsNotForOthers) {
  BoRef bo = rig_.Make(kQuarter);
  // There is room enough, but it may be what its maker has just evicted for.
  manager().gate().Lock();
  {
    Thread other([&] {
      ValidateContext context = NoWait();
      EXPECT_EQ(KindOf(rig_.Validate(bo, {there()}, &context)),
                ErrorKind::kBusy);
    });
  }
  EXPECT_FALSE(Inside(bo));
  EXPECT_EQ(manager().used_pages(), 0);
  EXPECT_EQ(rig_.Validate(bo, there()), absl::OkStatus());  // its maker's own
  manager().gate().Unlock();
  EXPECT_TRUE(Inside(bo));
  EXPECT_EQ(rig_.Broken(), "");
}

TEST_P(ValidateIn, B36_AllPinnedNamesThePins) {
  std::vector<BoRef> bos = Fill();
  for (const BoRef& pinned : bos) rig_.Pin(pinned);
  BoRef bo = rig_.Make(kQuarter);
  absl::Status status = rig_.Validate(bo, there());
  EXPECT_EQ(KindOf(status), ErrorKind::kCannotFit);
  EXPECT_THAT(std::string(status.message()), HasSubstr("1024 KiB pinned"));
  EXPECT_THAT(std::string(status.message()), Not(HasSubstr("reserved")));
  EXPECT_EQ(manager().evictions(), 0);
  EXPECT_EQ(rig_.Broken(), "");
}

TEST_P(ValidateIn, B36_APinnedOneIsSkippedEvenIfLeastRecent) {
  std::vector<BoRef> bos = Fill();
  rig_.Pin(bos[0]);
  for (int i = 1; i < 4; ++i) rig_.Touch(bos[i]);
  BoRef bo = rig_.Make(kQuarter);
  ASSERT_EQ(rig_.Validate(bo, there()), absl::OkStatus());
  EXPECT_TRUE(Inside(bos[0]));
  EXPECT_FALSE(Inside(bos[1]));
  EXPECT_EQ(manager().evictions(), 1);
  EXPECT_EQ(rig_.Broken(), "");
}

TEST_P(ValidateIn, B37_ADestroyedBusyBosSpaceIsReclaimedFirstWithoutACopy) {
  std::vector<BoRef> bos = Fill();
  const Fence fence = rig_.KeepBusy(bos[3]);
  bos[3].reset();
  BoRef bo = rig_.Make(kQuarter);
  rig_.CpuFill(bo, 9);
  hooks_.copies = 0;
  ValidateContext context;
  ASSERT_EQ(rig_.Validate(bo, {there()}, &context), absl::OkStatus());
  EXPECT_TRUE(Inside(bo));
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(Inside(bos[i])) << i;
  EXPECT_EQ(manager().evictions(), 0);
  EXPECT_EQ(hooks_.copies, fixed() ? 1 : 0);  // its own contents
  EXPECT_EQ(context.bytes_moved, fixed() ? kQuarter : 0);
  for (const Fence& dependency : rig_.Dependencies(bo)) {
    ASSERT_EQ(WaitFor(dependency, {}), absl::OkStatus());
  }
  EXPECT_TRUE(fence.Signalled());
  EXPECT_EQ(rig_.DeviceWrongBytes(bo, 9), 0);
  EXPECT_EQ(rig_.Broken(), "");
}

TEST_P(ValidateIn, B37_WhoMayNotWaitForItIsToldBusyNotExhausted) {
  std::vector<BoRef> bos = Fill();
  rig_.KeepBusy(bos[0]);
  bos[0].reset();
  for (int i = 1; i < 4; ++i) rig_.Pin(bos[i]);
  BoRef bo = rig_.Make(kQuarter);
  ValidateContext no_wait = NoWait();
  absl::Status status = rig_.Validate(bo, {there()}, &no_wait);
  EXPECT_EQ(KindOf(status), ErrorKind::kBusy) << status;
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(rig_.Validate(bo, there()), absl::OkStatus());
  EXPECT_EQ(rig_.Broken(), "");
}

TEST_P(ValidateIn, B37_ADestroyedIdleBosSpaceIsThereAtOnce) {
  std::vector<BoRef> bos = Fill();
  bos[3].reset();
  BoRef bo = rig_.Make(kQuarter);
  ValidateContext no_wait = NoWait();
  ASSERT_EQ(rig_.Validate(bo, {there()}, &no_wait), absl::OkStatus());
  EXPECT_EQ(manager().evictions(), 0);
}

TEST_P(ValidateIn, B39_AWorthlessVictimIsPurgedNotCopied) {
  std::vector<BoRef> bos = Fill();
  bos[0]->Reserve();
  bos[0]->SetWorthless(true);
  bos[0]->Unreserve();
  for (int i = 1; i < 4; ++i) rig_.Touch(bos[i]);
  hooks_.copies = 0;
  BoRef bo = rig_.Make(kQuarter);
  ValidateContext context;
  ASSERT_EQ(rig_.Validate(bo, {there()}, &context), absl::OkStatus());
  EXPECT_TRUE(bos[0]->purged());
  EXPECT_EQ(bos[0]->pages().home(), Pages::Home::kNone);
  EXPECT_TRUE(rig_.In(bos[0], MemoryType::kSystem));
  EXPECT_EQ(rig_.host().stats().purges, 1);
  EXPECT_EQ(context.bytes_moved, 0);
  EXPECT_EQ(hooks_.copies, fixed() ? 1 : 0);  // the new one's zeroes
  EXPECT_FALSE(bos[1]->purged());
  EXPECT_TRUE(Inside(bos[1]));
  EXPECT_EQ(rig_.Broken(), "");
  // Worth keeping again: what was lost is no longer told of.
  bos[0]->Reserve();
  bos[0]->SetWorthless(false);
  EXPECT_FALSE(bos[0]->purged());
  bos[0]->Unreserve();
}

TEST_P(ValidateIn, B39_AWorthlessVictimThatIsBusyIsEnough) {
  std::vector<BoRef> bos = Fill();
  bos[0]->Reserve();
  bos[0]->SetWorthless(true);
  bos[0]->Unreserve();
  const Fence fence = rig_.KeepBusy(bos[0]);
  for (int i = 1; i < 4; ++i) rig_.Touch(bos[i]);
  BoRef bo = rig_.Make(kQuarter);
  ASSERT_EQ(rig_.Validate(bo, there()), absl::OkStatus());
  EXPECT_TRUE(bos[0]->purged());
  for (int i = 1; i < 4; ++i) EXPECT_TRUE(Inside(bos[i])) << i;
  for (const Fence& dependency : rig_.Dependencies(bo)) {
    ASSERT_EQ(WaitFor(dependency, {}), absl::OkStatus());
  }
  EXPECT_TRUE(fence.Signalled());
  EXPECT_EQ(rig_.Broken(), "");
}

INSTANTIATE_TEST_SUITE_P(
    All, ValidateIn,
    testing::Values(
        Space{"Tt", Tt(DmaType::kNone), SpaceAllocator::kRange, kVram},
        Space{"RangeVram", kVram, SpaceAllocator::kRange, Tt(DmaType::kNone)},
        Space{"BuddyVram", kVram, SpaceAllocator::kBuddy, Tt(DmaType::kNone)}),
    [](const auto& info) { return info.param.name; });

// --- B32: multihop ---

TEST(Validate, B32_AMoveThroughAThirdPlaceCountsBothHops) {
  ScriptedHooks hooks;
  // A third place with memory of its own: each hop copies.
  hooks.hop = Tt(DmaType::kCoherent);
  RigOptions options = Options();
  options.hooks = &hooks;
  Rig rig(options);
  BoRef bo = rig.Make(kQuarter);
  rig.CpuFill(bo, 1);
  DmaBinder::Stats& stats = rig.device().binder(DmaType::kCoherent)->stats();

  ValidateContext in;
  ASSERT_EQ(rig.Validate(bo, {kVram}, &in), absl::OkStatus());
  EXPECT_TRUE(rig.In(bo, MemoryType::kVram));
  EXPECT_EQ(stats.binds, 1);
  EXPECT_EQ(in.bytes_moved, 2 * kQuarter);
  EXPECT_EQ(rig.DeviceWrongBytes(bo, 1), 0);
  EXPECT_EQ(rig.Broken(), "");

  ValidateContext out;
  ASSERT_EQ(rig.Validate(bo, {kSystem}, &out), absl::OkStatus());
  EXPECT_TRUE(rig.In(bo, MemoryType::kSystem));
  EXPECT_EQ(bo->binder(), nullptr);
  EXPECT_EQ(stats.binds, 2);
  EXPECT_EQ(out.bytes_moved, 2 * kQuarter);
  EXPECT_EQ(rig.CpuWrongBytes(bo, 1), 0);
  rig.host().ReapGhosts({WaitLimit::Mode::kNoWait});
  EXPECT_EQ(rig.machine().coherent_pool().used_frames(), 0);
  EXPECT_EQ(rig.Broken(), "");
}

TEST(Validate, B32_AVictimHopsToo) {
  ScriptedHooks hooks;
  hooks.hop = Tt(DmaType::kNone);
  RigOptions options = Options();
  options.hooks = &hooks;
  Rig rig(options);
  BoRef victim = rig.Make(kMiB);
  rig.CpuFill(victim, 1);
  ASSERT_EQ(rig.Validate(victim, kVram), absl::OkStatus());
  BoRef bo = rig.Make(kMiB);
  rig.CpuFill(bo, 2);
  ASSERT_EQ(rig.Validate(bo, kVram), absl::OkStatus());
  EXPECT_TRUE(rig.In(victim, MemoryType::kSystem));
  EXPECT_EQ(victim->binder(), nullptr);
  EXPECT_EQ(rig.CpuWrongBytes(victim, 1), 0);
  EXPECT_EQ(rig.DeviceWrongBytes(bo, 2), 0);
  EXPECT_EQ(rig.Broken(), "");
}

// --- B33 once more: pages in the CPU's hands ---

TEST(Validate, B33_PagesThatTheCpuHadTakenAreForgottenWithTheContents) {
  Rig rig(Options());
  BoRef bo = rig.Make(3 * kPageSize);
  ASSERT_EQ(rig.Validate(bo, Tt(DmaType::kDynamic)), absl::OkStatus());
  rig.CpuFill(bo, 1);
  ASSERT_EQ(rig.Validate(bo, std::vector<Placement>{}), absl::OkStatus());
  EXPECT_EQ(rig.Validate(bo, kSystem), absl::OkStatus());
  EXPECT_EQ(rig.Validate(bo, kVram), absl::OkStatus());
  EXPECT_EQ(rig.Validate(bo, Tt(DmaType::kDynamic)), absl::OkStatus());
  EXPECT_EQ(rig.Broken(), "");
}

// --- B34: space that is still being used ---

class FreedBusy : public testing::Test {
 protected:
  void SetUp() override {
    BoRef gone = rig_.Make(kMiB);
    ASSERT_EQ(rig_.Validate(gone, kVram), absl::OkStatus());
    ASSERT_EQ(WaitForCpu(*gone, Access::kWrite), absl::OkStatus());
    fence_ = rig_.KeepBusy(gone);
    gone.reset();
    bo_ = rig_.Make(kQuarter);
    rig_.CpuFill(bo_, 1);
  }
  Rig rig_{Options()};
  Fence fence_;
  BoRef bo_;
};

TEST_F(FreedBusy, B34_AWaitingCallerGetsItWithTheFenceAsDependency) {
  const uint64_t before = rig_.machine().clock().now_ns();
  ASSERT_EQ(rig_.Validate(bo_, kVram), absl::OkStatus());
  EXPECT_TRUE(rig_.In(bo_, MemoryType::kVram));
  // Nobody slept for it.
  EXPECT_FALSE(fence_.Signalled());
  EXPECT_LT(rig_.machine().clock().now_ns() - before, 100'000'000);
  const auto dependencies = rig_.Dependencies(bo_);
  ASSERT_FALSE(dependencies.empty());
  for (const Fence& dependency : dependencies) {
    ASSERT_EQ(WaitFor(dependency, {}), absl::OkStatus());
  }
  EXPECT_TRUE(fence_.Signalled());
  EXPECT_EQ(rig_.DeviceWrongBytes(bo_, 1), 0);
}

TEST_F(FreedBusy, B34_ANoWaitCallerTakesTheFallback) {
  ValidateContext no_wait = NoWait();
  ASSERT_EQ(rig_.Validate(bo_, {kVram, Fallback(Tt(DmaType::kNone))}, &no_wait),
            absl::OkStatus());
  EXPECT_TRUE(rig_.In(bo_, MemoryType::kTt));
  EXPECT_FALSE(fence_.Signalled());
  EXPECT_EQ(rig_.device().manager(MemoryType::kVram)->used_pages(), 0);
  EXPECT_EQ(rig_.Broken(), "");
}

TEST_F(FreedBusy, B34_WithoutAFallbackANoWaitCallerIsToldWhatIsPending) {
  ValidateContext no_wait = NoWait();
  absl::Status status = rig_.Validate(bo_, {kVram}, &no_wait);
  EXPECT_EQ(KindOf(status), ErrorKind::kBusy);
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("fence work:1"));
  EXPECT_TRUE(rig_.In(bo_, MemoryType::kSystem));
  EXPECT_EQ(rig_.CpuWrongBytes(bo_, 1), 0);
  EXPECT_EQ(rig_.Broken(), "");
}

TEST(Validate, B34_ABusyVictimOfACallerThatMayNotWaitIsBusyNotExhausted) {
  Rig rig(Options());
  BoRef victim = rig.Make(kMiB);
  ASSERT_EQ(rig.Validate(victim, Tt(DmaType::kNone)), absl::OkStatus());
  const Fence fence = rig.KeepBusy(victim, FenceUse::kRead);
  BoRef bo = rig.Make(kQuarter);
  rig.CpuFill(bo, 1);
  ValidateContext no_wait = NoWait();
  absl::Status status = rig.Validate(bo, {Tt(DmaType::kNone)}, &no_wait);
  EXPECT_EQ(KindOf(status), ErrorKind::kBusy);
  EXPECT_THAT(std::string(status.message()), HasSubstr("fence work:1"));
  EXPECT_TRUE(rig.In(victim, MemoryType::kTt));
  EXPECT_TRUE(rig.In(bo, MemoryType::kSystem));
  EXPECT_FALSE(fence.Signalled());
  EXPECT_EQ(rig.Broken(), "");
  // Who may wait does.
  EXPECT_EQ(rig.Validate(bo, Tt(DmaType::kNone)), absl::OkStatus());
  EXPECT_TRUE(fence.Signalled());
  EXPECT_EQ(rig.DeviceWrongBytes(bo, 1), 0);
}

TEST(Validate, B34_ABusyBoThatMustMoveIsBusyForWhoMayNotWait) {
  Rig rig(Options());
  BoRef bo = rig.Make(kQuarter);
  rig.CpuFill(bo, 1);
  ASSERT_EQ(rig.Validate(bo, Tt(DmaType::kDynamic)), absl::OkStatus());
  const Fence fence = rig.KeepBusy(bo);
  for (const Placement& placement : {Tt(DmaType::kCoherent), kSystem}) {
    ValidateContext no_wait = NoWait();
    absl::Status status = rig.Validate(bo, {placement}, &no_wait);
    EXPECT_EQ(KindOf(status), ErrorKind::kBusy);
    EXPECT_THAT(std::string(status.message()), HasSubstr("fence work:1"));
    EXPECT_TRUE(rig.In(bo, MemoryType::kTt));
    EXPECT_EQ(bo->binder(), rig.device().binder(DmaType::kDynamic));
    ASSERT_EQ(rig.Dependencies(bo).size(), 1);
    EXPECT_EQ(rig.Dependencies(bo)[0], fence);
  }
  EXPECT_EQ(rig.DeviceWrongBytes(bo, 1), 0);
  EXPECT_EQ(rig.Broken(), "");
}

TEST(Validate, B34_AMoveOutOfVramIsQueuedBehindTheBosOwnFences) {
  Rig rig(Options());
  BoRef bo = rig.Make(kQuarter);
  rig.CpuFill(bo, 1);
  // Of readers as well: others get the space that it leaves.
  for (const FenceUse use : {FenceUse::kWrite, FenceUse::kRead}) {
    ASSERT_EQ(rig.Validate(bo, kVram), absl::OkStatus());
    const Fence fence = rig.KeepBusy(bo, use);
    ValidateContext no_wait = NoWait();
    ASSERT_EQ(rig.Validate(bo, {Tt(DmaType::kNone)}, &no_wait),
              absl::OkStatus());
    EXPECT_FALSE(fence.Signalled());
    EXPECT_EQ(rig.DeviceWrongBytes(bo, 1), 0);
    EXPECT_TRUE(fence.Signalled());
  }
}

// --- B38: victims that cannot be moved ---

TEST(Validate, B38_TheVictimStaysAndTheNextOneIsTried) {
  ScriptedHooks hooks;
  RigOptions options = Options();
  options.hooks = &hooks;
  Rig rig(options);
  BoRef stubborn = rig.Make(kQuarter + kPageSize);
  BoRef second = rig.Make(kQuarter);
  BoRef third = rig.Make(kQuarter);
  for (const BoRef& bo : {stubborn, second, third}) {
    rig.CpuFill(bo, bo->id());
    ASSERT_EQ(rig.Validate(bo, kVram), absl::OkStatus());
  }
  ASSERT_EQ(WaitForCpu(*third, Access::kWrite), absl::OkStatus());
  for (const BoRef& bo : {stubborn, second, third}) rig.Touch(bo);
  const PageCount start = stubborn->start_page();
  hooks.unmovable_pages = stubborn->page_count();
  BoRef bo = rig.Make(kQuarter);
  ValidateContext context;
  ASSERT_EQ(rig.Validate(bo, {kVram}, &context), absl::OkStatus());
  EXPECT_TRUE(rig.In(stubborn, MemoryType::kVram));
  EXPECT_EQ(stubborn->start_page(), start);
  EXPECT_TRUE(stubborn->TryReserve());  // nobody holds it any more
  stubborn->Unreserve();
  EXPECT_FALSE(rig.In(second, MemoryType::kVram));
  EXPECT_TRUE(rig.In(third, MemoryType::kVram));
  EXPECT_EQ(context.bytes_moved, kQuarter);
  EXPECT_EQ(rig.DeviceWrongBytes(stubborn, stubborn->id()), 0);
  EXPECT_EQ(rig.CpuWrongBytes(second, second->id()), 0);
  EXPECT_EQ(rig.Broken(), "");
}

TEST(Validate, B38_TheVictimKeepsItsPlaceInTheOrder) {
  ScriptedHooks hooks;
  RigOptions options = Options();
  options.hooks = &hooks;
  Rig rig(options);
  BoRef stubborn = rig.Make(kQuarter + kPageSize);
  BoRef second = rig.Make(2 * kQuarter);
  for (const BoRef& bo : {stubborn, second}) {
    ASSERT_EQ(rig.Validate(bo, kVram), absl::OkStatus());
  }
  hooks.unmovable_pages = stubborn->page_count();
  BoRef bo = rig.Make(2 * kQuarter);
  ASSERT_EQ(rig.Validate(bo, kVram), absl::OkStatus());
  EXPECT_TRUE(rig.In(stubborn, MemoryType::kVram));
  // It is still the least recent one.
  hooks.unmovable_pages = 0;
  BoRef next = rig.Make(kQuarter);
  ASSERT_EQ(rig.Validate(next, kVram), absl::OkStatus());
  EXPECT_FALSE(rig.In(stubborn, MemoryType::kVram));
  EXPECT_TRUE(rig.In(bo, MemoryType::kVram));
}

TEST(Validate, B38_WithNoOtherVictimTheCallerIsToldWhy) {
  ScriptedHooks hooks;
  RigOptions options = Options();
  options.hooks = &hooks;
  Rig rig(options);
  BoRef stubborn = rig.Make(kMiB);
  rig.CpuFill(stubborn, 1);
  ASSERT_EQ(rig.Validate(stubborn, kVram), absl::OkStatus());
  hooks.unmovable_pages = stubborn->page_count();
  BoRef bo = rig.Make(kQuarter);
  rig.CpuFill(bo, 2);
  absl::Status status = rig.Validate(bo, kVram);
  EXPECT_FALSE(status.ok());
  EXPECT_THAT(std::string(status.message()), HasSubstr("the engine refuses"));
  EXPECT_TRUE(rig.In(stubborn, MemoryType::kVram));
  EXPECT_TRUE(rig.In(bo, MemoryType::kSystem));
  EXPECT_EQ(rig.DeviceWrongBytes(stubborn, 1), 0);
  EXPECT_EQ(rig.CpuWrongBytes(bo, 2), 0);
  EXPECT_EQ(rig.Broken(), "");
}

TEST(Validate, B38_ABosOwnCopyThatFailsLeavesItWhereItWas) {
  ScriptedHooks hooks;
  RigOptions options = Options();
  options.hooks = &hooks;
  Rig rig(options);
  BoRef bo = rig.Make(kQuarter);
  rig.CpuFill(bo, 1);
  hooks.unmovable_pages = bo->page_count();
  absl::Status in = rig.Validate(bo, kVram);
  EXPECT_THAT(std::string(in.message()), HasSubstr("the engine refuses"));
  EXPECT_TRUE(rig.In(bo, MemoryType::kSystem));
  EXPECT_EQ(rig.device().manager(MemoryType::kVram)->used_pages(), 0);
  EXPECT_EQ(rig.CpuWrongBytes(bo, 1), 0);
  hooks.unmovable_pages = 0;
  ASSERT_EQ(rig.Validate(bo, kVram), absl::OkStatus());
  hooks.unmovable_pages = bo->page_count();
  for (const Placement& placement :
       {kSystem, Tt(DmaType::kNone), Tt(DmaType::kDynamic),
        Tt(DmaType::kCoherent), Tt(DmaType::kCma)}) {
    EXPECT_FALSE(rig.Validate(bo, placement).ok());
    EXPECT_TRUE(rig.In(bo, MemoryType::kVram));
    EXPECT_EQ(bo->binder(), nullptr);
    EXPECT_EQ(rig.device().manager(MemoryType::kTt)->used_pages(), 0);
    EXPECT_EQ(rig.DeviceWrongBytes(bo, 1), 0);
    EXPECT_EQ(rig.Broken(), "");
  }
}

// --- B40: cascades ---

TEST(Validate, B40_EvictingIntoAFullPlaceEvictsThere) {
  ScriptedHooks hooks;
  hooks.evict_to = {Tt(DmaType::kNone)};
  RigOptions options = Options();
  options.hooks = &hooks;
  Rig rig(options);
  std::vector<BoRef> in_vram, in_tt;
  for (int i = 0; i < 4; ++i) {
    in_tt.push_back(rig.Make(kQuarter));
    rig.CpuFill(in_tt.back(), i);
    ASSERT_EQ(rig.Validate(in_tt.back(), Tt(DmaType::kNone)), absl::OkStatus());
    in_vram.push_back(rig.Make(kQuarter));
    rig.CpuFill(in_vram.back(), 10 + i);
    ASSERT_EQ(rig.Validate(in_vram.back(), kVram), absl::OkStatus());
  }
  BoRef bo = rig.Make(kQuarter);
  rig.CpuFill(bo, 20);
  ASSERT_EQ(rig.Validate(bo, kVram), absl::OkStatus());
  // VRAM to TT, and for that one from TT to SYSTEM.
  EXPECT_TRUE(rig.In(in_vram[0], MemoryType::kTt));
  EXPECT_TRUE(rig.In(in_tt[0], MemoryType::kSystem));
  for (int i = 1; i < 4; ++i) {
    EXPECT_TRUE(rig.In(in_vram[i], MemoryType::kVram));
    EXPECT_TRUE(rig.In(in_tt[i], MemoryType::kTt));
  }
  EXPECT_EQ(rig.device().manager(MemoryType::kVram)->evictions(), 1);
  EXPECT_EQ(rig.device().manager(MemoryType::kTt)->evictions(), 1);
  EXPECT_EQ(rig.DeviceWrongBytes(bo, 20), 0);
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(rig.CpuWrongBytes(in_tt[i], i), 0);
    EXPECT_EQ(rig.CpuWrongBytes(in_vram[i], 10 + i), 0);
  }
  EXPECT_EQ(rig.Broken(), "");
}

TEST(Validate, B40_ASecondTargetIsTakenWhereTheFirstIsFull) {
  ScriptedHooks hooks;
  hooks.evict_to = {Tt(DmaType::kNone), kSystem};
  RigOptions options = Options();
  options.hooks = &hooks;
  Rig rig(options);
  BoRef pinned = rig.Make(kMiB);
  ASSERT_EQ(rig.Validate(pinned, Tt(DmaType::kNone)), absl::OkStatus());
  rig.Pin(pinned);
  BoRef victim = rig.Make(kMiB);
  rig.CpuFill(victim, 1);
  ASSERT_EQ(rig.Validate(victim, kVram), absl::OkStatus());
  BoRef bo = rig.Make(kMiB);
  ASSERT_EQ(rig.Validate(bo, kVram), absl::OkStatus());
  EXPECT_TRUE(rig.In(victim, MemoryType::kSystem));
  EXPECT_EQ(rig.CpuWrongBytes(victim, 1), 0);
  EXPECT_EQ(rig.Broken(), "");
}

TEST(Validate, B40_AFullTargetAloneStopsTheEviction) {
  ScriptedHooks hooks;
  hooks.evict_to = {Tt(DmaType::kNone)};
  RigOptions options = Options();
  options.hooks = &hooks;
  Rig rig(options);
  BoRef pinned = rig.Make(kMiB);
  ASSERT_EQ(rig.Validate(pinned, Tt(DmaType::kNone)), absl::OkStatus());
  rig.Pin(pinned);
  BoRef victim = rig.Make(kMiB);
  rig.CpuFill(victim, 1);
  ASSERT_EQ(rig.Validate(victim, kVram), absl::OkStatus());
  BoRef bo = rig.Make(kMiB);
  EXPECT_EQ(KindOf(rig.Validate(bo, kVram)), ErrorKind::kCannotFit);
  EXPECT_TRUE(rig.In(victim, MemoryType::kVram));
  EXPECT_EQ(rig.DeviceWrongBytes(victim, 1), 0);
  EXPECT_EQ(rig.Broken(), "");
}

TEST(Validate, B40_EvictingInACircleEnds) {
  ScriptedHooks hooks;
  hooks.evict_to = {kVram};
  RigOptions options = Options();
  options.hooks = &hooks;
  Rig rig(options);
  // One page is free, two are wanted, and whoever has to go may only go where
  // the room is short.
  std::vector<BoRef> bos;
  for (int i = 0; i < 255; ++i) {
    bos.push_back(rig.Make(kPageSize));
    ASSERT_EQ(rig.Validate(bos.back(), kVram), absl::OkStatus());
  }
  BoRef bo = rig.Make(2 * kPageSize);
  absl::Status status = rig.Validate(bo, kVram);
  EXPECT_EQ(KindOf(status), ErrorKind::kCannotFit) << status;
  for (const BoRef& stayed : bos) {
    EXPECT_TRUE(rig.In(stayed, MemoryType::kVram));
  }
  EXPECT_EQ(rig.Broken(), "");
}

// --- B41: few frames ---

// 1 MiB of frames beside the pools.
RigOptions FewFrames() {
  RigOptions options = Options();
  options.machine.dma32_bytes = 4 * kMiB;
  options.machine.normal_bytes = 0;
  return options;
}

TEST(Validate, B41_OlderBosSwapOutAndTheNewOneIsPlaced) {
  for (const DmaType dma : {DmaType::kNone, DmaType::kDynamic}) {
    Rig rig(FewFrames());
    std::vector<BoRef> bos;
    for (int i = 0; i < 8; ++i) {
      bos.push_back(rig.Make(kQuarter));
      rig.CpuFill(bos.back(), i);
      ASSERT_EQ(rig.Validate(bos.back(), Tt(dma)), absl::OkStatus()) << i;
      ASSERT_EQ(rig.Broken(), "") << i;
    }
    EXPECT_TRUE(rig.In(bos[7], MemoryType::kTt));
    EXPECT_EQ(bos[0]->pages().home(), Pages::Home::kSwapped);
    EXPECT_GE(rig.host().stats().swap_out_bytes, 4 * kQuarter);
    for (int i = 0; i < 8; ++i) {
      EXPECT_EQ(rig.CpuWrongBytes(bos[i], i), 0) << i;
    }
    EXPECT_EQ(rig.Broken(), "");
  }
}

TEST(Validate, B41_TheLeastRecentSwapsOutOnlyAsManyAsNeeded) {
  Rig rig(FewFrames());
  const uint64_t third =
      rig.machine().memory().free_frames(kNoFrame - 1) / 3 * kPageSize;
  std::vector<BoRef> bos;
  for (int i = 0; i < 3; ++i) {
    bos.push_back(rig.Make(third));
    rig.CpuFill(bos.back(), i);
  }
  rig.Touch(bos[0]);
  BoRef bo = rig.Make(third);
  ASSERT_EQ(rig.Validate(bo, Tt(DmaType::kNone)), absl::OkStatus());
  EXPECT_EQ(bos[0]->pages().home(), Pages::Home::kMemory);
  EXPECT_EQ(bos[1]->pages().home(), Pages::Home::kSwapped);
  EXPECT_EQ(bos[2]->pages().home(), Pages::Home::kMemory);
  EXPECT_EQ(rig.host().stats().swap_out_bytes, third);
  EXPECT_EQ(rig.CpuWrongBytes(bos[1], 1), 0);
}

TEST(Validate, B41_AFullSwapStoreIsNamedAndNobodyHasPaid) {
  RigOptions options = FewFrames();
  options.machine.swap_bytes = 64 * kKiB;
  Rig rig(options);
  const uint64_t half =
      rig.machine().memory().free_frames(kNoFrame - 1) / 2 * kPageSize;
  BoRef inside = rig.Make(half);
  rig.CpuFill(inside, 1);
  ASSERT_EQ(rig.Validate(inside, Tt(DmaType::kDynamic)), absl::OkStatus());
  BoRef anonymous = rig.Make(half);
  rig.CpuFill(anonymous, 2);
  BoRef bo = rig.Make(half);
  for (const DmaType dma : {DmaType::kNone, DmaType::kDynamic}) {
    absl::Status status = rig.Validate(bo, Tt(dma));
    EXPECT_EQ(KindOf(status), ErrorKind::kCannotFit) << status;
    EXPECT_THAT(std::string(status.message()),
                HasSubstr("the host's page frames is full"));
    // Of frames, not of anything else.
    EXPECT_THAT(std::string(status.message()), HasSubstr("wanted, 0 KiB free"));
    EXPECT_THAT(std::string(status.message()), HasSubstr("swap store"));
    EXPECT_EQ(bo->pages().home(), Pages::Home::kNone);
    EXPECT_EQ(rig.Broken(), "");
  }
  // Giving up its bindings would not have freed a frame.
  EXPECT_TRUE(rig.In(inside, MemoryType::kTt));
  EXPECT_EQ(rig.DeviceWrongBytes(inside, 1), 0);
  EXPECT_EQ(rig.CpuWrongBytes(anonymous, 2), 0);
}

TEST(Validate, B41_AVramVictimThatFindsNoFramesStays) {
  RigOptions options = FewFrames();
  options.machine.swap_bytes = 0;
  Rig rig(options);
  BoRef victim = rig.Make(kMiB);
  ASSERT_EQ(rig.Validate(victim, kVram), absl::OkStatus());
  rig.DeviceFill(victim, 1);
  BoRef anonymous = rig.Make(kQuarter);
  rig.CpuFill(anonymous, 2);
  BoRef bo = rig.Make(kQuarter);
  absl::Status status = rig.Validate(bo, kVram);
  EXPECT_EQ(KindOf(status), ErrorKind::kCannotFit) << status;
  EXPECT_TRUE(rig.In(victim, MemoryType::kVram));
  EXPECT_EQ(rig.DeviceWrongBytes(victim, 1), 0);
  EXPECT_EQ(rig.CpuWrongBytes(anonymous, 2), 0);
  EXPECT_EQ(rig.Broken(), "");
}

TEST(Validate, B41_BusyBosInTheWayOfWhoMayNotWaitAreBusyNotExhausted) {
  Rig rig(FewFrames());
  const uint64_t most =
      rig.machine().memory().free_frames(kNoFrame - 1) * kPageSize;
  BoRef inside = rig.Make(most);
  ASSERT_EQ(rig.Validate(inside, Tt(DmaType::kNone)), absl::OkStatus());
  rig.KeepBusy(inside);
  BoRef bo = rig.Make(kQuarter);
  Placement dynamic{.dma = DmaType::kDynamic};
  ValidateContext no_wait = NoWait();
  absl::Status status = rig.Validate(bo, {dynamic}, &no_wait);
  EXPECT_EQ(KindOf(status), ErrorKind::kBusy) << status;
  // The same of one that is gone but for its fence.
  inside.reset();
  status = rig.Validate(bo, {dynamic}, &no_wait);
  EXPECT_EQ(KindOf(status), ErrorKind::kBusy) << status;
  EXPECT_EQ(rig.Validate(bo, dynamic), absl::OkStatus());
  EXPECT_EQ(rig.Broken(), "");
}

}  // namespace
}  // namespace twostep
