// A bo that several devices use (S25, S19, R9): each reaches the same bytes at
// addresses of its own, learns when they are no longer good, and none of them
// is ever given what it did not ask for.

#include "gmock/gmock.h"
#include "tests/bo/sharing_rig.h"
#include "twostep/bo/shared_buffer.h"
#include "twostep/machine/sync.h"

namespace twostep {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr uint64_t kBytes = 8 * kPageSize;
constexpr ShareConstraints kOneSegment{.max_segments = 1};

// An exporter with VRAM and an aperture, two more devices in its domain and one
// in a domain of its own.
class SharedBo : public testing::TestWithParam<MachineKind> {
 protected:
  SharedBo() { rig_.CpuFill(bo_, 1); }
  ~SharedBo() override { EXPECT_EQ(rig_.Broken(), ""); }

  SharingRig rig_{GetParam()};
  std::unique_ptr<Device> camera_ = rig_.MakeDevice("camera");
  std::unique_ptr<Device> display_ = rig_.MakeDevice("display");
  std::unique_ptr<Device> nic_ = rig_.MakeDevice("nic", /*domain=*/1);
  BoRef bo_ = rig_.Make(kBytes);
  SharedBuffer shared_ = rig_.Export(bo_);
};
INSTANTIATE_TEST_SUITE_P(Machines, SharedBo, testing::ValuesIn(kAllMachines));

TEST_P(SharedBo, S25_EachDeviceReachesTheSameBytesAtItsOwnAddresses) {
  auto camera = rig_.Attach(shared_, *camera_);
  auto display = rig_.Attach(shared_, *display_);
  auto nic = rig_.Attach(shared_, *nic_);
  ASSERT_TRUE(rig_.Map(*camera).ok());
  ASSERT_TRUE(rig_.Map(*display).ok());
  ASSERT_TRUE(rig_.Map(*nic).ok());
  EXPECT_EQ(rig_.WrongBytes(*camera_, *camera, 1), 0u);
  EXPECT_EQ(rig_.WrongBytes(*display_, *display, 1), 0u);
  EXPECT_EQ(rig_.WrongBytes(*nic_, *nic, 1), 0u);
  EXPECT_EQ(rig_.Broken(), "");

  rig_.Fill(*nic_, *nic, 2);
  EXPECT_EQ(rig_.WrongBytes(*camera_, *camera, 2), 0u);
  EXPECT_EQ(rig_.CpuWrongBytes(bo_, 2), 0u);
  // The CPU has the pages now, where they are handed over.
  rig_.CpuFill(bo_, 3);
  for (auto* attachment : {&camera, &display, &nic}) {
    ASSERT_TRUE(rig_.Map(**attachment).ok());
  }
  EXPECT_EQ(rig_.WrongBytes(*display_, *display, 3), 0u);
  EXPECT_EQ(rig_.WrongBytes(*nic_, *nic, 3), 0u);
  EXPECT_EQ(rig_.moves(), 0);
}

TEST_P(SharedBo, S25_TheExporterUsesItMeanwhileAndAddressesStayGood) {
  auto camera = rig_.Attach(shared_, *camera_);
  auto nic = rig_.Attach(shared_, *nic_);
  ASSERT_TRUE(rig_.Map(*camera).ok());
  ASSERT_TRUE(rig_.Map(*nic).ok());
  const DmaType type = (*shared_.Suitable())[0];
  ASSERT_TRUE(rig_.Validate(bo_, Tt(type)).ok());
  EXPECT_EQ(rig_.moves(), 0);
  EXPECT_EQ(rig_.DeviceWrongBytes(bo_, 1), 0u);
  EXPECT_EQ(rig_.WrongBytes(*nic_, *nic, 1), 0u);
  rig_.DeviceFill(bo_, 4);
  ValidateContext context;
  ASSERT_TRUE(rig_.Map(*camera, &context).ok());
  EXPECT_EQ(rig_.WrongBytes(*camera_, *camera, 4), 0u);
  EXPECT_EQ(rig_.WrongBytes(*nic_, *nic, 4), 0u);
}

TEST_P(SharedBo, S25_WhatTheExporterBoundIsWhatOthersGet) {
  for (const DmaType type : kBuiltInDmaTypes) {
    SCOPED_TRACE(NameOf(type));
    ASSERT_TRUE(rig_.Validate(bo_, Tt(type)).ok());
    auto camera = rig_.Attach(shared_, *camera_);
    ValidateContext context;
    ASSERT_TRUE(rig_.Map(*camera, &context).ok());
    EXPECT_EQ(context.bytes_moved, 0u);
    EXPECT_TRUE(BoundThrough(rig_, bo_, type));
    EXPECT_TRUE(rig_.In(bo_, MemoryType::kTt));
    EXPECT_EQ(rig_.WrongBytes(*camera_, *camera, 1), 0u);
    EXPECT_EQ(rig_.Broken(), "");
  }
}

// R7, R12: every way in which pages go away.
TEST_P(SharedBo, S25_EveryMoveIsToldAndEndsTheOldAddresses) {
  auto camera = rig_.Attach(shared_, *camera_);
  auto nic = rig_.Attach(shared_, *nic_);
  const DmaType types[] = {DmaType::kDynamic, DmaType::kCoherent,
                           DmaType::kCma};
  int moves = 0;
  for (const DmaType type : types) {
    for (const Placement& away : {kVram, kSystem, Tt(DmaType::kNone)}) {
      SCOPED_TRACE(NameOf(type));
      ASSERT_TRUE(rig_.Validate(bo_, Tt(type)).ok());
      ASSERT_TRUE(rig_.Map(*camera).ok());
      ASSERT_TRUE(rig_.Map(*nic).ok());
      const auto seen_by_camera = rig_.AddressesOf(*camera);
      const auto seen_by_nic = rig_.AddressesOf(*nic);
      ASSERT_TRUE(rig_.Validate(bo_, away).ok());
      EXPECT_EQ(rig_.moves(), moves += 2);
      EXPECT_FALSE(camera->mapped());
      EXPECT_FALSE(nic->mapped());
      ASSERT_TRUE(WaitForCpu(*bo_, Access::kWrite).ok());
      rig_.ReapAll();
      EXPECT_EQ(rig_.Broken(), "");
      // Ordinary frames are bound again at once, by NONE.
      if (away.memory != MemoryType::kTt || type != DmaType::kDynamic) {
        EXPECT_EQ(rig_.Faults(*camera_, seen_by_camera), 8u);
      }
      EXPECT_EQ(rig_.Faults(*nic_, seen_by_nic), 8u);
      ASSERT_TRUE(rig_.Map(*nic).ok());
      EXPECT_EQ(rig_.WrongBytes(*nic_, *nic, 1), 0u);
      rig_.Unmap(*nic);
    }
  }
}

// Work that has put its fence on the bo may finish.
TEST_P(SharedBo, S25_OldAddressesLastAsLongAsTheWorkOnThem) {
  auto nic = rig_.Attach(shared_, *nic_);
  ASSERT_TRUE(rig_.Validate(bo_, Tt(DmaType::kDynamic)).ok());
  ASSERT_TRUE(rig_.Map(*nic).ok());
  const auto addresses = rig_.AddressesOf(*nic);
  rig_.KeepBusy(bo_, FenceUse::kRead);
  ASSERT_TRUE(rig_.Validate(bo_, kVram).ok());
  EXPECT_FALSE(nic->mapped());
  EXPECT_EQ(rig_.moves(), 1);
  EXPECT_FALSE(rig_.host().ReapGhosts({WaitLimit::Mode::kNoWait}));
  EXPECT_EQ(rig_.Faults(*nic_, addresses), 0u);
  EXPECT_EQ(rig_.WrongBytesAt(*nic_, addresses, 1), 0u);
  EXPECT_EQ(rig_.Broken(), "");

  ASSERT_TRUE(WaitForCpu(*bo_, Access::kWrite).ok());
  rig_.ReapAll();
  EXPECT_EQ(rig_.Faults(*nic_, addresses), 8u);
  ASSERT_TRUE(rig_.Map(*nic).ok());
  EXPECT_EQ(rig_.WrongBytes(*nic_, *nic, 1), 0u);
}

TEST_P(SharedBo, S25_FencesOfImportersHoldTheExporterUp) {
  auto camera = rig_.Attach(shared_, *camera_);
  bo_->Reserve();
  ValidateContext context;
  ASSERT_TRUE(camera->Map(&context).ok());
  const Fence fence = rig_.PendingWork();
  bo_->fences().Add(fence, FenceUse::kWrite);
  bo_->Unreserve();
  const auto dependencies = rig_.Dependencies(bo_);
  ASSERT_EQ(dependencies.size(), 1u);
  EXPECT_EQ(dependencies[0], fence);
  EXPECT_EQ(WaitForCpu(*bo_, Access::kRead, {WaitLimit::Mode::kNoWait}).code(),
            absl::StatusCode::kUnavailable);
}

TEST_P(SharedBo, S25_WhoCannotFollowPinsTheBoWhileItIsMapped) {
  auto camera = rig_.AttachPinning(shared_, *camera_);
  auto nic = rig_.AttachPinning(shared_, *nic_);
  EXPECT_FALSE(bo_->pinned());
  ASSERT_TRUE(rig_.Map(*camera).ok());
  ASSERT_TRUE(rig_.Map(*nic).ok());
  EXPECT_EQ(KindOf(rig_.Validate(bo_, kVram)), ErrorKind::kPinned);
  EXPECT_EQ(KindOf(rig_.Validate(bo_, std::vector<Placement>{})),
            ErrorKind::kPinned);
  EXPECT_EQ(rig_.WrongBytes(*camera_, *camera, 1), 0u);

  rig_.Unmap(*camera);
  EXPECT_EQ(KindOf(rig_.Validate(bo_, kVram)), ErrorKind::kPinned);
  nic.reset();
  EXPECT_FALSE(bo_->pinned());
  ASSERT_TRUE(rig_.Validate(bo_, kVram).ok());
  ASSERT_TRUE(rig_.Map(*camera).ok());
  EXPECT_EQ(rig_.WrongBytes(*camera_, *camera, 1), 0u);
}

TEST_P(SharedBo, S25_ABoPinnedElsewhereIsRefusedByName) {
  ASSERT_TRUE(rig_.Validate(bo_, kVram).ok());
  rig_.Pin(bo_);
  auto nic = rig_.Attach(shared_, *nic_);
  const absl::Status status = rig_.Map(*nic);
  EXPECT_EQ(KindOf(status), ErrorKind::kPinned);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("pinned in vram"), HasSubstr("nic")));
  EXPECT_FALSE(nic->mapped());
  rig_.Unpin(bo_);
  EXPECT_TRUE(rig_.Map(*nic).ok());
}

