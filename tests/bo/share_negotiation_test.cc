// What devices that share a bo ask of its pages, and what they get (S25, S19,
// R8, R9): a DMA type that suits all, or the names of two constraints that
// clash.

#include <algorithm>

#include "gmock/gmock.h"
#include "tests/bo/sharing_rig.h"

namespace twostep {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr uint64_t kBytes = 8 * kPageSize;
constexpr ShareConstraints kOneSegment{.max_segments = 1};
constexpr ShareConstraints kAtOnce{.ownership =
                                       ShareConstraints::Ownership::kAtOnce};

RigOptions LowIovas() {
  RigOptions options = OptionsOf(MachineKind::kIommu);
  options.machine.iommu.iova_base = 512 * kMiB;
  return options;
}

BoRef Filled(SharingRig& rig, uint64_t bytes = kBytes) {
  BoRef bo = rig.Make(bytes);
  rig.CpuFill(bo, 1);
  return bo;
}

// S19: a unit for each IOMMU.
TEST(ShareNegotiation, S19_DevicesBehindOneIommuUseOneMapping) {
  SharingRig rig(MachineKind::kIommu);
  auto camera = rig.MakeDevice("camera");
  auto nic = rig.MakeDevice("nic", 1);
  auto disk = rig.MakeDevice("disk", 1);
  const BoRef bo = Filled(rig);
  const SharedBuffer shared = rig.Export(bo);
  DmaDomain& first = rig.machine().domain(0);
  DmaDomain& second = rig.machine().domain(1);

  auto at_camera = rig.Attach(shared, *camera, kOneSegment);
  ASSERT_TRUE(rig.Map(*at_camera).ok());
  EXPECT_TRUE(BoundThrough(rig, bo, DmaType::kDynamic));
  EXPECT_EQ(first.used_iova_pages(), 8u);
  EXPECT_EQ(second.used_iova_pages(), 0u);
  ASSERT_TRUE(rig.Validate(bo, Tt(DmaType::kDynamic)).ok());
  EXPECT_EQ(first.used_iova_pages(), 8u);

  auto at_nic = rig.Attach(shared, *nic);
  auto at_disk = rig.Attach(shared, *disk);
  ASSERT_TRUE(rig.Map(*at_nic).ok());
  ASSERT_TRUE(rig.Map(*at_disk).ok());
  EXPECT_EQ(second.used_iova_pages(), 8u);
  EXPECT_EQ(rig.AddressesOf(*at_nic), rig.AddressesOf(*at_disk));
  EXPECT_EQ(rig.device().binder(DmaType::kDynamic)->stats().binds.load(), 1u);
  EXPECT_EQ(rig.Broken(), "");

  const auto addresses = rig.AddressesOf(*at_disk);
  at_nic.reset();
  EXPECT_EQ(second.used_iova_pages(), 8u);
  EXPECT_EQ(rig.WrongBytes(*disk, *at_disk, 1), 0u);
  at_disk.reset();
  EXPECT_EQ(second.used_iova_pages(), 0u);
  EXPECT_EQ(rig.Faults(*disk, addresses), 8u);
  at_camera.reset();
  // The exporter sees it in its aperture.
  EXPECT_EQ(first.used_iova_pages(), 8u);
  EXPECT_EQ(rig.DeviceWrongBytes(bo, 1), 0u);
  EXPECT_EQ(rig.Broken(), "");
}

// R9: memory of the exporter's, reached without a copy.
TEST(ShareNegotiation, R9_CoherentMemoryIsReachedWhereItIs) {
  SharingRig rig(MachineKind::kBareMetal);
  auto nic = rig.MakeDevice("nic", 1, 32);
  const BoRef bo = Filled(rig);
  ASSERT_TRUE(rig.Validate(bo, Tt(DmaType::kCoherent)).ok());
  const std::vector<FrameNumber> frames(bo->pages().frames().begin(),
                                        bo->pages().frames().end());
  auto at_nic = rig.Attach(rig.Export(bo), *nic);
  ValidateContext context;
  ASSERT_TRUE(rig.Map(*at_nic, &context).ok());
  EXPECT_EQ(context.bytes_moved, 0u);
  EXPECT_TRUE(
      std::equal(frames.begin(), frames.end(), bo->pages().frames().begin()));
  EXPECT_EQ(rig.WrongBytes(*nic, *at_nic, 1), 0u);
  EXPECT_EQ(rig.Broken(), "");
}

// R9: the bo itself goes to the other device.
TEST(ShareNegotiation, R9_MovingCopiesWhatIsCoherentAndNothingElse) {
  struct {
    DmaType type;
    uint64_t copied;
  } constexpr kCases[] = {{DmaType::kNone, 0},
                          {DmaType::kDynamic, 0},
                          {DmaType::kCoherent, 2 * kBytes},
                          {DmaType::kCma, 2 * kBytes}};
  for (const MachineKind kind : kAllMachines) {
    for (const auto& [type, copied] : kCases) {
      SCOPED_TRACE(absl::StrCat(NameOf(kind), " ", NameOf(type)));
      SharingRig rig(kind);
      GpuConfig config = OptionsOf(kind).gpu;
      config.name = "other";
      auto other = *Device::Create(rig.host(), config);
      const BoRef bo = Filled(rig);
      ASSERT_TRUE(rig.Validate(bo, Tt(type)).ok());
      const std::vector<FrameNumber> frames(bo->pages().frames().begin(),
                                            bo->pages().frames().end());
      const Placement there[] = {Tt(type)};
      ValidateContext context;
      bo->Reserve();
      ASSERT_TRUE(other->Validate(*bo, there, &context).ok());
      bo->Unreserve();
      EXPECT_EQ(context.bytes_moved, copied);
      if (copied == 0) {
        EXPECT_TRUE(std::equal(frames.begin(), frames.end(),
                               bo->pages().frames().begin()));
      }
      EXPECT_EQ(rig.CpuWrongBytes(bo, 1), 0u);
      EXPECT_EQ(rig.Broken(), "");
      bo->Reserve();
      ASSERT_TRUE(other->Validate(*bo, {}, &context).ok());
      bo->Unreserve();
    }
  }
}

// R8
TEST(ShareNegotiation, S25_TheNarrowestMaskDecides) {
  SharingRig rig(MachineKind::kBareMetal);
  auto nic = rig.MakeDevice("nic", 1, 32);
  auto camera = rig.MakeDevice("camera");
  const BoRef bo = Filled(rig);
  const SharedBuffer shared = rig.Export(bo);
  ASSERT_TRUE(rig.Validate(bo, Tt(DmaType::kNone)).ok());
  auto at_camera = rig.Attach(shared, *camera);
  ASSERT_TRUE(rig.Map(*at_camera).ok());
  // From above 4 GiB, where the gpu and the camera reach it, to below.
  EXPECT_GE(at_camera->Address(0), uint64_t{1} << 32);
  auto at_nic = rig.Attach(shared, *nic);
  EXPECT_EQ(rig.moves(), 0);
  ASSERT_TRUE(rig.Map(*at_nic).ok());
  EXPECT_EQ(rig.moves(), 1);
  EXPECT_FALSE(at_camera->mapped());
  ASSERT_TRUE(rig.Map(*at_camera).ok());
  for (const DmaAddress address : rig.AddressesOf(*at_nic)) {
    EXPECT_LT(address, uint64_t{1} << 32);
  }
  EXPECT_EQ(rig.WrongBytes(*nic, *at_nic, 1), 0u);
  EXPECT_EQ(rig.WrongBytes(*camera, *at_camera, 1), 0u);
  // The exporter's aperture follows.
  EXPECT_TRUE(rig.In(bo, MemoryType::kTt));
  EXPECT_EQ(rig.DeviceWrongBytes(bo, 1), 0u);
  EXPECT_EQ(rig.Broken(), "");
  // And so does what it binds from now on.
  ASSERT_TRUE(rig.Validate(bo, kVram).ok());
  ASSERT_TRUE(rig.Validate(bo, Tt(DmaType::kNone)).ok());
  const int moves = rig.moves();
  ASSERT_TRUE(rig.Map(*at_nic).ok());
  EXPECT_EQ(rig.moves(), moves);
  ASSERT_TRUE(WaitForCpu(*bo, Access::kRead).ok());
  EXPECT_EQ(rig.WrongBytes(*nic, *at_nic, 1), 0u);
  EXPECT_EQ(rig.Broken(), "");
}

TEST(ShareNegotiation, S25_OneSegmentIsIovasOrTheCmaArea) {
  for (const MachineKind kind : kAllMachines) {
    SCOPED_TRACE(NameOf(kind));
    SharingRig rig(kind);
    auto nic = rig.MakeDevice("nic", 1);
    const BoRef bo = Filled(rig);
    const SharedBuffer shared = rig.Export(bo);
    auto at_nic = rig.Attach(shared, *nic, kOneSegment);
    ASSERT_TRUE(rig.Map(*at_nic).ok());
    EXPECT_TRUE(BoundThrough(
        rig, bo,
        kind == MachineKind::kIommu ? DmaType::kDynamic : DmaType::kCma));
    EXPECT_THAT(at_nic->Segments(),
                ElementsAre(DmaSegment{at_nic->Address(0), kBytes}));
    EXPECT_EQ(rig.WrongBytes(*nic, *at_nic, 1), 0u);
    EXPECT_EQ(rig.Broken(), "");
  }
}

TEST(ShareNegotiation, S25_SegmentsEndWhereTheDeviceSaysTheyMust) {
  SharingRig rig(MachineKind::kIommu);
  auto nic = rig.MakeDevice("nic", 1);
  const BoRef bo = Filled(rig);
  auto at_nic =
      rig.Attach(rig.Export(bo), *nic,
                 {.max_segments = 3, .max_segment_bytes = 3 * kPageSize + 5});
  ASSERT_TRUE(rig.Map(*at_nic).ok());
  const DmaAddress first = at_nic->Address(0);
  EXPECT_THAT(at_nic->Segments(),
              ElementsAre(DmaSegment{first, 3 * kPageSize},
                          DmaSegment{first + 3 * kPageSize, 3 * kPageSize},
                          DmaSegment{first + 6 * kPageSize, 2 * kPageSize}));
}

TEST(ShareNegotiation, S25_DevicesWithAndWithoutTheCpusCachesMeetInCoherent) {
  SharingRig rig(MachineKind::kNonCoherent);
  auto coherent = rig.MakeDevice("camera", 0, 0, /*differs=*/true);
  const BoRef bo = Filled(rig);
  const SharedBuffer shared = rig.Export(bo);
  auto at_camera = rig.Attach(shared, *coherent);
  EXPECT_THAT(*shared.Suitable(),
              ElementsAre(DmaType::kCoherent, DmaType::kCma));
  ASSERT_TRUE(rig.Map(*at_camera).ok());
  ASSERT_TRUE(rig.Validate(bo, Tt(DmaType::kCoherent)).ok());
  EXPECT_TRUE(at_camera->mapped());
  EXPECT_EQ(rig.WrongBytes(*coherent, *at_camera, 1), 0u);
  rig.DeviceFill(bo, 2);
  EXPECT_EQ(rig.WrongBytes(*coherent, *at_camera, 2), 0u);
  rig.Fill(*coherent, *at_camera, 3);
  EXPECT_EQ(rig.DeviceWrongBytes(bo, 3), 0u);
  EXPECT_EQ(rig.CpuWrongBytes(bo, 3), 0u);
}

TEST(ShareNegotiation, S25_AtTheSameTimeAsTheCpuIsNoHandingOver) {
  for (const MachineKind kind : kAllMachines) {
    SCOPED_TRACE(NameOf(kind));
    SharingRig rig(kind);
    auto nic = rig.MakeDevice("nic", 1);
    const BoRef bo = Filled(rig);
    ASSERT_TRUE(rig.Validate(bo, Tt(DmaType::kDynamic)).ok());
    auto at_nic = rig.Attach(rig.Export(bo), *nic, kAtOnce);
    ASSERT_TRUE(rig.Map(*at_nic).ok());
    EXPECT_TRUE(BoundThrough(rig, bo,
                             kind == MachineKind::kNonCoherent
                                 ? DmaType::kCoherent
                                 : DmaType::kNone));
    auto mapping = *CpuMapping::Create(bo);
    mapping->data()[5] = std::byte{42};
    EXPECT_EQ(nic->port().Resolve(at_nic->Address(0), Access::kRead)[5],
              std::byte{42});
  }
}

TEST(ShareNegotiation, S25_WhatClashesIsNamedWithWhoseItIs) {
  SharingRig rig(LowIovas());
  auto nic = rig.MakeDevice("nic", 1, 28);
  auto camera = rig.MakeDevice("camera");
  const BoRef bo = Filled(rig);
  const SharedBuffer shared = rig.Export(bo);
  auto at_camera = rig.Attach(shared, *camera, kOneSegment);
  ASSERT_TRUE(rig.Map(*at_camera).ok());
  // 28 bits are below all IOVAs: physical addresses alone would do.
  auto at_nic = rig.Attach(shared, *nic);
  const absl::Status status = rig.Map(*at_nic);
  EXPECT_EQ(KindOf(status), ErrorKind::kNeverFits);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr(bo->DebugName()),
                    HasSubstr("camera takes at most 1 segment"),
                    HasSubstr("nic reaches only 28-bit addresses"),
                    Not(HasSubstr("gpu0"))));
  EXPECT_EQ(shared.Suitable().status().code(), absl::StatusCode::kOutOfRange);
  // Nobody else has lost anything.
  EXPECT_TRUE(at_camera->mapped());
  EXPECT_EQ(rig.WrongBytes(*camera, *at_camera, 1), 0u);
  EXPECT_EQ(rig.Broken(), "");
  at_nic.reset();
  EXPECT_TRUE(shared.Suitable().ok());
  ASSERT_TRUE(rig.Map(*at_camera).ok());
}

