// Wrong uses of DMA that no call shows, only bytes and accesses; each caught
// once and by its name. And what bytes do where the direction of a binding
// leaves syncs out.

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

// --- Syncs that the direction of a binding leaves out ---

// A page of a bo as the device finds it in memory, whatever it may do there.
std::byte* InDevicesView(DmaMisuseOf& with, const BoRef& bo, PageCount page) {
  return with.rig.machine().memory().DeviceBytes(bo->pages().frames()[page]);
}

struct Way {
  const char* name;
  DmaDirection direction;
  bool for_device;  // what the CPU writes gets there
  bool for_cpu;     // what the device writes gets here
};
constexpr Way kWays[] = {
    {"Both", DmaDirection::kBoth, true, true},
    {"ToDevice", DmaDirection::kToDevice, true, false},
    {"FromDevice", DmaDirection::kFromDevice, false, true}};
void PrintTo(const Way& way, std::ostream* out) { *out << way.name; }

class SyncsByDirection : public testing::TestWithParam<Way> {
 protected:
  static constexpr PageCount kPages = 4;

  SyncsByDirection() : with_(MachineKind::kNonCoherent) {
    with_.binder->direction = GetParam().direction;
    bo_ = with_.MakeBound(kPages);
  }
  ~SyncsByDirection() override { EXPECT_EQ(with_.All(), ""); }

  uint64_t WrongInDevicesView(PageCount page, uint64_t seed) {
    return Rig::WrongAt(InDevicesView(with_, bo_, page), kPageSize, seed,
                        PagesToBytes(page));
  }
  void WriteInDevicesView(PageCount page, uint64_t seed) {
    Rig::FillAt(InDevicesView(with_, bo_, page), kPageSize, seed,
                PagesToBytes(page));
  }
  BinderStats& stats() { return with_.binder->stats(); }

  DmaMisuseOf with_;
  BoRef bo_;
};

INSTANTIATE_TEST_SUITE_P(Ways, SyncsByDirection, testing::ValuesIn(kWays),
                         [](const auto& info) { return info.param.name; });

// As in the kernel, all that is mapped is there to begin with: what the device
// does not write keeps the bytes of the CPU.
TEST_P(SyncsByDirection, ABindHandsTheBytesToTheDevice) {
  for (PageCount page = 0; page < kPages; ++page) {
    EXPECT_EQ(WrongInDevicesView(page, 1), 0u);
  }
  EXPECT_EQ(stats().pages_synced_for_device, kPages);
  EXPECT_EQ(stats().pages_synced_for_cpu, 0u);
}

TEST_P(SyncsByDirection, AFaultTakesWhatTheDeviceWroteIfItMayWrite) {
  for (PageCount page = 0; page < kPages; ++page) WriteInDevicesView(page, 2);
  auto mapping = *CpuMapping::Create(bo_);
  ASSERT_TRUE(mapping->Touch(PageRange{1, 2}, Access::kRead).ok());
  EXPECT_EQ(stats().pages_synced_for_cpu, GetParam().for_cpu ? 2u : 0u);
  for (const PageCount page : {1, 2}) {
    EXPECT_EQ(Rig::WrongAt(mapping->data() + PagesToBytes(page), kPageSize,
                           GetParam().for_cpu ? 2 : 1, PagesToBytes(page)),
              0u)
        << page;
  }
}

TEST_P(SyncsByDirection, AnUnbindTakesWhatTheDeviceWroteIfItMayWrite) {
  for (PageCount page = 0; page < kPages; ++page) WriteInDevicesView(page, 2);
  with_.Unbind(bo_);
  EXPECT_EQ(stats().pages_synced_for_cpu, GetParam().for_cpu ? kPages : 0u);
  EXPECT_EQ(with_.rig.CpuWrongBytes(bo_, GetParam().for_cpu ? 2 : 1), 0u);
}

TEST_P(SyncsByDirection, AnUnbindOfWhichTheCpuHasPartsTakesOnlyTheRest) {
  auto mapping = *CpuMapping::Create(bo_);
  ASSERT_TRUE(mapping->Touch(PageRange{0, 1}, Access::kWrite).ok());
  Rig::FillAt(mapping->data(), kPageSize, 3);
  for (PageCount page = 0; page < kPages; ++page) WriteInDevicesView(page, 2);
  mapping.reset();
  with_.Unbind(bo_);
  EXPECT_EQ(stats().pages_synced_for_cpu, GetParam().for_cpu ? kPages : 0u);
  const auto now = *CpuMapping::Create(bo_);
  ASSERT_TRUE(now->Touch(PageRange{0, kPages}, Access::kRead).ok());
  EXPECT_EQ(Rig::WrongAt(now->data(), kPageSize, 3), 0u);
  EXPECT_EQ(Rig::WrongAt(now->data() + kPageSize, kPageSize * (kPages - 1),
                         GetParam().for_cpu ? 2 : 1, kPageSize),
            0u);
}

TEST_P(SyncsByDirection, AHandOverGivesWhatTheCpuWroteIfTheDeviceMayRead) {
  {
    auto mapping = *CpuMapping::Create(bo_);
    ASSERT_TRUE(mapping->Touch(PageRange{1, 2}, Access::kWrite).ok());
    Rig::FillAt(mapping->data() + kPageSize, 2 * kPageSize, 3, kPageSize);
  }
  ASSERT_TRUE(with_.rig.Validate(bo_, Tt(with_.type)).ok());
  EXPECT_EQ(stats().pages_synced_for_device,
            kPages + (GetParam().for_device ? 2u : 0u));
  for (PageCount page = 0; page < kPages; ++page) {
    const bool new_there = GetParam().for_device && (page == 1 || page == 2);
    EXPECT_EQ(WrongInDevicesView(page, new_there ? 3 : 1), 0u) << page;
  }
}

}  // namespace
}  // namespace twostep