TEST_P(SharedBo, S25_EvictionTakesASharedBoAndMapBringsItBack) {
  auto nic = rig_.Attach(shared_, *nic_, kOneSegment);
  ASSERT_TRUE(rig_.Map(*nic).ok());
  const DmaType type =
      GetParam() == MachineKind::kIommu ? DmaType::kDynamic : DmaType::kCma;
  ASSERT_TRUE(BoundThrough(rig_, bo_, type));
  // The whole of it for another.
  const BoRef hog = rig_.Make(kMiB);
  ASSERT_TRUE(rig_.Validate(hog, Tt(type)).ok());
  EXPECT_EQ(rig_.moves(), 1);
  EXPECT_FALSE(nic->mapped());
  EXPECT_EQ(rig_.Broken(), "");
  ASSERT_TRUE(rig_.Map(*nic).ok());
  EXPECT_EQ(nic->Segments().size(), 1u);
  EXPECT_EQ(rig_.WrongBytes(*nic_, *nic, 1), 0u);
}

// B39, of a shared one.
TEST_P(SharedBo, S25_B39_AWorthlessVictimIsPurgedAndWhoSharesItIsTold) {
  auto nic = rig_.Attach(shared_, *nic_, kOneSegment);
  ASSERT_TRUE(rig_.Map(*nic).ok());
  const auto addresses = rig_.AddressesOf(*nic);
  const DmaType type =
      GetParam() == MachineKind::kIommu ? DmaType::kDynamic : DmaType::kCma;
  bo_->Reserve();
  bo_->SetWorthless(true);
  bo_->Unreserve();
  ASSERT_TRUE(rig_.Validate(rig_.Make(kMiB), Tt(type)).ok());
  EXPECT_EQ(rig_.moves(), 1);
  EXPECT_FALSE(nic->mapped());
  EXPECT_TRUE(bo_->purged());
  EXPECT_EQ(rig_.host().stats().purges, 1u);
  EXPECT_EQ(bo_->pages().home(), Pages::Home::kNone);
  EXPECT_EQ(rig_.Faults(*nic_, addresses), 8u);
  // Fresh contents, that read as zero.
  bo_->Reserve();
  bo_->SetWorthless(false);
  bo_->Unreserve();
  ASSERT_TRUE(rig_.Map(*nic).ok());
  EXPECT_EQ(nic_->port().Resolve(nic->Address(0), Access::kRead)[0],
            std::byte{0});
}