TEST(ShareNegotiation, S25_TheExportersConstraintsCount) {
  SharingRig rig(LowIovas());
  auto nic = rig.MakeDevice("nic", 1, 28);
  const BoRef bo = Filled(rig);
  const auto shared = SharedBuffer::Export(bo, rig.device(), kOneSegment);
  auto at_nic = rig.Attach(*shared, *nic);
  EXPECT_THAT(std::string(rig.Map(*at_nic).message()),
              AllOf(HasSubstr("gpu0 takes at most 1 segment"),
                    HasSubstr("nic reaches only 28-bit addresses")));
}

TEST(ShareNegotiation, S25_WhatNoDmaTypeDoesIsNamedAlone) {
  SharingRig rig(MachineKind::kBareMetal);
  auto nic = rig.MakeDevice("nic", 1);
  const BoRef bo = Filled(rig);
  auto at_nic = rig.Attach(rig.Export(bo), *nic,
                           {.max_segments = 1, .max_segment_bytes = 8192});
  const std::string message(rig.Map(*at_nic).message());
  EXPECT_THAT(message, AllOf(HasSubstr("nic takes at most 1 segment of at most "
                                       "8 KiB: no DMA type does"),
                             Not(HasSubstr("gpu0"))));
}

TEST(ShareNegotiation, S25_CoherencyAndMaskCanClash) {
  // Coherent memory above what the nic reaches.
  RigOptions options = OptionsOf(MachineKind::kNonCoherent);
  options.machine.dma32_bytes = 64 * kMiB;
  options.machine.coherent_bytes = 20 * kMiB;
  options.machine.cma_bytes = kMiB;
  SharingRig rig(options);
  auto nic = rig.MakeDevice("nic", 0, 24);
  auto camera = rig.MakeDevice("camera", 0, 0, /*differs=*/true);
  const BoRef bo = Filled(rig);
  const SharedBuffer shared = rig.Export(bo);
  auto at_camera = rig.Attach(shared, *camera);
  ASSERT_TRUE(rig.Map(*at_camera).ok());
  auto at_nic = rig.Attach(shared, *nic);
  const std::string message(rig.Map(*at_nic).message());
  EXPECT_THAT(message, HasSubstr("no DMA type serves all"));
  EXPECT_THAT(message, HasSubstr("nic reaches only 24-bit addresses"));
  EXPECT_THAT(message, HasSubstr("camera sees the CPU's caches"));
  EXPECT_THAT(message, HasSubstr("gpu0 does not see the CPU's caches"));
}

