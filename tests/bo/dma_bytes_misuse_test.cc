// Wrong uses of DMA that no call shows, only bytes and accesses; each caught
// once and by its name.

#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "tests/bo/dma_misuse_rig.h"

namespace twostep {
namespace {

using Kind = DmaMisuse::Kind;
using testing::HasSubstr;

TEST(DmaMisuse, TheCpuWritesToAPageThatTheDeviceHas) {
  for (const MachineKind kind :
       {MachineKind::kNonCoherent, MachineKind::kSwiotlb}) {
    SCOPED_TRACE(NameOf(kind));
    DmaMisuseOf with(Checked(kind));
    with.mapper = "mapped by dynamic";
    BoRef bo = with.rig.Make(4 * kPageSize);
    with.rig.CpuFill(bo, 1);
    ASSERT_TRUE(with.rig.Validate(bo, Tt(DmaType::kDynamic)).ok());
    with.rig.machine().memory().CpuBytes(bo->pages().frames()[2])[7] ^=
        std::byte{1};
    with.Unbind(bo);
    EXPECT_THAT(with.All(), HasSubstr("page 2 of 4"));
    with.ExpectOne(Kind::kCpuTouchedDevicesPage, bo);
  }
}

TEST(DmaMisuse, TheDeviceTouchesAPageThatTheCpuHas) {
  for (const MachineKind kind : {MachineKind::kIommu, MachineKind::kSwiotlb}) {
    SCOPED_TRACE(NameOf(kind));
    DmaMisuseOf with(Checked(kind));
    with.mapper = "mapped by dynamic";
    BoRef bo = with.rig.Make(4 * kPageSize);
    ASSERT_TRUE(with.rig.Validate(bo, Tt(DmaType::kDynamic)).ok());
    auto mapping = *CpuMapping::Create(bo);
    ASSERT_TRUE(mapping->Touch(PageRange{2, 1}, Access::kWrite).ok());
    with.rig.DevicePage(bo, 1, Access::kWrite);
    EXPECT_EQ(with.All(), "");
    with.rig.DevicePage(bo, 2, Access::kRead);
    with.rig.DevicePage(bo, 2, Access::kWrite);
    EXPECT_THAT(with.All(), HasSubstr("page 2 of 4"));
    with.ExpectOne(Kind::kDeviceTouchedCpusPage, bo);
    // Handed back, it is the device's again.
    ASSERT_TRUE(with.rig.Validate(bo, Tt(DmaType::kDynamic)).ok());
    with.rig.DevicePage(bo, 2, Access::kWrite);
    EXPECT_EQ(with.All(), "");
  }
}

TEST(DmaMisuse, TheDeviceWritesWhatItMayOnlyRead) {
  DmaMisuseOf with(MachineKind::kIommu);
  with.binder->direction = DmaDirection::kToDevice;
  BoRef bo = with.MakeBound();
  with.rig.DevicePage(bo, 3, Access::kRead);
  EXPECT_EQ(with.All(), "");
  with.rig.DevicePage(bo, 3, Access::kWrite);
  EXPECT_THAT(with.All(), HasSubstr("page 3 of 4"));
  with.ExpectOne(Kind::kDeviceWroteReadOnly, bo);
}

TEST(DmaMisuse, ASyncThatForgetsAPageLeavesStaleBytes) {
  DmaMisuseOf with(MachineKind::kNonCoherent);
  BoRef bo = with.MakeBound();
  with.rig.DeviceFill(bo, 2);
  const auto forget = [&](DmaBinder::Sync which) {
    with.binder->sync = [&with, which](Pages& pages, DmaBinding& binding,
                                       ByteRange bytes, DmaBinder::Sync to) {
      if (to == which && bytes.count > kPageSize) bytes.count -= kPageSize;
      with.binder->SoundSync(pages, binding, bytes, to);
    };
  };
  forget(kForCpu);
  with.Unbind(bo);
  EXPECT_THAT(with.All(), HasSubstr("the CPU would read old bytes"));
  EXPECT_THAT(with.All(), HasSubstr("page 3 of 4"));
  with.ExpectOne(Kind::kStaleAfterSync, bo);
  forget(kForDevice);
  with.rig.CpuFill(bo, 3);
  ASSERT_TRUE(with.rig.Validate(bo, Tt(with.type)).ok());
  EXPECT_THAT(with.All(), HasSubstr("the device would read old bytes"));
  with.ExpectOne(Kind::kStaleAfterSync, bo);
}

TEST(DmaMisuse, ASyncOfTheNextPageInstead) {
  DmaMisuseOf with(MachineKind::kNonCoherent);
  BoRef bo = with.MakeBound();
  with.rig.DeviceFill(bo, 2);
  with.binder->sync = [&](Pages& pages, DmaBinding& binding, ByteRange bytes,
                          DmaBinder::Sync to) {
    bytes.first += kPageSize;
    with.binder->SoundSync(pages, binding, bytes, to);
  };
  auto mapping = *CpuMapping::Create(bo);
  ASSERT_TRUE(mapping->Touch(PageRange{1, 1}, Access::kRead).ok());
  EXPECT_THAT(with.All(), HasSubstr("page 2 of 4"));
  with.ExpectOne(Kind::kSyncOfWrongPart, bo);
  with.binder->sync = nullptr;
}

TEST(DmaMisuse, ASyncOfOtherBytesOfAPage) {
  DmaMisuseOf with(MachineKind::kNonCoherent);
  BoRef bo = with.MakeBound();
  auto mapping = *CpuMapping::Create(bo);
  ASSERT_TRUE(mapping->Touch(PageRange{0, 1}, Access::kWrite).ok());
  mapping->data()[70] ^= std::byte{1};
  with.binder->sync = [&](Pages& pages, DmaBinding& binding, ByteRange bytes,
                          DmaBinder::Sync to) {
    bytes.first += kCacheLineSize;
    with.binder->SoundSync(pages, binding, bytes, to);
  };
  ASSERT_TRUE(CpuMapping::SyncBytes(*bo, {64, 64}, kForDevice).ok());
  with.ExpectOne(Kind::kSyncOfWrongPart, bo);
  with.binder->sync = nullptr;
}

// Bounce pages of its own, for every page.
void BounceAll(DmaMisuseOf& with) {
  with.binder->bind = [&](Pages& pages, DmaPort& port, DmaBinding* binding) {
    binding->bounce = std::make_unique<BouncePages>(pages.count());
    const std::span<FrameNumber> bounce(binding->bounce->frames.get(),
                                        pages.count());
    EXPECT_EQ(with.rig.machine().memory().Allocate(bounce, kNoFrame - 1,
                                                   PhysicalMemory::Zero::kYes),
              Shortage::Kind::kNone);
    const BindOutcome outcome = with.binder->MapFrames(bounce, port, binding);
    binding->addressing = DmaBinding::Addressing::kBounced;
    return outcome;
  };
  with.binder->unbind = [&](Pages& pages, DmaBinding& binding) {
    const std::span<FrameNumber> bounce(binding.bounce->frames.get(),
                                        pages.count());
    with.binder->Unmap(bounce, binding);
    with.rig.machine().memory().Free(bounce);
  };
}

TEST(DmaMisuse, BounceDataIsLostByASyncThatDoesNotCopyBack) {
  DmaMisuseOf with(MachineKind::kBareMetal);
  BounceAll(with);
  with.binder->sync = [&](Pages& pages, DmaBinding& binding, ByteRange bytes,
                          DmaBinder::Sync to) {
    if (to == kForCpu) return;
    PhysicalMemory& memory = with.rig.machine().memory();
    for (PageCount page = 0; page < pages.count(); ++page) {
      std::memcpy(memory.CpuBytes((*binding.bounce)[page]),
                  memory.CpuBytes(pages.frames()[page]), kPageSize);
    }
    EXPECT_EQ(bytes.count, PagesToBytes(pages.count()));
  };
  BoRef bo = with.MakeBound();
  with.rig.DeviceFill(bo, 2);
  EXPECT_EQ(with.All(), "");
  with.Unbind(bo);
  with.ExpectOne(Kind::kBounceDataLost, bo);
}

TEST(DmaMisuse, BounceDataIsLostByATypeThatSaysThatItShares) {
  DmaMisuseOf with(Checked(MachineKind::kBareMetal),
                   DmaBinder::Sharing::kShared);
  BounceAll(with);
  BoRef bo = with.MakeBound();
  with.rig.DeviceFill(bo, 2);
  EXPECT_EQ(with.All(), "");
  with.Unbind(bo);
  with.ExpectOne(Kind::kBounceDataLost, bo);
}

TEST(DmaMisuse, UsingAnAddressAfterItsUnbind) {
  for (const MachineKind kind : {MachineKind::kIommu, MachineKind::kSwiotlb}) {
    SCOPED_TRACE(NameOf(kind));
    DmaMisuseOf with(Checked(kind));
    with.mapper = "mapped by dynamic";
    BoRef bo = with.rig.Make(4 * kPageSize);
    ASSERT_TRUE(with.rig.Validate(bo, Tt(DmaType::kDynamic)).ok());
    const DmaAddress address = bo->binding().Address(bo->pages(), 3);
    with.Unbind(bo);
    EXPECT_EQ(with.rig.device().port().Resolve(address, Access::kRead),
              nullptr);
    EXPECT_EQ(with.rig.device().port().Resolve(address, Access::kRead),
              nullptr);
    EXPECT_THAT(with.All(), HasSubstr("page 3 of 4"));
    with.ExpectOne(Kind::kUseAfterUnmap, bo);
  }
}

TEST(DmaMisuse, PuttingAnAddressOnTheBusThatIsBeyondTheMask) {
  DmaMisuseOf with(MachineKind::kSwiotlb);
  with.rig.device().port().Resolve(DmaAddress{1} << 32, Access::kWrite);
  ASSERT_EQ(with.rig.misuses().size(), 1u) << with.All();
  EXPECT_EQ(with.rig.misuses()[0].dma, Kind::kBeyondMask);
  EXPECT_THAT(with.All(), HasSubstr("gpu0 writes 0x100000000"));
  with.rig.misuses().clear();
}

TEST(DmaMisuse, BindingBeyondTheMask) {
  RigOptions options = Checked(MachineKind::kBareMetal);
  options.gpu.dma_mask_bits = 32;
  DmaMisuseOf with(options);
  BoRef bo = with.rig.Make(4 * kPageSize);
  ASSERT_TRUE(with.rig.Validate(bo, Tt(with.type)).ok());
  ASSERT_EQ(PhysicalMemory::ZoneOf(bo->pages().frames()[0]), Zone::kNormal);
  with.ExpectOne(Kind::kBeyondMask, bo);
}

}  // namespace
}  // namespace twostep