TEST_P(SharedBo, S25_SwappedOutContentsComeBackForAnImporter) {
  auto nic = rig_.Attach(shared_, *nic_);
  ASSERT_TRUE(rig_.Map(*nic).ok());
  std::vector<BoRef> hogs;
  while (bo_->pages().home() != Pages::Home::kSwapped) {
    ASSERT_LT(hogs.size(), 40u);
    hogs.push_back(rig_.Make(kMiB / 2));
    rig_.CpuFill(hogs.back(), 7);
  }
  EXPECT_EQ(rig_.moves(), 1);
  EXPECT_FALSE(nic->mapped());
  ASSERT_TRUE(rig_.Map(*nic).ok());
  EXPECT_EQ(rig_.WrongBytes(*nic_, *nic, 1), 0u);
}

TEST_P(SharedBo, S25_FreshContentsReadAsZero) {
  // Frames with another's bytes are there to be taken.
  rig_.CpuFill(rig_.Make(2 * kBytes), 9);
  const BoRef fresh = rig_.Make(kBytes);
  const SharedBuffer shared = rig_.Export(fresh);
  auto nic = rig_.Attach(shared, *nic_);
  ASSERT_TRUE(rig_.Map(*nic).ok());
  for (PageCount page = 0; page < 8; ++page) {
    const std::byte* at =
        nic_->port().Resolve(nic->Address(page), Access::kRead);
    ASSERT_NE(at, nullptr);
    for (uint64_t i = 0; i < kPageSize; ++i) ASSERT_EQ(at[i], std::byte{0});
  }
}