// The next type takes over where one runs out.
TEST(ShareNegotiation, S25_WhereATypeIsFullTheNextOneServes) {
  SharingRig rig(MachineKind::kNonCoherent);
  auto camera = rig.MakeDevice("camera", 0, 0, /*differs=*/true);
  const BoRef hog = rig.Make(kMiB);
  ASSERT_TRUE(rig.Validate(hog, Tt(DmaType::kCoherent)).ok());
  rig.Pin(hog);
  const BoRef bo = Filled(rig);
  auto at_camera = rig.Attach(rig.Export(bo), *camera);
  ASSERT_TRUE(rig.Map(*at_camera).ok());
  EXPECT_TRUE(BoundThrough(rig, bo, DmaType::kCma));

  const BoRef second_hog = rig.Make(kMiB - kBytes);
  ASSERT_TRUE(rig.Validate(second_hog, Tt(DmaType::kCma)).ok());
  rig.Pin(second_hog);
  const BoRef late = Filled(rig);
  auto at_late = rig.Attach(rig.Export(late), *camera);
  ASSERT_TRUE(rig.Map(*at_late).ok());  // in place of the first
  EXPECT_EQ(rig.moves(), 1);
  rig.Pin(late);
  const absl::Status full = rig.Map(*at_camera);
  EXPECT_EQ(KindOf(full), ErrorKind::kCannotFit);
  EXPECT_THAT(std::string(full.message()),
              AllOf(HasSubstr("coherent"), HasSubstr("cma")));
  EXPECT_EQ(rig.CpuWrongBytes(bo, 1), 0u);
  EXPECT_EQ(rig.Broken(), "");
  for (const BoRef& pinned : {hog, second_hog, late}) rig.Unpin(pinned);
}

