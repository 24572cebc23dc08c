// What runs out is served by evicting: who goes, what is undone in which order,
// and that nobody else notices.

#include <tuple>

#include "tests/bo/platforms.h"

namespace twostep {
namespace {

// A resource of step 1 that can run out.
enum class Scarce { kIova, kBouncePages, kCoherentPool, kCmaArea };
constexpr Scarce kAllScarce[] = {Scarce::kIova, Scarce::kBouncePages,
                                 Scarce::kCoherentPool, Scarce::kCmaArea};

const char* NameOf(Scarce scarce) {
  static constexpr const char* kNames[] = {"Iova", "BouncePages",
                                           "CoherentPool", "CmaArea"};
  return kNames[static_cast<size_t>(scarce)];
}
DmaType TypeOf(Scarce scarce) {
  return scarce == Scarce::kCoherentPool ? DmaType::kCoherent
         : scarce == Scarce::kCmaArea    ? DmaType::kCma
                                         : DmaType::kDynamic;
}

constexpr PageCount kPages = 16;      // a bo
constexpr PageCount kCapacity = 128;  // the resource: eight of them

class Exhaustion : public testing::TestWithParam<Scarce> {
 protected:
  static RigOptions Options(Scarce scarce, DeviceHooks* hooks) {
    RigOptions options = OptionsOf(
        scarce == Scarce::kIova ? MachineKind::kIommu : MachineKind::kSwiotlb);
    const uint64_t bytes = PagesToBytes(kCapacity);
    // Others have more than they need.
    if (scarce == Scarce::kIova) {
      options.machine.iommu.iova_bytes = PagesToBytes(kCapacity + 2 * kPages);
    }
    if (scarce == Scarce::kBouncePages) options.machine.swiotlb.bytes = bytes;
    if (scarce == Scarce::kCoherentPool) options.machine.coherent_bytes = bytes;
    if (scarce == Scarce::kCmaArea) options.machine.cma_bytes = bytes;
    options.hooks = hooks;
    return options;
  }
  DmaType dma() const { return TypeOf(GetParam()); }
  DmaBinder& binder() { return *rig_.device().binder(dma()); }

  // Bos of the other types, older than all that follow.
  std::vector<BoRef> MakeOthers() {
    std::vector<BoRef> others;
    for (const DmaType type : kBuiltInDmaTypes) {
      if (type == dma()) continue;
      others.push_back(rig_.Make(PagesToBytes(kPages)));
      rig_.CpuFill(others.back(), 100 + others.size());
      EXPECT_TRUE(rig_.Validate(others.back(), Tt(type)).ok());
    }
    return others;
  }
  // As many as the resource holds.
  std::vector<BoRef> FillUp() {
    std::vector<BoRef> bos;
    for (uint64_t i = 0; i < kCapacity / kPages; ++i) {
      bos.push_back(rig_.Make(PagesToBytes(kPages)));
      rig_.CpuFill(bos.back(), i);
      EXPECT_TRUE(rig_.Validate(bos.back(), Tt(dma())).ok());
    }
    EXPECT_EQ(binder().stats().evictions, 0);
    return bos;
  }