TEST_P(SharedBo, S25_DetachingInAnyOrderEndsWhatNobodyElseUses) {
  for (const bool nic_first : {true, false}) {
    auto camera = rig_.Attach(shared_, *camera_);
    auto nic = rig_.Attach(shared_, *nic_);
    ASSERT_TRUE(rig_.Map(*camera).ok());
    ASSERT_TRUE(rig_.Map(*nic).ok());
    const auto seen_by_camera = rig_.AddressesOf(*camera);
    const auto seen_by_nic = rig_.AddressesOf(*nic);
    (nic_first ? nic : camera).reset();
    EXPECT_EQ(rig_.Broken(), "");
    if (nic_first) {
      EXPECT_EQ(rig_.Faults(*nic_, seen_by_nic), 8u);
      EXPECT_EQ(rig_.WrongBytes(*camera_, *camera, 1), 0u);
      camera.reset();
    } else {
      EXPECT_EQ(rig_.WrongBytes(*nic_, *nic, 1), 0u);
      nic.reset();
    }
    EXPECT_EQ(rig_.Faults(*camera_, seen_by_camera), 8u);
    EXPECT_EQ(rig_.Faults(*nic_, seen_by_nic), 8u);
    EXPECT_EQ(bo_->binder(), nullptr);
    EXPECT_EQ(rig_.CpuWrongBytes(bo_, 1), 0u);
  }
}

