// Devices that go for good or for a while from a bo that others share (S25):
// hot-unplug and suspend with attachments.

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/bo/sharing_rig.h"
#include "twostep/bo/shared_buffer.h"

namespace twostep {
namespace {

constexpr uint64_t kBytes = 8 * kPageSize;
using Contents = Unplugging::Contents;
using Engine = Unplugging::CopyEngine;

// An exporter with VRAM and an aperture, two importers that can follow moves,
// one of them in a domain of its own, and one that cannot.
class ShareLife : public testing::TestWithParam<MachineKind> {
 protected:
  ShareLife() { rig_.CpuFill(bo_, 1); }
  ~ShareLife() override { EXPECT_EQ(rig_.Broken(), ""); }

  void ExpectBytesAtAll(uint64_t seed) {
    for (const auto& [device, attachment] :
         {std::pair(camera_.get(), at_camera_.get()),
          std::pair(nic_.get(), at_nic_.get())}) {
      if (!attachment->mapped()) {
        ASSERT_EQ(rig_.Map(*attachment), absl::OkStatus());
      }
      EXPECT_EQ(rig_.WrongBytes(*device, *attachment, seed), 0u)
          << device->name();
    }
  }

  SharingRig rig_{GetParam()};
  std::unique_ptr<Device> camera_ = rig_.MakeDevice("camera");
  std::unique_ptr<Device> nic_ = rig_.MakeDevice("nic", /*domain=*/1);
  BoRef bo_ = rig_.Make(kBytes);
  SharedBuffer shared_ = rig_.Export(bo_);
  Attachment at_camera_ = rig_.Attach(shared_, *camera_);
  Attachment at_nic_ = rig_.Attach(shared_, *nic_);
};
INSTANTIATE_TEST_SUITE_P(Machines, ShareLife, testing::ValuesIn(kAllMachines));

TEST_P(ShareLife, S25_AnImportersUnplugEndsItsAddressesAndNoOthers) {
  at_nic_ = rig_.AttachPinning(shared_, *nic_);
  ASSERT_EQ(rig_.Map(*at_camera_), absl::OkStatus());
  ASSERT_EQ(rig_.Map(*at_nic_), absl::OkStatus());
  ASSERT_TRUE(bo_->pinned());
  const auto addresses = rig_.AddressesOf(*at_nic_);
  nic_->Unplug({Contents::kBringHome, Engine::kGone});
  EXPECT_TRUE(rig_.misuses().empty());
  EXPECT_FALSE(at_nic_->mapped());
  EXPECT_FALSE(bo_->pinned());
  EXPECT_EQ(rig_.Faults(*nic_, addresses), addresses.size());
  EXPECT_EQ(KindOf(rig_.Map(*at_nic_)), ErrorKind::kMisuse);
  EXPECT_EQ(rig_.WrongBytes(*camera_, *at_camera_, 1), 0u);
  EXPECT_EQ(rig_.Broken(), "");
}

// A binding that the exporter made for itself alone does not end with it.
TEST_P(ShareLife, S25_ASharedBindingGoesThroughNoDevicesOwnPort) {
  const BoRef bo = rig_.Make(kBytes);
  ASSERT_EQ(rig_.Validate(bo, Tt(DmaType::kDynamic)), absl::OkStatus());
  EXPECT_EQ(bo->binding().port, &rig_.device().port());
  const SharedBuffer shared = rig_.Export(bo);
  const Attachment at_camera = rig_.Attach(shared, *camera_);
  ASSERT_EQ(rig_.Map(*at_camera), absl::OkStatus());
  for (const Device* device : {&rig_.device(), camera_.get(), nic_.get()}) {
    EXPECT_NE(bo->binding().port, &device->port()) << device->name();
  }
}

TEST_P(ShareLife, S25_AddressesOutliveTheExportersUnplug) {
  ASSERT_EQ(rig_.Validate(bo_, Tt((*shared_.Suitable())[0])), absl::OkStatus());
  ASSERT_EQ(rig_.Map(*at_camera_), absl::OkStatus());
  ASSERT_EQ(rig_.Map(*at_nic_), absl::OkStatus());
  const auto addresses = rig_.AddressesOf(*at_nic_);
  const Unplugged gone =
      rig_.device().Unplug({Contents::kBringHome, Engine::kGone});
  EXPECT_EQ(gone.lost, 0u);
  EXPECT_TRUE(rig_.misuses().empty());
  EXPECT_EQ(bo_->manager().kind(), MemoryManager::Kind::kNowhere);
  ASSERT_TRUE(at_nic_->mapped());
  EXPECT_EQ(rig_.AddressesOf(*at_nic_), addresses);
  ExpectBytesAtAll(1);
  EXPECT_EQ(rig_.Broken(), "");
  at_camera_.reset();
  at_nic_.reset();
  EXPECT_EQ(bo_->binder(), nullptr);
  EXPECT_EQ(rig_.CpuWrongBytes(bo_, 1), 0u);
}

TEST_P(ShareLife, S25_BytesInVramOutliveTheExportersUnplug) {
  ASSERT_EQ(rig_.Validate(bo_, kVram), absl::OkStatus());
  const Unplugged gone =
      rig_.device().Unplug({Contents::kBringHome, Engine::kWorks});
  EXPECT_EQ(gone.brought_home, 1u);
  EXPECT_EQ(gone.lost, 0u);
  EXPECT_FALSE(bo_->purged());
  ExpectBytesAtAll(1);
  // Somebody else can export it now.
  EXPECT_TRUE(SharedBuffer::Export(bo_, *camera_).ok());
}

TEST_P(ShareLife, S25_WhatIsDroppedWithTheExporterReadsAsZeroAndImportersKnow) {
  ASSERT_EQ(rig_.Map(*at_nic_), absl::OkStatus());
  const int told = rig_.moves();
  ASSERT_EQ(rig_.Validate(bo_, kVram), absl::OkStatus());
  EXPECT_EQ(rig_.moves(), told + 1);
  const Unplugged gone = rig_.device().Unplug({Contents::kDrop, Engine::kGone});
  EXPECT_EQ(gone.lost, 1u);
  EXPECT_TRUE(bo_->purged());
  ASSERT_EQ(rig_.Map(*at_nic_), absl::OkStatus());
  for (const DmaAddress address : rig_.AddressesOf(*at_nic_)) {
    const std::byte* page = nic_->port().Resolve(address, Access::kRead);
    ASSERT_NE(page, nullptr);
    for (uint64_t i = 0; i < kPageSize; ++i) ASSERT_EQ(page[i], std::byte{0});
  }
}

TEST_P(ShareLife, S25_ImportersGoOnWhileTheExporterSleeps) {
  // One that they have, one that is pinned in VRAM meanwhile.
  BoRef kept = rig_.Make(kBytes);
  rig_.CpuFill(kept, 3);
  ASSERT_EQ(rig_.Validate(kept, kVram), absl::OkStatus());
  rig_.Pin(kept);
  const SharedBuffer shared_kept = rig_.Export(kept);
  const Attachment at_kept = rig_.Attach(shared_kept, *nic_);
  ASSERT_EQ(rig_.Map(*at_camera_), absl::OkStatus());
  ASSERT_EQ(rig_.Map(*at_nic_), absl::OkStatus());

  ASSERT_EQ(rig_.device().Suspend(), absl::OkStatus());
  EXPECT_EQ(rig_.Broken(), "");
  ExpectBytesAtAll(1);
  rig_.Fill(*nic_, *at_nic_, 4);
  EXPECT_EQ(KindOf(rig_.Map(*at_kept)), ErrorKind::kPinned);
  ASSERT_EQ(rig_.device().Resume(), absl::OkStatus());

  EXPECT_EQ(rig_.DeviceWrongBytes(kept, 3), 0u);
  ASSERT_EQ(rig_.Validate(bo_, kVram), absl::OkStatus());
  EXPECT_EQ(rig_.DeviceWrongBytes(bo_, 4), 0u);
  ExpectBytesAtAll(4);
  rig_.Unpin(kept);
  ASSERT_EQ(rig_.Map(*at_kept), absl::OkStatus());
  EXPECT_EQ(rig_.WrongBytes(*nic_, *at_kept, 3), 0u);
}

TEST_P(ShareLife,
       S25_AnImporterThatSleepsMapsNothingAndFindsItsAddressesAgain) {
  ASSERT_EQ(rig_.Map(*at_nic_), absl::OkStatus());
  const auto addresses = rig_.AddressesOf(*at_nic_);
  ASSERT_EQ(nic_->Suspend(), absl::OkStatus());
  ASSERT_EQ(camera_->Suspend(), absl::OkStatus());
  EXPECT_TRUE(at_nic_->mapped());
  EXPECT_EQ(KindOf(rig_.Map(*at_camera_)), ErrorKind::kBusy);
  ASSERT_EQ(nic_->Resume(), absl::OkStatus());
  ASSERT_EQ(camera_->Resume(), absl::OkStatus());
  EXPECT_EQ(rig_.AddressesOf(*at_nic_), addresses);
  ExpectBytesAtAll(1);
}

// --- In any order ---

// Who shares a bo, and may go: devices with their ports, and attachments.
enum class Party { kExporter, kCamera, kNic, kAtCamera, kAtNic };

class ShareOrder : public testing::TestWithParam<MachineKind> {
 protected:
  // Everybody who is left sees the bytes, or is told that its device is gone.
  static void ExpectBytes(SharingRig& rig, Device* device,
                          SharedAttachment* attachment) {
    if (attachment == nullptr) return;
    if (device == nullptr) {
      EXPECT_FALSE(attachment->mapped());
      EXPECT_EQ(KindOf(rig.Map(*attachment)), ErrorKind::kMisuse);
      return;
    }
    ASSERT_EQ(rig.Map(*attachment), absl::OkStatus());
    EXPECT_EQ(rig.WrongBytes(*device, *attachment, 1), 0u);
  }

