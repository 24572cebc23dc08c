// S7, S8, R9, R12, R13: bos that move from one device to another.

#include <memory>
#include <vector>

#include "gtest/gtest.h"
#include "tests/bo/rig.h"

namespace twostep {
namespace {

class TwoDevices : public testing::Test {
 protected:
  // 12 MiB of frames below 4 GiB and 4 MiB above, which are given out first.
  // One device reaches all of them, the other only those below.
  TwoDevices() : rig_(RigOptions::Small(IommuMode::kAbsent)) {
    GpuConfig config;
    config.name = "narrow";
    config.dma_mask_bits = 32;
    config.aperture_bytes = 8 * kMiB;
    config.vram_bytes = kMiB;
    config.vram_visible_bytes = kMiB;
    narrow_ = *Device::Create(rig_.host(), config);
  }

  absl::Status ValidateOn(Device& device, const BoRef& bo,
                          const Placement& placement,
                          ValidateContext* context) {
    bo->Reserve();
    absl::Status status = device.Validate(*bo, {&placement, 1}, context);
    bo->Unreserve();
    return status;
  }
  absl::Status ValidateOn(Device& device, const BoRef& bo,
                          const Placement& placement) {
    return ValidateOn(device, bo, placement, &context_);
  }
  PageCount PagesAbove(const BoRef& bo) {
    PageCount above = 0;
    for (const FrameNumber frame : bo->pages().frames()) {
      above += PhysicalMemory::ZoneOf(frame) == Zone::kNormal;
    }
    return above;
  }
  BoRef Anonymous(uint64_t bytes, uint64_t seed) {
    BoRef bo = rig_.Make(bytes);
    rig_.CpuFill(bo, seed);
    return bo;
  }