TEST_P(SharedBo, S25_CpuAccessSyncsExactlyWhatItMust) {
  auto nic = rig_.Attach(shared_, *nic_);
  ASSERT_TRUE(rig_.Validate(bo_, Tt(DmaType::kDynamic)).ok());
  ASSERT_TRUE(rig_.Map(*nic).ok());
  DmaBinder::Stats& stats = rig_.device().binder(DmaType::kDynamic)->stats();
  const auto synced = [&] {
    return std::pair(stats.pages_synced_for_cpu.load(),
                     stats.pages_synced_for_device.load());
  };
  const auto [cpu, device] = synced();
  ASSERT_TRUE(shared_.BeginCpuAccess({2, 3}, CpuUse::kRead).ok());
  EXPECT_EQ(synced(), std::pair(cpu + 3, device));
  // One of them more.
  ASSERT_TRUE(shared_.BeginCpuAccess({4, 2}, CpuUse::kReadWrite).ok());
  EXPECT_EQ(synced(), std::pair(cpu + 4, device));
  auto mapping = *CpuMapping::Create(bo_);
  for (uint64_t i = 2 * kPageSize; i < 6 * kPageSize; ++i) {
    ASSERT_EQ(mapping->data()[i], Rig::PatternByte(1, i));
    mapping->data()[i] = Rig::PatternByte(2, i);
  }
  EXPECT_EQ(synced(), std::pair(cpu + 4, device));
  ASSERT_TRUE(shared_.EndCpuAccess({2, 2}).ok());
  EXPECT_EQ(synced(), std::pair(cpu + 4, device + 2));
  ASSERT_TRUE(shared_.EndCpuAccess({0, 8}).ok());
  EXPECT_EQ(synced(), std::pair(cpu + 4, device + 4));
  ASSERT_TRUE(rig_.Map(*nic).ok());
  EXPECT_EQ(synced(), std::pair(cpu + 4, device + 4));
  for (uint64_t i = 0; i < kBytes; ++i) {
    const bool written = i >= 2 * kPageSize && i < 6 * kPageSize;
    const PageCount page = static_cast<PageCount>(i >> kPageShift);
    ASSERT_EQ(nic_->port().Resolve(nic->Address(page),
                                   Access::kRead)[i & (kPageSize - 1)],
              Rig::PatternByte(written ? 2 : 1, i));
  }
}

TEST_P(SharedBo, S25_OverwritingBringsNoBytesToTheCpu) {
  auto nic = rig_.Attach(shared_, *nic_);
  ASSERT_TRUE(rig_.Validate(bo_, Tt(DmaType::kDynamic)).ok());
  ASSERT_TRUE(rig_.Map(*nic).ok());
  DmaBinder::Stats& stats = rig_.device().binder(DmaType::kDynamic)->stats();
  const uint64_t before = stats.pages_synced_for_cpu.load();
  ASSERT_TRUE(shared_.BeginCpuAccess({0, 8}, CpuUse::kOverwrite).ok());
  rig_.CpuFill(bo_, 5);
  EXPECT_EQ(stats.pages_synced_for_cpu.load(), before);
  ASSERT_TRUE(shared_.EndCpuAccess({0, 8}).ok());
  EXPECT_EQ(rig_.WrongBytes(*nic_, *nic, 5), 0u);
}

TEST_P(SharedBo, S25_CpuAccessWaitsForTheWorkThatMatters) {
  auto nic = rig_.Attach(shared_, *nic_);
  ASSERT_TRUE(rig_.Validate(bo_, Tt(DmaType::kCoherent)).ok());
  ASSERT_TRUE(rig_.Map(*nic).ok());
  const WaitLimit now{WaitLimit::Mode::kNoWait};
  rig_.KeepBusy(bo_, FenceUse::kRead);
  EXPECT_TRUE(shared_.BeginCpuAccess({0, 8}, CpuUse::kRead, now).ok());
  EXPECT_EQ(KindOf(shared_.BeginCpuAccess({0, 8}, CpuUse::kReadWrite, now)),
            ErrorKind::kBusy);
  rig_.KeepBusy(bo_, FenceUse::kWrite);
  EXPECT_EQ(KindOf(shared_.BeginCpuAccess({0, 8}, CpuUse::kRead, now)),
            ErrorKind::kBusy);
  EXPECT_TRUE(shared_.BeginCpuAccess({0, 8}, CpuUse::kRead).ok());
}

// --- Who may go when ---

