// Two steps: every DMA type with every memory type, the built-in ones and those
// that a device brings along.

#include <optional>
#include <tuple>
#include <utility>

#include "tests/bo/platforms.h"
#include "twostep/machine/pages.h"

namespace twostep {
namespace {

class Placements
    : public testing::TestWithParam<std::tuple<MachineKind, DmaType>> {
 protected:
  DmaType dma() const { return std::get<1>(GetParam()); }
  Rig rig_{OptionsOf(std::get<0>(GetParam()))};
};

// S1, R1
TEST_P(Placements, TtBindsThroughTheTypeThatWasAskedFor) {
  BoRef bo = rig_.Make(5 * kPageSize);
  rig_.CpuFill(bo, 1);
  ASSERT_TRUE(rig_.Validate(bo, Tt(dma())).ok());
  EXPECT_TRUE(BoundThrough(rig_, bo, dma()));
  EXPECT_TRUE(InMemoryType(rig_, bo, MemoryType::kTt));
  EXPECT_EQ(rig_.DeviceWrongBytes(bo, 1), 0);
  EXPECT_EQ(rig_.Broken(), "");
}

// S1, R1, R2
TEST_P(Placements, SystemKeepsTheStepOneThatWasAskedForAndNoOther) {
  BoRef bo = rig_.Make(5 * kPageSize);
  rig_.CpuFill(bo, 1);
  ASSERT_TRUE(rig_.Validate(bo, Placement{.dma = dma()}).ok());
  if (dma() == DmaType::kNone) {
    EXPECT_EQ(bo->binder(), nullptr);  // anonymous
  } else {
    EXPECT_TRUE(BoundThrough(rig_, bo, dma()));
    for (PageCount page = 0; page < bo->page_count(); ++page) {
      EXPECT_NE(rig_.device().port().Resolve(
                    bo->binding().Address(bo->pages(), page), Access::kRead),
                nullptr);
    }
  }
  EXPECT_EQ(&bo->manager(), rig_.device().manager(MemoryType::kSystem));
  // From there step 2 alone is left to do.
  const uint64_t binds = rig_.device().binder(dma())->stats().binds;
  ASSERT_TRUE(rig_.Validate(bo, Tt(dma())).ok());
  EXPECT_EQ(rig_.device().binder(dma())->stats().binds,
            binds + (dma() == DmaType::kNone ? 1 : 0));
  EXPECT_EQ(rig_.DeviceWrongBytes(bo, 1), 0);
  EXPECT_EQ(rig_.Broken(), "");
}

// S1: fixed memory needs no step 1, whatever DMA type its placement names.
TEST_P(Placements, VramNeedsNoStepOne) {
  BoRef bo = rig_.Make(5 * kPageSize);
  rig_.CpuFill(bo, 1);
  ASSERT_TRUE(
      rig_.Validate(bo, Placement{.dma = dma(), .memory = MemoryType::kVram})
          .ok());
  EXPECT_EQ(bo->binder(), nullptr);
  EXPECT_EQ(bo->pages().home(), Pages::Home::kNone);
  for (const DmaType type : kBuiltInDmaTypes) {
    EXPECT_EQ(rig_.device().binder(type)->stats().binds, 0);
  }
  EXPECT_EQ(rig_.DeviceWrongBytes(bo, 1), 0);
  EXPECT_EQ(rig_.Broken(), "");
}

// S1, R1, R6: from each type to each other, the GPU's view in place.
TEST_P(Placements, AnyTypeCanFollowAnyOther) {
  BoRef bo = rig_.Make(5 * kPageSize);
  rig_.CpuFill(bo, 0);
  uint64_t seed = 0;
  for (const DmaType to : kBuiltInDmaTypes) {
    ASSERT_TRUE(rig_.Validate(bo, Tt(dma())).ok());
    EXPECT_EQ(rig_.DeviceWrongBytes(bo, seed), 0);
    const PageCount start = bo->start_page();
    rig_.DeviceFill(bo, ++seed);
    ASSERT_TRUE(rig_.Validate(bo, Tt(to)).ok());
    EXPECT_TRUE(BoundThrough(rig_, bo, to));
    EXPECT_EQ(bo->start_page(), start);
    EXPECT_EQ(rig_.DeviceWrongBytes(bo, seed), 0);
    rig_.DeviceFill(bo, ++seed);
    EXPECT_EQ(rig_.Broken(), "");
  }
}

// R3
TEST_P(Placements, BoundBosStandOnOneOrderAStepAndPinnedOnNone) {
  BoRef bo = rig_.Make(5 * kPageSize);
  ASSERT_TRUE(rig_.Validate(bo, Tt(dma())).ok());
  EvictionOrder& tt = rig_.device().manager(MemoryType::kTt)->order();
  EvictionOrder& step1 = rig_.device().binder(dma())->order();
  const size_t in_dma = dma() == DmaType::kNone ? 0 : 1;
  EXPECT_EQ(tt.size(), 1);
  EXPECT_EQ(step1.size(), in_dma);
  for (int pins = 0; pins < 2; ++pins) {
    bo->Reserve();
    bo->Pin();
    bo->Unreserve();
    EXPECT_EQ(tt.size(), 0);
    EXPECT_EQ(step1.size(), 0);
    EXPECT_EQ(rig_.Broken(), "");
  }
  EXPECT_EQ(rig_.device().manager(MemoryType::kTt)->pinned_pages_now(), 5);
  EXPECT_EQ(rig_.device().binder(dma())->pinned_pages_now(), 5);
  for (int pins = 0; pins < 2; ++pins) {
    EXPECT_EQ(tt.size(), 0);
    bo->Reserve();
    bo->Unpin();
    bo->Unreserve();
  }
  EXPECT_EQ(tt.size(), 1);
  EXPECT_EQ(step1.size(), in_dma);
  EXPECT_EQ(rig_.device().binder(dma())->pinned_pages_now(), 0);
  for (const DmaType type : kBuiltInDmaTypes) {
    if (type != dma()) {
      EXPECT_EQ(rig_.device().binder(type)->order().size(), 0);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, Placements,
                         testing::Combine(testing::ValuesIn(kAllMachines),
                                          testing::ValuesIn(kBuiltInDmaTypes)),
                         [](const auto& info) {
                           return std::string(NameOf(std::get<0>(info.param))) +
                                  NameOf(std::get<1>(info.param));
                         });

// A DMA type from outside the library: a window of so many pages, through which
// pages are handed over.
class WindowBinder : public DmaBinder {
 public:
  WindowBinder(Machine& machine, std::unique_ptr<EvictionPolicy> policy,
               uint64_t window_pages)
      : DmaBinder("window", machine, Sharing::kSharedIfCoherent,
                  CanRunOut::kYes, std::move(policy)),
        window_(0, window_pages) {}

 private:
  BindOutcome DoBind(Pages& pages, DmaPort& port, Contents contents,
                     DmaBinding* binding) override {
    const Shortage::Kind kind = window_.Allocate(
        SpaceRequest{.size = pages.count()}, &binding->storage);
    if (kind != Shortage::Kind::kNone) {
      return {BindOutcome::Scarce::kUnit, kind};
    }
    const bool absent = !pages.present();
    const Shortage::Kind frames =
        pages.Populate(machine().memory(), port.highest_frame(),
                       contents == Contents::kKeep ? PhysicalMemory::Zero::kYes
                                                   : PhysicalMemory::Zero::kNo);
    BindOutcome outcome{BindOutcome::Scarce::kHostFrames, frames};
    if (frames == Shortage::Kind::kNone) {
      outcome = MapFrames(pages.frames(), port, binding);
      if (outcome.ok()) return outcome;
      if (absent) pages.Release(machine().memory(), machine().swap());
    }
    window_.Free(binding->storage.node);
    return outcome;
  }
  BindOutcome DoUnbind(Pages& pages, DmaBinding& binding, Contents) override {
    UnmapFrames(pages.frames(), binding);
    window_.Free(binding.storage.node);
    return {};
  }
  Shortage DoDescribe(PageCount pages, const DmaPort&,
                      BindOutcome::Scarce) const override {
    return window_.Describe(SpaceRequest{.size = pages});
  }
  bool DoWithSpace(BindOutcome::Scarce scarce, PageCount pages, DmaPort& port,
                   absl::FunctionRef<void(RangeAllocator&, const SpaceRequest&)>
                       use) override {
    if (scarce != BindOutcome::Scarce::kUnit) {
      return DmaBinder::DoWithSpace(scarce, pages, port, use);
    }
    use(window_, SpaceRequest{.size = pages});
    return true;
  }

  RangeAllocator window_;
};

class RegisteredType : public testing::TestWithParam<MachineKind> {};

// S1, S2, R1, R6, R13
TEST_P(RegisteredType, RunsOutAndEvictsAsTheBuiltInOnesDo) {
  RigOptions options = OptionsOf(GetParam());
  options.gpu.dma_mask_bits = 64;  // the window asks no more of its frames
  Rig rig(options);
  auto type = rig.device().RegisterDmaType(std::make_unique<WindowBinder>(
      rig.machine(), rig.host().MakePolicy(), 32));
  ASSERT_TRUE(type.ok());
  BoRef other = rig.Make(16 * kPageSize);
  ASSERT_TRUE(rig.Validate(other, Tt(DmaType::kCoherent)).ok());
  std::vector<BoRef> bos;
  for (int i = 0; i < 8; ++i) {
    bos.push_back(rig.Make(10 * kPageSize));
    rig.CpuFill(bos.back(), i);
    ASSERT_TRUE(rig.Validate(bos.back(), Tt(*type)).ok()) << i;
    EXPECT_TRUE(BoundThrough(rig, bos.back(), *type));
    EXPECT_EQ(rig.device().binder(*type)->bound_pages_now(),
              10 * std::min(i + 1, 3));
    EXPECT_EQ(rig.Broken(), "");
  }
  EXPECT_EQ(rig.device().binder(*type)->stats().evictions, 5);
  EXPECT_TRUE(InMemoryType(rig, other, MemoryType::kTt));
  for (int i = 0; i < 8; ++i) {
    ASSERT_TRUE(rig.Validate(bos[i], Tt(*type)).ok());
    EXPECT_EQ(rig.DeviceWrongBytes(bos[i], i), 0);
    rig.DeviceFill(bos[i], 10 + i);
    EXPECT_EQ(rig.CpuWrongBytes(bos[i], 10 + i), 0);
  }
  BoRef large = rig.Make(33 * kPageSize);
  EXPECT_EQ(KindOf(rig.Validate(large, Tt(*type))), ErrorKind::kNeverFits);
  bos.clear();
  EXPECT_EQ(rig.Broken(), "");
}

// S1: a name is taken once.
TEST_P(RegisteredType, HasANameOfItsOwn) {
  Rig rig(OptionsOf(GetParam()));
  auto make = [&] {
    return std::make_unique<WindowBinder>(rig.machine(),
                                          rig.host().MakePolicy(), 32);
  };
  ASSERT_TRUE(rig.device().RegisterDmaType(make()).ok());
  EXPECT_EQ(rig.device().RegisterDmaType(make()).status().code(),
            absl::StatusCode::kAlreadyExists);
}

INSTANTIATE_TEST_SUITE_P(All, RegisteredType, testing::ValuesIn(kAllMachines),
                         [](const auto& info) { return NameOf(info.param); });

}  // namespace
}  // namespace twostep