  RecordingHooks hooks_;
  Rig rig_{Options(GetParam(), &hooks_)};
};

// S2, S15, R2, R6, R13
TEST_P(Exhaustion, OneMoreBoTakesThePlaceOfTheOneUsedLeastRecently) {
  const std::vector<BoRef> others = MakeOthers();
  std::vector<BoRef> bos = FillUp();
  rig_.DeviceFill(bos[1], 50);
  // The first is used last: the second is the one to go.
  for (const size_t i : {1, 2, 3, 4, 5, 6, 7, 0}) {
    ASSERT_TRUE(rig_.Validate(bos[i], Tt(dma())).ok());
  }
  std::vector<std::string> others_before;
  for (const BoRef& other : others) others_before.push_back(WhereIs(other));

  BoRef more = rig_.Make(PagesToBytes(kPages));
  rig_.CpuFill(more, 60);
  ASSERT_TRUE(rig_.Validate(more, Tt(dma())).ok());
  EXPECT_EQ(rig_.DeviceWrongBytes(more, 60), 0);

  EXPECT_EQ(binder().stats().evictions, 1);
  EXPECT_EQ(WhereIs(bos[1]), "unbound + system, frames");
  EXPECT_EQ(rig_.CpuWrongBytes(bos[1], 50), 0);
  for (size_t i = 0; i < bos.size(); ++i) {
    if (i == 1) continue;
    EXPECT_TRUE(BoundThrough(rig_, bos[i], dma())) << i;
    EXPECT_EQ(rig_.DeviceWrongBytes(bos[i], i), 0) << i;
  }
  for (size_t i = 0; i < others.size(); ++i) {
    EXPECT_EQ(WhereIs(others[i]), others_before[i]);
    EXPECT_EQ(rig_.DeviceWrongBytes(others[i], 101 + i), 0);
  }
  EXPECT_EQ(rig_.Broken(), "");
}

// S2, R3
TEST_P(Exhaustion, PinnedBosStay) {
  std::vector<BoRef> bos = FillUp();
  for (const size_t pinned : {0, 1, 2}) {
    bos[pinned]->Reserve();
    bos[pinned]->Pin();
    bos[pinned]->Unreserve();
  }
  BoRef more = rig_.Make(PagesToBytes(kPages));
  std::vector<BoRef> filler;
  if (GetParam() == Scarce::kIova) {  // which others share
    for (int i = 0; i < 2; ++i) {
      filler.push_back(rig_.Make(PagesToBytes(kPages)));
      ASSERT_TRUE(rig_.Validate(filler.back(), Tt(dma())).ok());
    }
  }
  ASSERT_TRUE(rig_.Validate(more, Tt(dma())).ok());
  for (const size_t pinned : {0, 1, 2}) {
    EXPECT_TRUE(BoundThrough(rig_, bos[pinned], dma()));
    EXPECT_EQ(rig_.DeviceWrongBytes(bos[pinned], pinned), 0);
  }
  EXPECT_EQ(WhereIs(bos[3]), "unbound + system, frames");
  for (BoRef& bo : bos) {
    if (bo->pinned() || bo->binder() == nullptr) continue;
    bo->Reserve();
    bo->Pin();
    bo->Unreserve();
  }
  for (BoRef& bo : filler) bo->Reserve(), bo->Pin(), bo->Unreserve();
  // Only `more` could go now, and that is not enough for two.
  BoRef large = rig_.Make(PagesToBytes(2 * kPages));
  const absl::Status status = rig_.Validate(large, Tt(dma()));
  EXPECT_EQ(KindOf(status), ErrorKind::kCannotFit) << status;
  EXPECT_NE(status.message().find("pinned"), absl::string_view::npos) << status;
  EXPECT_EQ(rig_.Broken(), "");
  for (BoRef& bo : bos) {
    if (bo->pinned()) bo->Reserve(), bo->Unpin(), bo->Unreserve();
  }
  for (BoRef& bo : filler) bo->Reserve(), bo->Unpin(), bo->Unreserve();
}

// S3, R2: the GPU lets go first, then the DMA binding goes.
TEST_P(Exhaustion, DmaEvictionUndoesTheGpuBindingFirst) {
  std::vector<BoRef> filler;
  if (GetParam() == Scarce::kIova) {
    filler.push_back(rig_.Make(PagesToBytes(2 * kPages)));
    ASSERT_TRUE(rig_.Validate(filler[0], Tt(dma())).ok());
    filler[0]->Reserve();
    filler[0]->Pin();
    filler[0]->Unreserve();
  }
  std::vector<BoRef> bos = FillUp();
  BoRef more = rig_.Make(PagesToBytes(kPages));
  hooks_.log.clear();
  bool seen_by_gpu = true;
  hooks_.on_event = [&](const BufferObject& bo, BoEvent event) {
    if (&bo != bos[0].get()) return;
    // What has happened is to be seen already, what has not is not.
    if (event == BoEvent::kGpuUnbound) {
      EXPECT_EQ(rig_.device()
                    .manager(MemoryType::kTt)
                    ->aperture()
                    ->Get(bo.start_page()),
                kNoDmaAddress);
      EXPECT_NE(bo.binder(), nullptr);
      seen_by_gpu = false;
    }
    if (event == BoEvent::kDmaUnbound) {
      EXPECT_FALSE(seen_by_gpu);
      EXPECT_EQ(bo.binder(), nullptr);
    }
  };
  ASSERT_TRUE(rig_.Validate(more, Tt(dma())).ok());
  hooks_.on_event = nullptr;
  EXPECT_EQ(hooks_.log, Lines({{&bos[0], "gpu unbound"},
                               {&bos[0], "dma unbound"},
                               {&more, "dma bound"},
                               {&more, "gpu bound"}}));
  for (BoRef& bo : filler) bo->Reserve(), bo->Unpin(), bo->Unreserve();
}

// S4, S2, R6: those that were moved in are copied back, at a cost.
TEST_P(Exhaustion, VictimsWithMemoryOfTheirOwnAreCopiedToFrames) {
  const bool own = dma() != DmaType::kDynamic;
  std::vector<BoRef> bos = FillUp();
  rig_.DeviceFill(bos[0], 70);
  for (const BoRef& bo : bos) ASSERT_TRUE(rig_.Validate(bo, Tt(dma())).ok());
  const uint64_t before_ns = rig_.machine().clock().now_ns();
  std::vector<BoRef> more;
  for (int i = 0; i < 2; ++i) {
    more.push_back(rig_.Make(PagesToBytes(kPages)));
    ASSERT_TRUE(rig_.Validate(more.back(), Tt(dma())).ok());
  }
  if (GetParam() != Scarce::kIova) {
    EXPECT_EQ(binder().stats().copied_back_bytes,
              own ? 2 * PagesToBytes(kPages) : 0);
    EXPECT_EQ(bos[0]->pages().home(), Pages::Home::kMemory);
    EXPECT_EQ(rig_.host().stats().swap_out_bytes, 0);
  }
  if (own) {
    EXPECT_GE(rig_.machine().clock().now_ns() - before_ns,
              TransferNs(2 * PagesToBytes(kPages),
                         rig_.machine().cost().cpu_copy_mib_per_s));
  }
  EXPECT_EQ(rig_.CpuWrongBytes(bos[0], 70), 0);
  EXPECT_EQ(rig_.CpuWrongBytes(bos[1], 1), 0);
  ASSERT_TRUE(rig_.Validate(bos[0], Tt(dma())).ok());
  EXPECT_EQ(rig_.DeviceWrongBytes(bos[0], 70), 0);
  EXPECT_EQ(rig_.Broken(), "");
}

// S4: there is no room for the copies but by swapping others out.
TEST_P(Exhaustion, CopyingBackSwapsOthersOutWhereFramesAreShort) {
  std::vector<BoRef> bos = FillUp();
  std::vector<BoRef> hoard;
  const auto free = [&] {
    return rig_.machine().memory().free_frames(kNoFrame - 1);
  };
  while (free() >= kPages) {
    hoard.push_back(rig_.Make(PagesToBytes(
        std::min<uint64_t>(free() - free() % kPages, 16 * kPages))));
    rig_.CpuFill(hoard.back(), 200 + hoard.size());
  }
  for (int i = 0; i < 3; ++i) {
    BoRef more = rig_.Make(PagesToBytes(kPages));
    ASSERT_TRUE(rig_.Validate(more, Tt(dma())).ok());
    hoard.push_back(more);
    rig_.CpuFill(more, 200 + hoard.size());
    EXPECT_EQ(rig_.Broken(), "");
  }
  EXPECT_GT(rig_.host().stats().swap_out_bytes, 0);
  for (size_t i = 0; i < bos.size(); ++i) {
    EXPECT_EQ(rig_.CpuWrongBytes(bos[i], i), 0);
  }
  for (size_t i = 0; i < hoard.size(); ++i) {
    EXPECT_EQ(rig_.CpuWrongBytes(hoard[i], 201 + i), 0);
  }
}

INSTANTIATE_TEST_SUITE_P(All, Exhaustion, testing::ValuesIn(kAllScarce),
                         [](const auto& info) { return NameOf(info.param); });

// S2: only bos that hold bounce pages are worth evicting for bounce pages.
TEST(BouncePages, ABoThatDoesNotBounceIsNotEvictedForThem) {
  RigOptions options = OptionsOf(MachineKind::kSwiotlb);
  options.machine.swiotlb.forced = false;  // only frames above 4 GiB bounce
  options.machine.normal_bytes = 64 * kPageSize;
  options.machine.swiotlb.bytes = 32 * kPageSize;
  Rig rig(options);
  std::vector<BoRef> high;
  for (int i = 0; i < 4; ++i) {
    high.push_back(rig.Make(16 * kPageSize));
    rig.CpuFill(high.back(), i);
  }
  BoRef low = rig.Make(16 * kPageSize);
  rig.CpuFill(low, 10);
  ASSERT_TRUE(rig.Validate(low, Tt(DmaType::kDynamic)).ok());
  ASSERT_EQ(rig.machine().bounce_pool().used_frames(), 0);
  for (int i = 0; i < 4; ++i) {
    ASSERT_TRUE(rig.Validate(high[i], Tt(DmaType::kDynamic)).ok());
    EXPECT_EQ(rig.DeviceWrongBytes(high[i], i), 0);
  }
  EXPECT_TRUE(BoundThrough(rig, low, DmaType::kDynamic));
  EXPECT_EQ(rig.device().binder(DmaType::kDynamic)->stats().evictions, 2);
  EXPECT_EQ(rig.Broken(), "");
}

class GpuEviction
    : public testing::TestWithParam<std::tuple<MachineKind, DmaType>> {
 protected:
  static RigOptions Options(MachineKind kind, DeviceHooks* hooks) {
    RigOptions options = OptionsOf(kind);
    options.gpu.aperture_bytes = 32 * kPageSize;
    options.hooks = hooks;
    return options;
  }
  DmaType dma() const { return std::get<1>(GetParam()); }

  RecordingHooks hooks_;
  Rig rig_{Options(std::get<0>(GetParam()), &hooks_)};
};

// S3, R2: the aperture is short, not step 1, which stays as it is.
TEST_P(GpuEviction, LeavesTheDmaBindingAlone) {
  BoRef first = rig_.Make(32 * kPageSize);
  rig_.CpuFill(first, 1);
  ASSERT_TRUE(rig_.Validate(first, Tt(dma())).ok());
  rig_.DeviceFill(first, 2);
  std::vector<DmaAddress> addresses;
  for (PageCount page = 0; page < first->page_count(); ++page) {
    addresses.push_back(first->binding().Address(first->pages(), page));
  }
  BoRef second = rig_.Make(32 * kPageSize);
  rig_.CpuFill(second, 3);
  hooks_.log.clear();
  ASSERT_TRUE(rig_.Validate(second, Tt(dma())).ok());
  EXPECT_EQ(hooks_.log, Lines({{&first, "gpu unbound"},
                               {&second, "dma bound"},
                               {&second, "gpu bound"}}));
  EXPECT_TRUE(BoundThrough(rig_, first, dma()));
  EXPECT_EQ(rig_.device().manager(MemoryType::kTt)->evictions(), 1);
  EXPECT_EQ(rig_.device().binder(dma())->stats().evictions, 0);
  for (PageCount page = 0; page < first->page_count(); ++page) {
    EXPECT_EQ(first->binding().Address(first->pages(), page), addresses[page]);
    EXPECT_NE(rig_.device().port().Resolve(addresses[page], Access::kRead),
              nullptr);
  }
  EXPECT_EQ(rig_.Broken(), "");
  // Back again is step 2 alone.
  hooks_.log.clear();
  ASSERT_TRUE(rig_.Validate(first, Tt(dma())).ok());
  EXPECT_EQ(hooks_.log,
            Lines({{&second, "gpu unbound"}, {&first, "gpu bound"}}));
  EXPECT_EQ(rig_.DeviceWrongBytes(first, 2), 0);
}

// R2: every step is undone once, in order, also where nobody is evicted.
TEST_P(GpuEviction, LeavingTheDeviceUndoesEachStepOnce) {
  BoRef bo = rig_.Make(4 * kPageSize);
  ASSERT_TRUE(rig_.Validate(bo, Tt(dma())).ok());
  hooks_.log.clear();
  ASSERT_TRUE(rig_.Validate(bo, kSystem).ok());
  EXPECT_EQ(hooks_.log, Lines({{&bo, "gpu unbound"}, {&bo, "dma unbound"}}));
}

// S3: VRAM that is evicted goes where the driver says.
TEST_P(GpuEviction, OfVramGoesToAPlaceOfTheDriversChoice) {
  hooks_.evict_to = {Tt(dma())};
  BoRef first = rig_.Make(kMiB / 2);
  rig_.CpuFill(first, 1);
  std::vector<BoRef> small;
  for (int i = 0; i < 3; ++i) {
    small.push_back(rig_.Make(16 * kPageSize));
    rig_.CpuFill(small.back(), 10 + i);
    ASSERT_TRUE(rig_.Validate(small.back(), kVram).ok());
  }
  BoRef large = rig_.Make(kMiB - 16 * kPageSize);
  ASSERT_TRUE(rig_.Validate(large, kVram).ok());
  int evicted = 0;
  for (int i = 0; i < 3; ++i) {
    if (InMemoryType(rig_, small[i], MemoryType::kTt)) {
      ++evicted;
      EXPECT_TRUE(BoundThrough(rig_, small[i], dma()));
      EXPECT_EQ(rig_.DeviceWrongBytes(small[i], 10 + i), 0);
    }
    EXPECT_EQ(rig_.CpuWrongBytes(small[i], 10 + i), 0);
  }
  EXPECT_EQ(evicted, 2);
  EXPECT_EQ(rig_.Broken(), "");
}

INSTANTIATE_TEST_SUITE_P(All, GpuEviction,
                         testing::Combine(testing::ValuesIn(kAllMachines),
                                          testing::ValuesIn(kBuiltInDmaTypes)),
                         [](const auto& info) {
                           return std::string(NameOf(std::get<0>(info.param))) +
                                  NameOf(std::get<1>(info.param));
                         });

}  // namespace
}  // namespace twostep