TEST_P(SharedBo, S25_ADeviceThatGoesWithAttachmentsIsReportedAndCleanedUp) {
  auto camera = rig_.Attach(shared_, *camera_);
  auto nic = rig_.AttachPinning(shared_, *nic_);
  ASSERT_TRUE(rig_.Map(*camera).ok());
  ASSERT_TRUE(rig_.Map(*nic).ok());
  const auto addresses = rig_.AddressesOf(*nic);
  nic_.reset();
  ASSERT_EQ(rig_.misuses().size(), 1u);
  EXPECT_EQ(rig_.misuses()[0].kind, Misuse::Kind::kLiveAtTeardown);
  EXPECT_THAT(rig_.misuses()[0].message, HasSubstr("attached to nic"));
  EXPECT_FALSE(nic->mapped());
  EXPECT_FALSE(bo_->pinned());
  EXPECT_EQ(rig_.machine().domain(1).Translate(addresses[0]), kNoFrame);
  EXPECT_EQ(KindOf(rig_.Map(*nic)), ErrorKind::kMisuse);
  EXPECT_EQ(rig_.WrongBytes(*camera_, *camera, 1), 0u);
  EXPECT_EQ(rig_.Broken(), "");
  nic.reset();
}

TEST_P(SharedBo, S25_AddressesOutliveTheExportersDevice) {
  auto camera = rig_.AttachPinning(shared_, *camera_);
  auto nic = rig_.AttachPinning(shared_, *nic_);
  ASSERT_TRUE(rig_.Validate(bo_, Tt((*shared_.Suitable())[0])).ok());
  ASSERT_TRUE(rig_.Map(*camera).ok());
  ASSERT_TRUE(rig_.Map(*nic).ok());
  rig_.Pin(bo_);  // the owner's own, which outlives the device
  const auto addresses = rig_.AddressesOf(*nic);
  rig_.DestroyDevice();
  // It was in the aperture still.
  EXPECT_EQ(rig_.misuses().size(), 1u);
  EXPECT_EQ(rig_.AddressesOf(*nic), addresses);
  EXPECT_EQ(rig_.WrongBytes(*nic_, *nic, 1), 0u);
  EXPECT_EQ(rig_.WrongBytes(*camera_, *camera, 1), 0u);
  EXPECT_EQ(rig_.Broken(), "");
  rig_.Unmap(*nic);
  rig_.Unmap(*camera);
  EXPECT_TRUE(bo_->pinned());
  rig_.Unpin(bo_);
  // Bound for none of the living: a device that takes it over binds it anew.
  nic.reset();
  camera.reset();
  EXPECT_EQ(bo_->binder(), nullptr);
}

// Bound, and for no device: whoever validates it binds it for itself.
TEST_P(SharedBo, S25_ANewOwnerBindsAnewWhatADeadExporterLeft) {
  auto nic = rig_.Attach(shared_, *nic_);
  ASSERT_TRUE(rig_.Validate(bo_, kSystem).ok());
  ASSERT_TRUE(rig_.Map(*nic).ok());
  const DmaBinder* binder = bo_->binder();
  rig_.DestroyDevice();
  EXPECT_TRUE(rig_.misuses().empty());
  ASSERT_TRUE(nic->mapped());
  ASSERT_EQ(bo_->binder(), binder);

  GpuConfig config = OptionsOf(GetParam()).gpu;
  config.name = "heir";
  config.domain = 1;
  auto heir = *Device::Create(rig_.host(), config);
  const Placement there[] = {Tt(DmaType::kNone)};
  ValidateContext context;
  bo_->Reserve();
  ASSERT_TRUE(heir->Validate(*bo_, there, &context).ok());
  bo_->Unreserve();
  EXPECT_EQ(rig_.moves(), 1);
  EXPECT_EQ(&bo_->binding().port->domain(), &heir->port().domain());
  EXPECT_EQ(rig_.Broken(), "");
  ASSERT_TRUE(rig_.Map(*nic).ok());
  EXPECT_EQ(rig_.WrongBytes(*nic_, *nic, 1), 0u);
  bo_->Reserve();
  ASSERT_TRUE(heir->Validate(*bo_, {}, &context).ok());
  bo_->Unreserve();
}

TEST_P(SharedBo, S25_ContentsInVramOutliveTheExportersDevice) {
  auto nic = rig_.Attach(shared_, *nic_);
  ASSERT_TRUE(rig_.Validate(bo_, kVram).ok());
  rig_.DestroyDevice();
  ASSERT_TRUE(rig_.Map(*nic).ok());
  EXPECT_EQ(rig_.WrongBytes(*nic_, *nic, 1), 0u);
  // Somebody else exports it now.
  EXPECT_TRUE(SharedBuffer::Export(bo_, *camera_).ok());
}

