// S18, R7 and the modes of an IOMMU: addresses given up with the frames in
// place, flushes that wait, passthrough, a small GART; every byte checked.

#include <set>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "tests/bo/platforms.h"

namespace twostep {
namespace {

std::vector<DmaAddress> AddressesOf(const BoRef& bo) {
  std::vector<DmaAddress> addresses;
  for (PageCount page = 0; page < bo->page_count(); ++page) {
    addresses.push_back(bo->binding().Address(bo->pages(), page));
  }
  return addresses;
}
std::vector<FrameNumber> FramesOf(const BoRef& bo) {
  return {bo->pages().frames().begin(), bo->pages().frames().end()};
}

// --- S18: bind and unbind without freeing pages ---

class GivingUp
    : public testing::TestWithParam<std::tuple<MachineKind, DmaType>> {
 protected:
  GivingUp() : rig_(OptionsOf(std::get<0>(GetParam()))) {}
  static DmaType type() { return std::get<1>(GetParam()); }
  absl::Status GiveUp(const BoRef& bo) {
    ValidateContext context;
    bo->Reserve();
    absl::Status status = rig_.device().GiveUpAddresses(*bo, &context);
    bo->Unreserve();
    return status;
  }

  Rig rig_;
};

TEST_P(GivingUp, TheAddressesGoTheFramesAndTheContentsStay) {
  BoRef bo = rig_.Make(9 * kPageSize);
  rig_.CpuFill(bo, 1);
  ASSERT_TRUE(rig_.Validate(bo, Tt(type())).ok());
  rig_.DeviceFill(bo, 2);
  const std::vector<FrameNumber> frames = FramesOf(bo);
  const std::vector<DmaAddress> addresses = AddressesOf(bo);
  ASSERT_TRUE(GiveUp(bo).ok());
  ASSERT_TRUE(GiveUp(bo).ok());  // nothing left to give up
  EXPECT_EQ(FramesOf(bo), frames);
  EXPECT_EQ(rig_.machine().domain().used_iova_pages(), 0);
  EXPECT_EQ(rig_.machine().domain().direct_pages(), 0);
  EXPECT_EQ(rig_.machine().bounce_pool().used_frames(), 0);
  EXPECT_EQ(rig_.Broken(), "");
  // The CPU has the bytes, and may change them.
  EXPECT_EQ(rig_.CpuWrongBytes(bo, 2), 0);
  rig_.CpuFill(bo, 3);
  EXPECT_EQ(FramesOf(bo), frames);
  // And the device gets them again.
  ASSERT_TRUE(rig_.Validate(bo, Tt(type())).ok());
  EXPECT_EQ(FramesOf(bo), frames);
  EXPECT_EQ(rig_.DeviceWrongBytes(bo, 3), 0);
  EXPECT_EQ(rig_.Broken(), "");
  // R7: all the while the old addresses reached nothing.
  ASSERT_TRUE(GiveUp(bo).ok());
  for (const DmaAddress address : addresses) {
    EXPECT_EQ(rig_.device().port().Resolve(address, Access::kRead), nullptr);
  }
}

TEST_P(GivingUp, WhatIsGivenUpCanStillBeEvictedMovedAndDropped) {
  std::vector<BoRef> bos;
  for (int i = 0; i < 4; ++i) {
    bos.push_back(rig_.Make(5 * kPageSize));
    rig_.CpuFill(bos[i], i);
    ASSERT_TRUE(rig_.Validate(bos[i], Tt(type())).ok());
    ASSERT_TRUE(GiveUp(bos[i]).ok());
  }
  ASSERT_TRUE(rig_.Validate(bos[0], kVram).ok());
  EXPECT_EQ(rig_.DeviceWrongBytes(bos[0], 0), 0);
  ASSERT_TRUE(rig_.Validate(bos[1], kSystem).ok());
  EXPECT_EQ(rig_.CpuWrongBytes(bos[1], 1), 0);
  EXPECT_EQ(bos[1]->binder(), nullptr);
  ASSERT_TRUE(rig_.Validate(bos[2], Placement{.dma = type()}).ok());
  if (type() != DmaType::kNone) {
    EXPECT_TRUE(bos[2]->binding().has_addresses());
  }
  EXPECT_EQ(rig_.CpuWrongBytes(bos[2], 2), 0);
  bos[3].reset();
  EXPECT_EQ(rig_.Broken(), "");
}

TEST_P(GivingUp, APinnedBoKeepsItsAddressesAndABusyOneIsWaitedFor) {
  BoRef bo = rig_.Make(5 * kPageSize);
  rig_.CpuFill(bo, 1);
  ASSERT_TRUE(rig_.Validate(bo, Tt(type())).ok());
  const std::vector<DmaAddress> addresses = AddressesOf(bo);
  rig_.Pin(bo);
  EXPECT_EQ(KindOf(GiveUp(bo)), ErrorKind::kPinned);
  EXPECT_EQ(AddressesOf(bo), addresses);
  EXPECT_EQ(rig_.DeviceWrongBytes(bo, 1), 0);
  rig_.Unpin(bo);
  const Fence work = rig_.KeepBusy(bo);
  ValidateContext hasty{.wait = {WaitLimit::Mode::kNoWait}};
  bo->Reserve();
  EXPECT_EQ(KindOf(rig_.device().GiveUpAddresses(*bo, &hasty)),
            ErrorKind::kBusy);
  bo->Unreserve();
  EXPECT_EQ(AddressesOf(bo), addresses);
  ASSERT_TRUE(GiveUp(bo).ok());
  EXPECT_TRUE(work.Signalled());
  EXPECT_EQ(rig_.Broken(), "");
}

INSTANTIATE_TEST_SUITE_P(All, GivingUp,
                         testing::Combine(testing::ValuesIn(kAllMachines),
                                          testing::ValuesIn(kBuiltInDmaTypes)),
                         [](const auto& info) {
                           return std::string(NameOf(std::get<0>(info.param))) +
                                  NameOf(std::get<1>(info.param));
                         });

// R12: the addresses that were given up are others' meanwhile, and pinned.
TEST(GivingUpIova, WithoutRoomForItsAddressesABoStaysAsItIs) {
  Rig rig(OptionsOf(MachineKind::kIommu));
  BoRef bo = rig.Make(8 * kPageSize);
  rig.CpuFill(bo, 1);
  ASSERT_TRUE(rig.Validate(bo, Tt(DmaType::kCoherent)).ok());
  ValidateContext context;
  bo->Reserve();
  ASSERT_TRUE(rig.device().GiveUpAddresses(*bo, &context).ok());
  bo->Unreserve();
  const uint64_t free = rig.machine().domain().iova_pages();
  BoRef others = rig.Make(PagesToBytes(free - 7));
  ASSERT_TRUE(rig.Validate(others, Tt(DmaType::kDynamic)).ok());
  rig.Pin(others);
  const std::vector<FrameNumber> frames = FramesOf(bo);
  const Accounts accounts = AccountsOf(rig);
  const absl::Status status = rig.Validate(bo, Tt(DmaType::kCoherent));
  EXPECT_EQ(KindOf(status), ErrorKind::kCannotFit) << status;
  EXPECT_EQ(FramesOf(bo), frames);
  EXPECT_EQ(AccountsOf(rig), accounts);
  EXPECT_EQ(rig.CpuWrongBytes(bo, 1), 0);
  EXPECT_EQ(rig.Broken(), "");
  // One that can be evicted makes room.
  rig.Unpin(others);
  ASSERT_TRUE(rig.Validate(bo, Tt(DmaType::kCoherent)).ok());
  EXPECT_EQ(FramesOf(bo), frames);
  EXPECT_EQ(rig.DeviceWrongBytes(bo, 1), 0);
  EXPECT_EQ(rig.Broken(), "");
}

// --- R7: the flush queue ---

TEST(FlushQueue, AnUnmappedAddressFaultsAndIsNobodysUntilTheFlush) {
  RigOptions options = OptionsOf(MachineKind::kIommu);
  options.machine.iommu.flush_queue = 4;
  Rig rig(options);
  DmaDomain& domain = rig.machine().domain();
  std::set<DmaAddress> waiting;
  uint64_t flushes = 0;
  for (int i = 0; i < 23; ++i) {
    BoRef bo = rig.Make(3 * kPageSize);
    rig.CpuFill(bo, i);
    ASSERT_TRUE(rig.Validate(bo, Tt(DmaType::kDynamic)).ok());
    if (domain.flushes() != flushes) waiting.clear();
    flushes = domain.flushes();
    EXPECT_EQ(rig.DeviceWrongBytes(bo, i), 0);
    const std::vector<DmaAddress> addresses = AddressesOf(bo);
    for (const DmaAddress address : addresses) {
      EXPECT_FALSE(waiting.contains(address)) << i;
    }
    ASSERT_TRUE(rig.Validate(bo, kSystem).ok());
    for (const DmaAddress address : addresses) {
      EXPECT_EQ(domain.Translate(address), kNoFrame);
    }
    if (domain.flushes() != flushes) {
      waiting.clear();
    } else {
      waiting.insert(addresses.begin(), addresses.end());
    }
    flushes = domain.flushes();
    EXPECT_EQ(domain.used_iova_pages(), 0);
    EXPECT_EQ(domain.queued_iova_pages(), waiting.size());
    EXPECT_EQ(rig.CpuWrongBytes(bo, i), 0);
    EXPECT_EQ(rig.Broken(), "");
  }
  // One for each five.
  EXPECT_EQ(domain.flushes(), 23 / 5);
}

// What waits is no reason to evict anybody, let alone to fail.
TEST(FlushQueue, ASpaceThatIsShortIsFlushedBeforeAnybodyIsEvicted) {
  RigOptions options = OptionsOf(MachineKind::kIommu);
  options.machine.iommu.flush_queue = 1000;
  options.machine.iommu.iova_bytes = 32 * kPageSize;
  Rig rig(options);
  DmaDomain& domain = rig.machine().domain();
  BoRef kept = rig.Make(8 * kPageSize);
  rig.CpuFill(kept, 100);
  ASSERT_TRUE(rig.Validate(kept, Tt(DmaType::kDynamic)).ok());
  for (int i = 0; i < 20; ++i) {
    BoRef bo = rig.Make((1 + i) * kPageSize);
    rig.CpuFill(bo, i);
    ASSERT_TRUE(rig.Validate(bo, Tt(DmaType::kDynamic)).ok()) << i;
    EXPECT_EQ(rig.DeviceWrongBytes(bo, i), 0);
    ASSERT_TRUE(rig.Validate(bo, kSystem).ok());
  }
  EXPECT_GT(domain.flushes(), 0);
  EXPECT_LT(domain.flushes(), 20);
  EXPECT_EQ(rig.device().binder(DmaType::kDynamic)->stats().evictions, 0);
  EXPECT_EQ(rig.DeviceWrongBytes(kept, 100), 0);
  // And where somebody must go, what waits counts as a hole.
  BoRef all = rig.Make(32 * kPageSize);
  rig.CpuFill(all, 200);
  ASSERT_TRUE(rig.Validate(all, Tt(DmaType::kDynamic)).ok());
  EXPECT_EQ(rig.device().binder(DmaType::kDynamic)->stats().evictions, 1);
  EXPECT_EQ(rig.DeviceWrongBytes(all, 200), 0);
  EXPECT_EQ(rig.CpuWrongBytes(kept, 100), 0);
  EXPECT_EQ(rig.Broken(), "");
}

TEST(FlushQueue, WaitingSavesTheTimeOfTheFlushes) {
  const auto time_with = [](uint32_t queue) {
    RigOptions options = OptionsOf(MachineKind::kIommu);
    options.machine.iommu.flush_queue = queue;
    Rig rig(options);
    BoRef bo = rig.Make(kPageSize);
    rig.CpuFill(bo, 1);
    const uint64_t start = rig.machine().clock().now_ns();
    for (int i = 0; i < 64; ++i) {
      EXPECT_TRUE(rig.Validate(bo, Tt(DmaType::kDynamic)).ok());
      EXPECT_TRUE(rig.Validate(bo, kSystem).ok());
    }
    return rig.machine().clock().now_ns() - start;
  };
  const uint64_t flush_ns = CostModel{}.unmap_ns;
  EXPECT_EQ(time_with(0) - time_with(15), (64 - 4) * flush_ns);
}

// --- Modes ---

TEST(IdentityMode, AddressesArePhysicalAndUnmappedOnesFault) {
  RigOptions options = RigOptions::Small(IommuMode::kIdentity);
  Rig rig(options);
  BoRef bo = rig.Make(5 * kPageSize);
  rig.CpuFill(bo, 1);
  ASSERT_TRUE(rig.Validate(bo, Tt(DmaType::kDynamic)).ok());
  const std::vector<DmaAddress> addresses = AddressesOf(bo);
  for (PageCount page = 0; page < 5; ++page) {
    EXPECT_EQ(addresses[page], PagesToBytes(bo->pages().frames()[page]));
  }
  EXPECT_EQ(rig.DeviceWrongBytes(bo, 1), 0);
  EXPECT_EQ(rig.machine().domain().used_iova_pages(), 0);
  EXPECT_EQ(rig.Broken(), "");
  ASSERT_TRUE(rig.Validate(bo, kSystem).ok());
  for (const DmaAddress address : addresses) {
    EXPECT_EQ(rig.device().port().Resolve(address, Access::kRead), nullptr);
  }
}

RigOptions Gart() {
  RigOptions options = RigOptions::Small(IommuMode::kGart);
  options.machine.iommu.iova_base = 3 * kGiB;
  options.machine.iommu.iova_bytes = 64 * kPageSize;
  options.machine.normal_bytes = 128 * kPageSize;
  options.gpu.dma_mask_bits = 32;
  return options;
}

// What the device reaches goes straight; the rest through the aperture.
TEST(Gart, TheApertureIsForWhatLiesBeyondTheMask) {
  Rig rig(Gart());
  DmaDomain& domain = rig.machine().domain();
  std::vector<BoRef> bos;
  uint64_t through = 0;
  for (int i = 0; i < 20; ++i) {
    bos.push_back(rig.Make(8 * kPageSize));
    rig.CpuFill(bos[i], i);
    ASSERT_TRUE(rig.Validate(bos[i], Tt(DmaType::kDynamic)).ok());
    EXPECT_EQ(rig.DeviceWrongBytes(bos[i], i), 0);
    const bool high = bos[i]->pages().frames()[0] >= kNormalZoneFirstFrame;
    const DmaAddress address = AddressesOf(bos[i])[0];
    EXPECT_EQ(address >= 3 * kGiB && address < 4 * kGiB, high);
    through += high;
    EXPECT_EQ(rig.Broken(), "");
  }
  // 16 of them lie above, 8 at a time fit into the aperture: the others of
  // those were evicted for each other, and nobody else.
  EXPECT_EQ(through, 16);
  EXPECT_EQ(rig.device().binder(DmaType::kDynamic)->stats().evictions, 8);
  EXPECT_EQ(domain.used_iova_pages(), 64);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(rig.CpuWrongBytes(bos[i], i), 0);
  EXPECT_EQ(rig.machine().bounce_pool().used_frames(), 0);
}

// And for what a device wants in one piece.
TEST(Gart, TheApertureMakesNeighboursOfScatteredFrames) {
  RigOptions options = Gart();
  options.gpu.dma_mask_bits = 40;
  options.gpu.segments.max_segments = 1;
  Rig rig(options);
  std::vector<BoRef> holes;
  for (int i = 0; i < 32; ++i) {
    holes.push_back(rig.Make(kPageSize));
    rig.CpuFill(holes.back(), i);
  }
  for (int i = 0; i < 32; i += 2) holes[i].reset();
  BoRef straight = rig.Make(kPageSize);
  rig.CpuFill(straight, 1);
  BoRef scattered = rig.Make(10 * kPageSize);
  rig.CpuFill(scattered, 2);
  ASSERT_TRUE(rig.Validate(straight, Tt(DmaType::kDynamic)).ok());
  EXPECT_EQ(rig.machine().domain().used_iova_pages(), 0);
  ASSERT_TRUE(rig.Validate(scattered, Tt(DmaType::kDynamic)).ok());
  EXPECT_EQ(rig.machine().domain().used_iova_pages(), 10);
  EXPECT_EQ(scattered->binding().Segments(scattered->pages()).size(), 1);
  EXPECT_EQ(rig.DeviceWrongBytes(straight, 1), 0);
  EXPECT_EQ(rig.DeviceWrongBytes(scattered, 2), 0);
  EXPECT_EQ(rig.Broken(), "");
}

}  // namespace
}  // namespace twostep