// The IOVAs of a domain in which the bo is only an alias.
TEST(ShareNegotiation, S15_AnotherDomainsIovasRunOutAndAreMade) {
  SharingRig rig(MachineKind::kIommu);
  auto nic = rig.MakeDevice("nic", 1);
  std::vector<BoRef> bos;
  std::vector<Attachment> attachments;
  // Eight of 256 KiB take turns in 1 MiB; the exporter has each in its aperture
  // only as long as it is mapped.
  for (int i = 0; i < 8; ++i) {
    bos.push_back(Filled(rig, kMiB / 4));
    attachments.push_back(
        rig.Attach(rig.Export(bos.back()), *nic, kOneSegment));
  }
  for (int round = 0; round < 2; ++round) {
    for (auto& attachment : attachments) {
      ASSERT_TRUE(rig.Map(*attachment).ok());
      EXPECT_EQ(rig.WrongBytes(*nic, *attachment, 1), 0u);
    }
  }
  EXPECT_EQ(rig.machine().domain(1).used_iova_pages(), 256u);
  EXPECT_EQ(rig.moves(), 12);
  EXPECT_EQ(rig.Broken(), "");
}

TEST(ShareNegotiation, S15_ADomainFullOfWhatIsPinnedSaysSo) {
  SharingRig rig(MachineKind::kIommu);
  GpuConfig config = OptionsOf(MachineKind::kIommu).gpu;
  config.name = "other";
  config.domain = 1;
  auto other = *Device::Create(rig.host(), config);
  const BoRef hog = rig.Make(kMiB);
  const Placement there[] = {Tt(DmaType::kDynamic)};
  ValidateContext context;
  hog->Reserve();
  ASSERT_TRUE(other->Validate(*hog, there, &context).ok());
  hog->Pin();
  hog->Unreserve();

  const BoRef bo = Filled(rig);
  const SharedBuffer shared = rig.Export(bo);
  auto camera = rig.MakeDevice("camera");
  auto at_camera = rig.Attach(shared, *camera, kOneSegment);
  auto at_other = rig.Attach(shared, *other);
  ASSERT_TRUE(rig.Map(*at_camera).ok());
  const absl::Status status = rig.Map(*at_other);
  EXPECT_EQ(KindOf(status), ErrorKind::kCannotFit);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("IOVA space of iommu1 is full"));
  EXPECT_FALSE(at_other->mapped());
  EXPECT_TRUE(at_camera->mapped());
  EXPECT_EQ(rig.WrongBytes(*camera, *at_camera, 1), 0u);
  EXPECT_EQ(rig.Broken(), "");
  hog->Reserve();
  hog->Unpin();
  hog->Unreserve();
  ASSERT_TRUE(rig.Map(*at_other).ok());
  EXPECT_EQ(rig.WrongBytes(*other, *at_other, 1), 0u);
  EXPECT_EQ(rig.Broken(), "");
}

TEST(ShareNegotiation, S19_ADomainThatTheMachineLacksIsRefused) {
  SharingRig rig(MachineKind::kIommu);
  GpuConfig config;
  config.domain = 2;
  const absl::Status status = Device::Create(rig.host(), config).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("domain"));
}

TEST(ShareNegotiation, S19_AMachineHasAtLeastOneDomainAndAtMost256) {
  for (const uint32_t domains : {0u, 257u}) {
    MachineConfig config = OptionsOf(MachineKind::kIommu).machine;
    config.iommu.domains = domains;
    const absl::Status status =
        Machine::Create(config, MachineOptions{}).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), HasSubstr("iommu.domains"));
  }
}

}  // namespace
}  // namespace twostep