  static void Play(MachineKind kind, const std::vector<Party>& order,
                   bool can_follow, bool bound_first) {
    SharingRig rig{kind};
    auto camera = rig.MakeDevice("camera");
    auto nic = rig.MakeDevice("nic", /*domain=*/1);
    BoRef bo = rig.Make(kBytes);
    rig.CpuFill(bo, 1);
    {
      const SharedBuffer shared = rig.Export(bo);
      // Made for the exporter's port, then.
      if (bound_first) {
        ASSERT_EQ(rig.Validate(bo, Tt((*shared.Suitable())[0])),
                  absl::OkStatus());
      }
      Attachment at_camera = rig.Attach(shared, *camera);
      Attachment at_nic = can_follow ? rig.Attach(shared, *nic)
                                     : rig.AttachPinning(shared, *nic);
      ASSERT_EQ(rig.Map(*at_camera), absl::OkStatus());
      ASSERT_EQ(rig.Map(*at_nic), absl::OkStatus());
      for (const Party party : order) {
        switch (party) {
          case Party::kExporter:
            rig.DestroyDevice();
            break;
          case Party::kCamera:
            camera.reset();
            break;
          case Party::kNic:
            nic.reset();
            break;
          case Party::kAtCamera:
            at_camera.reset();
            break;
          case Party::kAtNic:
            at_nic.reset();
            break;
        }
        ExpectBytes(rig, camera.get(), at_camera.get());
        ExpectBytes(rig, nic.get(), at_nic.get());
        EXPECT_EQ(rig.Broken(), "");
      }
    }
    EXPECT_FALSE(bo->pinned());
    EXPECT_EQ(bo->binder(), nullptr);
    EXPECT_EQ(rig.CpuWrongBytes(bo, 1), 0u);
    bo = nullptr;
    rig.ReapAll();
    rig.machine().coherent_pool().GiveBack(256);
    EXPECT_TRUE(rig.NothingUsed());
  }
};
INSTANTIATE_TEST_SUITE_P(Machines, ShareOrder, testing::ValuesIn(kAllMachines));

TEST_P(ShareOrder, S25_DevicesPortsAndAttachmentsGoInAnyOrder) {
  for (int ways = 0; ways < 4; ++ways) {
    const bool can_follow = ways % 2 == 0;
    const bool bound_first = ways / 2 == 0;
    std::vector<Party> order = {Party::kExporter, Party::kCamera, Party::kNic,
                                Party::kAtCamera, Party::kAtNic};
    do {
      Play(GetParam(), order, can_follow, bound_first);
      if (HasFailure()) {
        std::string which;
        for (const Party party : order) {
          absl::StrAppend(&which, static_cast<int>(party), " ");
        }
        FAIL() << "in the order " << which << (can_follow ? "" : ", pinning")
               << (bound_first ? ", bound first" : "");
      }
    } while (std::next_permutation(order.begin(), order.end()));
  }
}

}  // namespace
}  // namespace twostep
