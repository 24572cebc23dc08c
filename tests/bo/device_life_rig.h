#ifndef TESTS_BO_DEVICE_LIFE_RIG_H_
#define TESTS_BO_DEVICE_LIFE_RIG_H_

// Bos in every kind of place of a device that is about to leave.

#include <memory>
#include <vector>

#include "gmock/gmock.h"
#include "tests/bo/platforms.h"
#include "twostep/bo/exec.h"
#include "twostep/bo/gpu_runs.h"

namespace twostep {

inline constexpr uint64_t kSize = 128 * kKiB;
using Contents = Unplugging::Contents;
using Engine = Unplugging::CopyEngine;

// A driver whose queues stop with its device.
class Driver : public DeviceHooks {
 public:
  void Lost(const absl::Status& error) override {
    ++lost;
    if (gpu != nullptr) gpu->Fail(error);
    for (Timeline* timeline : timelines) timeline->Fail(error);
  }
  std::unique_ptr<ModelGpu> gpu;
  std::vector<Timeline*> timelines;
  int lost = 0;
};

class DeviceLife : public ::testing::TestWithParam<MachineKind> {
 protected:
  // One bo in every kind of place, each with its own bytes.
  struct Bos {
    std::vector<BoRef> in_frames;  // wherever its bytes are, the CPU has them
    std::vector<BoRef> in_vram;
  };

  RigOptions Options(DeviceHooks* hooks) const {
    RigOptions options = OptionsOf(GetParam());
    options.hooks = hooks;
    return options;
  }
  static uint64_t SeedOf(const BoRef& bo) { return bo->id() * 7 + 1; }
  static BoRef Filled(Rig& rig) {
    BoRef bo = rig.Make(kSize);
    rig.CpuFill(bo, SeedOf(bo));
    return bo;
  }
  static BoRef In(Rig& rig, const Placement& placement) {
    BoRef bo = Filled(rig);
    EXPECT_EQ(rig.Validate(bo, placement), absl::OkStatus());
    return bo;
  }
  static Bos Everywhere(Rig& rig) {
    Bos bos;
    for (const DmaType dma : kBuiltInDmaTypes) {
      bos.in_frames.push_back(In(rig, Tt(dma)));
      bos.in_frames.push_back(In(rig, Placement{.dma = dma}));
    }
    for (int i = 0; i < 3; ++i) bos.in_vram.push_back(In(rig, kVram));
    return bos;
  }
  static uint64_t NonZeroBytes(const BoRef& bo) {
    auto mapping = *CpuMapping::Create(bo);
    EXPECT_TRUE(WaitForCpu(*bo, Access::kRead).ok());
    uint64_t count = 0;
    for (uint64_t i = 0; i < bo->size_bytes(); ++i) {
      count += mapping->data()[i] != std::byte{0};
    }
    return count;
  }
  static void ExpectAtHome(Rig& rig, const BoRef& bo) {
    EXPECT_EQ(bo->binder(), nullptr) << bo->DebugName();
    EXPECT_EQ(&bo->manager(), &rig.host().system_manager()) << bo->DebugName();
  }
  static void ExpectKept(Rig& rig, const BoRef& bo) {
    ExpectAtHome(rig, bo);
    EXPECT_FALSE(bo->purged()) << bo->DebugName();
    EXPECT_EQ(rig.CpuWrongBytes(bo, SeedOf(bo)), 0) << bo->DebugName();
  }
  static void ExpectLost(Rig& rig, const BoRef& bo) {
    ExpectAtHome(rig, bo);
    EXPECT_TRUE(bo->purged()) << bo->DebugName();
    EXPECT_EQ(NonZeroBytes(bo), 0) << bo->DebugName();
  }
  // Nothing of what a device can hold is held.
  static void ExpectNothingHeld(Rig& rig) {
    EXPECT_EQ(rig.Broken(), "");
    for (const auto& [name, value] : AccountsOf(rig)) {
      if (name.starts_with("frames of") || name.starts_with("system") ||
          name == "swap slots") {
        continue;
      }
      EXPECT_EQ(value, 0) << name;
    }
  }
};

}  // namespace twostep

#endif  // TESTS_BO_DEVICE_LIFE_RIG_H_