  Rig rig_;
  std::unique_ptr<Device> narrow_;
  ValidateContext context_;
};

TEST_F(TwoDevices, S7OnlyFramesAboveTheMaskAreCopied) {
  const Placement none = Tt(DmaType::kNone);
  const BoRef high = Anonymous(256 * kKiB, 1);
  ASSERT_EQ(PagesAbove(high), high->page_count());
  ASSERT_EQ(ValidateOn(*narrow_, high, none), absl::OkStatus());
  EXPECT_EQ(PagesAbove(high), 0u);
  EXPECT_EQ(context_.bytes_moved, high->size_bytes());
  EXPECT_EQ(rig_.CpuWrongBytes(high, 1), 0u);

  // Of one that lies on both sides, the part above.
  const BoRef filler = Anonymous(4 * kMiB - 64 * kKiB, 2);
  const BoRef both = Anonymous(128 * kKiB, 3);
  const PageCount above = PagesAbove(both);
  ASSERT_GT(above, 0u);
  ASSERT_LT(above, both->page_count());
  ValidateContext context;
  ASSERT_EQ(ValidateOn(*narrow_, both, none, &context), absl::OkStatus());
  EXPECT_EQ(context.bytes_moved, PagesToBytes(above));
  EXPECT_EQ(rig_.CpuWrongBytes(both, 3), 0u);
  EXPECT_EQ(rig_.Broken(), "");
}

TEST_F(TwoDevices, S7R9From32To64BitsNothingIsCopied) {
  const Placement none = Tt(DmaType::kNone);
  const BoRef bo = Anonymous(256 * kKiB, 4);
  ASSERT_EQ(ValidateOn(*narrow_, bo, none), absl::OkStatus());
  const std::vector<FrameNumber> frames(bo->pages().frames().begin(),
                                        bo->pages().frames().end());
  ValidateContext context;
  ASSERT_EQ(ValidateOn(rig_.device(), bo, none, &context), absl::OkStatus());
  EXPECT_EQ(context.bytes_moved, 0u);
  EXPECT_TRUE(
      std::equal(frames.begin(), frames.end(), bo->pages().frames().begin()));
  EXPECT_EQ(rig_.DeviceWrongBytes(bo, 4), 0u);
  // And back, below the mask as they are.
  ASSERT_EQ(ValidateOn(*narrow_, bo, none, &context), absl::OkStatus());
  EXPECT_EQ(context.bytes_moved, 0u);
  EXPECT_EQ(rig_.Broken(), "");
}

TEST_F(TwoDevices, S8R9CoherentBelongsToItsDeviceAndMovingCopies) {
  const Placement coherent = Tt(DmaType::kCoherent);
  const BoRef bo = Anonymous(256 * kKiB, 5);
  ASSERT_EQ(ValidateOn(rig_.device(), bo, coherent), absl::OkStatus());
  ValidateContext context;
  ASSERT_EQ(ValidateOn(*narrow_, bo, coherent, &context), absl::OkStatus());
  // Out of the one device's memory, into the other's.
  EXPECT_EQ(context.bytes_moved, 2 * bo->size_bytes());
  EXPECT_EQ(rig_.CpuWrongBytes(bo, 5), 0u);
  EXPECT_EQ(rig_.Broken(), "");
}

// A device whose frames lie below its mask needs no coherent memory.
TEST_F(TwoDevices, S8ABareMachineDoesWithoutCoherentMemory) {
  const BoRef bo = rig_.Make(256 * kKiB);
  ASSERT_EQ(ValidateOn(*narrow_, bo, Tt(DmaType::kNone)), absl::OkStatus());
  EXPECT_EQ(PagesAbove(bo), 0u);
  EXPECT_EQ(context_.bytes_moved, 0u);
  EXPECT_EQ(rig_.machine().coherent_pool().used_frames(), 0u);
}

TEST_F(TwoDevices, FromFixedMemoryToFixedMemory) {
  const BoRef bo = Anonymous(512 * kKiB, 6);
  ASSERT_EQ(ValidateOn(rig_.device(), bo, kVram), absl::OkStatus());
  ASSERT_EQ(ValidateOn(*narrow_, bo, kVram), absl::OkStatus());
  EXPECT_EQ(&bo->manager(), narrow_->manager(MemoryType::kVram));
  EXPECT_EQ(rig_.device().manager(MemoryType::kVram)->used_pages(), 0u);
  EXPECT_EQ(rig_.CpuWrongBytes(bo, 6), 0u);
  EXPECT_EQ(rig_.Broken(), "");
}

TEST_F(TwoDevices, R13AClientIsChargedForWhatItHasOnTheOtherDevice) {
  const ClientRef client = *rig_.host().CreateClient({.name = "client"});
  const Placement places[] = {kVram, Tt(DmaType::kCma), Tt(DmaType::kCoherent)};
  for (const Placement& home : places) {
    for (const Placement& there : places) {
      const BoRef bo = *rig_.host().CreateBo(256 * kKiB, client);
      ASSERT_EQ(ValidateOn(rig_.device(), bo, home), absl::OkStatus());
      ASSERT_EQ(ValidateOn(*narrow_, bo, there), absl::OkStatus());
      // What is being copied from is its client's until then.
      while (rig_.host().ReapGhosts(WaitLimit{})) {
      }
      for (int i = 0; i < kResources; ++i) {
        const auto resource = static_cast<Resource>(i);
        EXPECT_EQ(client->account(resource).used_pages(),
                  bo->Holds(resource) ? bo->page_count() : 0)
            << NameOf(resource);
      }
      EXPECT_EQ(rig_.Broken(), "");
    }
  }
}

// What the other device has no room for does not leave.
TEST_F(TwoDevices, R12NoRoomOnTheOtherDeviceLeavesItWhereItIs) {
  const BoRef squatter = rig_.Make(kMiB);
  ASSERT_EQ(ValidateOn(*narrow_, squatter, kVram), absl::OkStatus());
  rig_.Pin(squatter);
  for (const Placement& home : {kVram, Tt(DmaType::kCoherent)}) {
    const BoRef bo = Anonymous(512 * kKiB, 7);
    ASSERT_EQ(ValidateOn(rig_.device(), bo, home), absl::OkStatus());
    ValidateContext context;
    EXPECT_EQ(KindOf(ValidateOn(*narrow_, bo, kVram, &context)),
              ErrorKind::kCannotFit);
    EXPECT_TRUE(rig_.In(bo, home.memory));
    EXPECT_EQ(context.bytes_moved, 0u);
    EXPECT_EQ(rig_.DeviceWrongBytes(bo, 7), 0u);
    EXPECT_EQ(rig_.Broken(), "");
  }
}

// What only step 1 finds out brings it back.
TEST_F(TwoDevices, R12AFailedBindOnTheOtherDeviceBringsItBack) {
  const BoRef squatter = rig_.Make(kMiB);
  ASSERT_EQ(ValidateOn(*narrow_, squatter, Tt(DmaType::kCma)),
            absl::OkStatus());
  rig_.Pin(squatter);
  for (const Placement& home :
       {kVram, Tt(DmaType::kNone), Tt(DmaType::kCoherent)}) {
    const BoRef bo = Anonymous(512 * kKiB, 8);
    ASSERT_EQ(ValidateOn(rig_.device(), bo, home), absl::OkStatus());
    EXPECT_EQ(KindOf(ValidateOn(*narrow_, bo, Tt(DmaType::kCma))),
              ErrorKind::kCannotFit);
    EXPECT_TRUE(rig_.In(bo, home.memory));
    EXPECT_EQ(rig_.DeviceWrongBytes(bo, 8), 0u);
    EXPECT_EQ(narrow_->manager(MemoryType::kTt)->used_pages(),
              squatter->page_count());
    EXPECT_EQ(rig_.Broken(), "");
  }
}

}  // namespace
}  // namespace twostep
