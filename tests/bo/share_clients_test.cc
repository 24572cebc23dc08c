// Who pays for a bo that is shared, and whose limits it meets (R13, R14, S27);
// and what a failure to share leaves (R12).

#include <vector>

#include "gmock/gmock.h"
#include "tests/bo/sharing_rig.h"

namespace twostep {
namespace {

using ::testing::HasSubstr;

constexpr uint64_t kBytes = 8 * kPageSize;
constexpr ShareConstraints kOneSegment{.max_segments = 1};

class ShareClients : public testing::Test {
 protected:
  ShareClients() {
    camera_ = rig_.MakeDevice("camera");
    nic_ = rig_.MakeDevice("nic", 1);
  }
  ClientRef MakeClient(const Budget& dma = {}) {
    return *rig_.host().CreateClient({.name = "owner", .dma = dma});
  }
  BoRef MakeOf(const ClientRef& client) {
    BoRef bo = *rig_.host().CreateBo(kBytes, client);
    rig_.CpuFill(bo, 1);
    return bo;
  }
  absl::Status ValidateOn(Device& device, const BoRef& bo,
                          const Placement& place) {
    ValidateContext context;
    bo->Reserve();
    absl::Status status = device.Validate(*bo, {&place, 1}, &context);
    bo->Unreserve();
    return status;
  }
  // What `client` is charged for: host, DMA, device pages.
  static std::vector<uint64_t> Charged(const ClientRef& client) {
    std::vector<uint64_t> pages;
    for (int i = 0; i < kResources; ++i) {
      pages.push_back(client->account(static_cast<Resource>(i)).used_pages());
    }
    return pages;
  }
  void ExpectReport(const std::vector<uint64_t>& owner) {
    const UsageReport report = rig_.host().Report();
    for (int i = 0; i < kResources; ++i) {
      EXPECT_EQ(report.lines[1].pages[i], owner[i]);
      EXPECT_EQ(report.total_pages[i], owner[i]);
    }
    EXPECT_EQ(rig_.Broken(), "");
  }