TEST_P(SharedBo, S25_ABoHasOneExporter) {
  EXPECT_TRUE(SharedBuffer::Export(bo_, rig_.device()).ok());
  const absl::Status second = SharedBuffer::Export(bo_, *camera_).status();
  EXPECT_EQ(KindOf(second), ErrorKind::kMisuse);
  EXPECT_THAT(std::string(second.message()),
              AllOf(HasSubstr("gpu0"), HasSubstr("camera")));
}

TEST_P(SharedBo, S25_ConstraintsThatMakeNoSenseAreNamed) {
  const auto message = [&](const ShareConstraints& constraints) {
    const auto attached = shared_.Attach(*nic_, {.constraints = constraints});
    EXPECT_EQ(attached.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(SharedBuffer::Export(bo_, rig_.device(), constraints).status(),
              attached.status());
    return std::string(attached.status().message());
  };
  EXPECT_THAT(message({.mask_bits = 23}), HasSubstr("mask_bits"));
  EXPECT_THAT(message({.mask_bits = 65}), HasSubstr("mask_bits"));
  EXPECT_THAT(message({.max_segments = 0}), HasSubstr("max_segments"));
  EXPECT_THAT(message({.max_segment_bytes = 4095}),
              HasSubstr("max_segment_bytes"));
}

// Importers map and read, the exporter moves the bo about, others come and go:
// whoever has addresses reads the right bytes there until its fence, or what it
// reserved, ends.
class SharingAtOnce : public testing::TestWithParam<MachineKind> {};
INSTANTIATE_TEST_SUITE_P(Machines, SharingAtOnce,
                         testing::ValuesIn(kAllMachines));

TEST_P(SharingAtOnce, S25_MapMoveAttachAndDetach) {
  constexpr int kRounds = 150;
  SharingRig rig(GetParam());
  auto camera = rig.MakeDevice("camera");
  auto nic = rig.MakeDevice("nic", 1);
  BoRef bo = rig.Make(kBytes);
  rig.CpuFill(bo, 1);
  const SharedBuffer shared = rig.Export(bo);
  Atomic<uint64_t> wrong{0};
  Atomic<int> failed{0};
  const auto run = [&](BufferObject& held, auto act) {
    ValidateContext context;
    const absl::Status status =
        WithReserved(held, &context, [&] { return act(&context); });
    if (!status.ok()) failed.fetch_add(1);
    EXPECT_EQ(status, absl::OkStatus());
  };
  const auto use = [&](Device& device, SharedAttachment& attachment) {
    run(*bo, [&](ValidateContext* context) {
      absl::Status status = attachment.Map(context);
      if (status.ok()) status = bo->fences().Wait(FenceUse::kRead, {});
      if (status.ok()) {
        wrong.fetch_add(rig.WrongBytes(device, attachment, 1));
      }
      return status;
    });
  };
  const auto validate = [&](BufferObject& moving, const Placement& place) {
    run(moving, [&](ValidateContext* context) {
      return rig.device().Validate(moving, {&place, 1}, context);
    });
  };
  Thread stays([&] {
    auto attachment = rig.Attach(shared, *camera);
    for (int i = 0; i < kRounds; ++i) use(*camera, *attachment);
  });
  Thread comes_and_goes([&] {
    for (int i = 0; i < kRounds; ++i) {
      auto attachment = rig.Attach(shared, *nic);
      use(*nic, *attachment);
      if (i % 2) use(*nic, *attachment);
    }
  });
  Thread squeezes([&] {
    for (int i = 0; i < kRounds; ++i) {
      const BoRef hog = rig.Make(kMiB - 4 * kPageSize);
      validate(*hog, Tt(DmaType::kDynamic));
    }
  });
  const Placement places[] = {kVram, Tt(DmaType::kDynamic),
                              Tt(DmaType::kCoherent), kSystem,
                              Tt(DmaType::kNone)};
  for (int i = 0; i < kRounds; ++i) validate(*bo, places[i % 5]);
  stays.Join();
  comes_and_goes.Join();
  squeezes.Join();
  EXPECT_EQ(wrong.load(), 0u);
  EXPECT_EQ(failed.load(), 0);
  EXPECT_EQ(rig.CpuWrongBytes(bo, 1), 0u);
  rig.ReapAll();
  EXPECT_EQ(rig.Broken(), "");
}

}  // namespace
}  // namespace twostep