  SharingRig rig_{MachineKind::kIommu};
  std::unique_ptr<Device> camera_;
  std::unique_ptr<Device> nic_;
};

TEST_F(ShareClients, R13_TheClientOfTheBoPaysOnceForAllWhoShareIt) {
  using Pages = std::vector<uint64_t>;
  const ClientRef client = MakeClient();
  const BoRef bo = MakeOf(client);
  const SharedBuffer shared = rig_.Export(bo);
  auto at_camera = rig_.Attach(shared, *camera_, kOneSegment);
  auto at_nic = rig_.Attach(shared, *nic_);
  EXPECT_EQ(Charged(client), (Pages{8, 0, 0}));
  ASSERT_TRUE(rig_.Map(*at_camera).ok());
  ExpectReport({8, 8, 0});
  ASSERT_TRUE(rig_.Map(*at_nic).ok());
  EXPECT_EQ(rig_.machine().domain(1).used_iova_pages(), 8u);
  EXPECT_EQ(Charged(client), (Pages{8, 8, 0}));
  ExpectReport({8, 8, 0});
  ASSERT_TRUE(rig_.Validate(bo, kVram).ok());
  rig_.ReapAll();
  EXPECT_EQ(Charged(client), (Pages{0, 0, 8}));
  ExpectReport({0, 0, 8});
  ASSERT_TRUE(rig_.Map(*at_nic).ok());
  EXPECT_EQ(Charged(client), (Pages{8, 8, 0}));
  ExpectReport({8, 8, 0});
  at_nic.reset();
  at_camera.reset();
  EXPECT_EQ(Charged(client), (Pages{8, 0, 0}));
  ExpectReport({8, 0, 0});
}

TEST_F(ShareClients, R14_AtItsLimitTheClientOfTheBoEvictsItsOwn) {
  const ClientRef client = MakeClient({.max_pages = 12});
  const BoRef others = rig_.Make(kBytes);
  ASSERT_TRUE(rig_.Validate(others, Tt(DmaType::kDynamic)).ok());
  const BoRef first = MakeOf(client);
  const BoRef second = MakeOf(client);
  auto at_first = rig_.Attach(rig_.Export(first), *nic_, kOneSegment);
  auto at_second = rig_.Attach(rig_.Export(second), *nic_, kOneSegment);
  for (int round = 0; round < 3; ++round) {
    ASSERT_TRUE(rig_.Map(*at_first).ok());
    EXPECT_FALSE(at_second->mapped());
    ASSERT_TRUE(rig_.Map(*at_second).ok());
    EXPECT_FALSE(at_first->mapped());
    EXPECT_EQ(rig_.WrongBytes(*nic_, *at_second, 1), 0u);
    EXPECT_EQ(Charged(client), (std::vector<uint64_t>{16, 8, 0}));
  }
  EXPECT_TRUE(BoundThrough(rig_, others, DmaType::kDynamic));
  EXPECT_EQ(rig_.moves(), 5);
  EXPECT_EQ(rig_.Broken(), "");
}

TEST_F(ShareClients, R14_ALimitThatIsTooLowIsNamedAndTheBoStays) {
  const ClientRef client = MakeClient({.max_pages = 7});
  for (const Placement& home : {kSystem, kVram, Tt(DmaType::kNone)}) {
    const BoRef bo = MakeOf(client);
    ASSERT_TRUE(rig_.Validate(bo, home).ok());
    auto at_nic = rig_.Attach(rig_.Export(bo), *nic_, kOneSegment);
    const absl::Status status = rig_.Map(*at_nic);
    EXPECT_EQ(KindOf(status), ErrorKind::kNeverFits);
    EXPECT_THAT(std::string(status.message()),
                HasSubstr("owner's limit of DMA resources"));
    EXPECT_TRUE(rig_.In(bo, home.memory));
    EXPECT_EQ(rig_.CpuWrongBytes(bo, 1), 0u);
    EXPECT_EQ(rig_.Broken(), "");
  }
}

// Of what one segment could be bound with, all is taken.
TEST_F(ShareClients, R12_WhatCannotBeBoundComesBackToWhereItWas) {
  GpuConfig config = OptionsOf(MachineKind::kIommu).gpu;
  config.name = "other";
  config.domain = 1;
  auto other = *Device::Create(rig_.host(), config);
  const ClientRef client = MakeClient();
  std::vector<BoRef> hogs;
  for (const DmaType type : {DmaType::kDynamic, DmaType::kCma}) {
    hogs.push_back(rig_.Make(kMiB - kBytes / 2));
    const absl::Status bound = rig_.Validate(hogs.back(), Tt(type));
    // The second finds IOVAs of the first's domain gone.
    if (!bound.ok()) continue;
    rig_.Pin(hogs.back());
  }
  for (Device* device : {&rig_.device(), other.get()}) {
    for (const Placement& home : {kVram, kSystem}) {
      const BoRef bo = MakeOf(client);
      ASSERT_TRUE(ValidateOn(*device, bo, home).ok());
      auto at_camera = rig_.Attach(rig_.Export(bo), *camera_, kOneSegment);
      EXPECT_EQ(KindOf(rig_.Map(*at_camera)), ErrorKind::kCannotFit);
      EXPECT_EQ(&bo->manager(), device->manager(home.memory));
      EXPECT_FALSE(at_camera->mapped());
      EXPECT_EQ(rig_.CpuWrongBytes(bo, 1), 0u);
      EXPECT_EQ(rig_.Broken(), "");
    }
  }
  // Bound for the other one, where there is room.
  const BoRef bo = MakeOf(client);
  ASSERT_TRUE(ValidateOn(*other, bo, Tt(DmaType::kCoherent)).ok());
  auto at_camera = rig_.Attach(rig_.Export(bo), *camera_, kOneSegment);
  EXPECT_EQ(KindOf(rig_.Map(*at_camera)), ErrorKind::kCannotFit);
  EXPECT_EQ(&bo->manager(), other->manager(MemoryType::kTt));
  EXPECT_EQ(rig_.CpuWrongBytes(bo, 1), 0u);
  EXPECT_EQ(rig_.Broken(), "");
  for (const BoRef& hog : hogs) {
    if (hog->pinned()) rig_.Unpin(hog);
  }
  rig_.Map(*at_camera).IgnoreError();
  ASSERT_TRUE(rig_.Validate(bo, kSystem).ok());
}

// Seen with the caches of a device that has them, it is bound anew for one
// that has not.
TEST(ShareViews, R6_WhatADeviceWithCachesBoundIsBoundAnewForOneWithout) {
  SharingRig rig(MachineKind::kNonCoherent);
  auto camera = rig.MakeDevice("camera");
  auto coherent = rig.MakeDevice("coherent", 0, 0, /*differs=*/true);
  const BoRef bo = rig.Make(kBytes);
  rig.CpuFill(bo, 1);
  const SharedBuffer shared = rig.Export(bo);
  const Placement bound{.dma = DmaType::kDynamic};
  ValidateContext context;
  bo->Reserve();
  ASSERT_TRUE(coherent->Validate(*bo, {&bound, 1}, &context).ok());
  bo->Unreserve();
  auto at_camera = rig.Attach(shared, *camera);
  ASSERT_TRUE(rig.Map(*at_camera).ok());
  EXPECT_EQ(rig.WrongBytes(*camera, *at_camera, 1), 0u);
  rig.Fill(*camera, *at_camera, 2);
  EXPECT_EQ(rig.CpuWrongBytes(bo, 2), 0u);
  EXPECT_EQ(rig.Broken(), "");
}

// Masks of all widths, of the importer's port and of what it asks (S24).
class ShareMasks : public testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Bits, ShareMasks,
                         testing::Values(24, 28, 30, 32, 36, 40, 64));

TEST_P(ShareMasks, S24_BothMasksHoldForASharedBo) {
  const int bits = GetParam();
  for (const MachineKind kind :
       {MachineKind::kBareMetal, MachineKind::kIommu}) {
    for (const bool of_port : {true, false}) {
      SCOPED_TRACE(absl::StrCat(NameOf(kind), of_port ? " port" : " asked"));
      RigOptions options = OptionsOf(kind);
      // Some above 24 bits.
      options.machine.dma32_bytes = 32 * kMiB;
      SharingRig rig(options);
      auto nic = rig.MakeDevice("nic", 1, of_port ? bits : 64);
      const BoRef bo = rig.Make(kBytes);
      rig.CpuFill(bo, 1);
      auto at_nic =
          rig.Attach(rig.Export(bo), *nic, {.mask_bits = of_port ? 64 : bits});
      ASSERT_EQ(rig.Map(*at_nic), absl::OkStatus());
      const DmaAddress highest = ~DmaAddress{0} >> (64 - bits);
      for (const DmaAddress address : rig.AddressesOf(*at_nic)) {
        EXPECT_LE(address + (kPageSize - 1), highest);
      }
      EXPECT_EQ(rig.WrongBytes(*nic, *at_nic, 1), 0u);
      EXPECT_EQ(rig.Broken(), "");
    }
  }
}

}  // namespace
}  // namespace twostep
