// Devices that leave: hot-unplug, suspend-resume, teardown in any order; S30.

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "tests/bo/platforms.h"
#include "twostep/bo/exec.h"
#include "twostep/bo/gpu_runs.h"

namespace twostep {
namespace {

using ::testing::HasSubstr;

constexpr uint64_t kSize = 128 * kKiB;
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

INSTANTIATE_TEST_SUITE_P(On, DeviceLife, ::testing::ValuesIn(kAllMachines),
                         [](const auto& info) { return NameOf(info.param); });

// --- hot-unplug ---

TEST_P(DeviceLife, Unplugged_BosComeHomeWithTheirBytes) {
  for (const Engine engine : {Engine::kWorks, Engine::kGone}) {
    Driver driver;
    Rig rig(Options(&driver));
    Bos bos = Everywhere(rig);
    const Unplugged result =
        rig.device().Unplug({Contents::kBringHome, engine});
    EXPECT_EQ(driver.lost, 1);
    EXPECT_EQ(rig.device().state(), DeviceState::kLost);
    // (NONE, SYSTEM) is home already.
    EXPECT_EQ(result.brought_home,
              bos.in_frames.size() - 1 + (engine == Engine::kWorks ? 3 : 0));
    EXPECT_EQ(result.lost, engine == Engine::kWorks ? 0 : 3);
    ExpectNothingHeld(rig);
    for (const BoRef& bo : bos.in_frames) ExpectKept(rig, bo);
    for (const BoRef& bo : bos.in_vram) {
      engine == Engine::kWorks ? ExpectKept(rig, bo) : ExpectLost(rig, bo);
    }
    EXPECT_EQ(rig.Broken(), "");
    EXPECT_EQ(rig.device().Unplug({}).brought_home, 0);
    EXPECT_EQ(driver.lost, 1);
    rig.DestroyDevice();
    EXPECT_TRUE(rig.misuses().empty());
  }
}

TEST_P(DeviceLife, Unplugged_BosAreDroppedIfAsked) {
  Driver driver;
  Rig rig(Options(&driver));
  Bos bos = Everywhere(rig);
  BoRef anonymous = Filled(rig);
  const Unplugged result =
      rig.device().Unplug({Contents::kDrop, Engine::kWorks});
  EXPECT_EQ(result.brought_home, 0);
  EXPECT_EQ(result.lost, bos.in_frames.size() - 1 + bos.in_vram.size());
  ExpectNothingHeld(rig);
  for (size_t i = 0; i < bos.in_frames.size(); ++i) {
    // The one that was home keeps its contents: they were not the device's.
    i == 1 ? ExpectKept(rig, bos.in_frames[i])
           : ExpectLost(rig, bos.in_frames[i]);
  }
  for (const BoRef& bo : bos.in_vram) ExpectLost(rig, bo);
  ExpectKept(rig, anonymous);
  EXPECT_EQ(rig.Broken(), "");
}

TEST_P(DeviceLife, Unplugged_NothingIsValidatedForItAnyMore) {
  Driver driver;
  Rig rig(Options(&driver));
  BoRef bo = In(rig, Tt(DmaType::kDynamic));
  rig.device().Unplug({});
  for (const Placement& placement :
       {kSystem, kVram, Tt(DmaType::kNone), Tt(DmaType::kDynamic)}) {
    const absl::Status status = rig.Validate(bo, placement);
    EXPECT_EQ(KindOf(status), ErrorKind::kDeviceLost) << status;
    EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
    EXPECT_THAT(std::string(status.message()), HasSubstr("gpu0 is gone"));
  }
  Exec exec(rig.device());
  exec.Add(*bo, {&kVram, 1}, FenceUse::kWrite);
  ValidateContext context;
  EXPECT_EQ(KindOf(exec.Run(&context)), ErrorKind::kDeviceLost);
  EXPECT_TRUE(bo->TryReserve());
  bo->UnreserveUnused();
  EXPECT_EQ(rig.device().Suspend().code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(rig.device().Resume().code(),
            absl::StatusCode::kFailedPrecondition);
  // Another device takes it over.
  GpuConfig config = RigOptions::Small().gpu;
  config.name = "second";
  auto second = *Device::Create(rig.host(), config);
  bo->Reserve();
  EXPECT_EQ(second->Validate(*bo, {&kVram, 1}, &context), absl::OkStatus());
  bo->Unreserve();
  EXPECT_EQ(rig.CpuWrongBytes(bo, SeedOf(bo)), 0);
  bo.reset();
}

TEST_P(DeviceLife, Unplugged_PendingWorkEndsWithAnError) {
  for (const Engine engine : {Engine::kWorks, Engine::kGone}) {
    Driver driver;
    Rig rig(Options(&driver));
    Timeline& timeline = rig.machine().NewTimeline("gpu0.work");
    driver.timelines.push_back(&timeline);
    std::vector<BoRef> bos = {In(rig, Tt(DmaType::kDynamic)), In(rig, kVram)};
    std::vector<Fence> fences;
    for (const BoRef& bo : bos) {
      fences.push_back(timeline.Emit(1'000'000'000));  // never completes
      bo->Reserve();
      bo->fences().Add(fences.back(), FenceUse::kWrite);
      bo->Unreserve();
    }
    // Storage that waits for such a fence.
    BoRef ghost = In(rig, Tt(DmaType::kCoherent));
    const Fence last = timeline.Emit(1'000'000'000);
    ghost->Reserve();
    ghost->fences().Add(last, FenceUse::kRead);
    ghost->Unreserve();
    ghost.reset();
    rig.device().Unplug({Contents::kBringHome, engine});
    for (const Fence& fence : fences) {
      EXPECT_TRUE(fence.Signalled());
      EXPECT_EQ(KindOf(fence.Error()), ErrorKind::kDeviceLost);
      EXPECT_EQ(KindOf(WaitFor(fence, {})), ErrorKind::kDeviceLost);
    }
    ExpectNothingHeld(rig);
    // What the job would have written is not known to the library.
    ExpectKept(rig, bos[0]);
  }
}

TEST(DeviceLost, WaitForCpuReportsTheWorkThatFailed) {
  Rig rig;
  BoRef bo = rig.Make(kSize);
  Timeline& timeline = rig.machine().NewTimeline("work");
  bo->Reserve();
  bo->fences().Add(timeline.Emit(1'000), FenceUse::kWrite);
  bo->Unreserve();
  timeline.Fail(MakeError(ErrorKind::kDeviceLost, "gone"));
  EXPECT_EQ(KindOf(WaitForCpu(*bo, Access::kRead)), ErrorKind::kDeviceLost);
}

TEST_P(DeviceLife, Unplugged_PinsMappingsAndKernelMappingsGoOn) {
  for (const Engine engine : {Engine::kWorks, Engine::kGone}) {
    for (const Placement& placement :
         {Tt(DmaType::kNone), Tt(DmaType::kCoherent), Tt(DmaType::kCma),
          kVram}) {
      Driver driver;
      Rig rig(Options(&driver));
      BoRef bo = In(rig, placement);
      auto user = *CpuMapping::Create(bo);
      auto kernel = *KernelMapping::Create(bo);
      rig.Pin(bo);
      const std::byte first = kernel->data()[0];
      ASSERT_EQ(user->data()[0], first);
      const bool lost =
          placement.memory == MemoryType::kVram && engine == Engine::kGone;
      rig.device().Unplug({Contents::kBringHome, engine});
      ExpectNothingHeld(rig);
      EXPECT_TRUE(bo->pinned());
      for (uint64_t i = 0; i < kSize; ++i) {
        const std::byte want =
            lost ? std::byte{0} : Rig::PatternByte(SeedOf(bo), i);
        ASSERT_EQ(kernel->data()[i], want) << i;
        ASSERT_EQ(user->data()[i], want) << i;
      }
      // All see the same memory, at home.
      kernel->data()[5] = std::byte{77};
      EXPECT_EQ(user->data()[5], std::byte{77});
      // Nobody else's memory is written: what the bo had is given out again.
      kernel.reset();
      rig.Unpin(bo);
      EXPECT_FALSE(bo->pinned());
      EXPECT_EQ(rig.Broken(), "");
    }
  }
}

// While a kernel mapping lives, the frames that its bo had at the device are
// another's: writing through it must not reach them.
TEST_P(DeviceLife, Unplugged_AKernelMappingReachesNoFrameOfOthers) {
  Driver driver;
  Rig rig(Options(&driver));
  BoRef bo = In(rig, Tt(DmaType::kCoherent));
  auto kernel = *KernelMapping::Create(bo);
  GpuConfig config = RigOptions::Small().gpu;
  config.name = "second";
  auto second = *Device::Create(rig.host(), config);
  rig.device().Unplug({});
  BoRef other = rig.Make(rig.machine().config().coherent_bytes);
  rig.CpuFill(other, 3);
  other->Reserve();
  ValidateContext context;
  const Placement coherent = Tt(DmaType::kCoherent);
  ASSERT_EQ(second->Validate(*other, {&coherent, 1}, &context),
            absl::OkStatus());
  other->Unreserve();
  for (uint64_t i = 0; i < kSize; ++i) kernel->data()[i] = std::byte{0xee};
  EXPECT_EQ(rig.CpuWrongBytes(other, 3), 0);
  EXPECT_EQ(rig.Broken(), "");
  other.reset();
}

// By way of one engine and then another: the second cannot know that the first
// will fail.
TEST_P(DeviceLife, Unplugged_ACopyThatFailsBehindAnotherEnginesIsKnown) {
  Driver driver;
  Rig rig(Options(&driver));
  RecordingHooks hooks;
  GpuConfig config = RigOptions::Small().gpu;
  config.name = "second";
  auto second = *Device::Create(rig.host(), config, &hooks);
  BoRef bo = In(rig, kVram);
  ASSERT_EQ(WaitForCpu(*bo, Access::kRead), absl::OkStatus());
  const auto place = [&](const Placement& placement) {
    ValidateContext context;
    bo->Reserve();
    const absl::Status status =
        second->Validate(*bo, {&placement, 1}, &context);
    bo->Unreserve();
    return status;
  };
  ASSERT_EQ(place(kVram), absl::OkStatus());
  rig.device().Unplug({});
  EXPECT_EQ(bo->device(), second.get());
  EXPECT_EQ(KindOf(WaitForCpu(*bo, Access::kRead)), ErrorKind::kDeviceLost);
  EXPECT_FALSE(bo->purged());
  ASSERT_EQ(place(kSystem), absl::OkStatus());
  EXPECT_TRUE(bo->purged());
  EXPECT_EQ(WaitForCpu(*bo, Access::kRead), absl::OkStatus());
  EXPECT_EQ(rig.Broken(), "");
}

TEST_P(DeviceLife, Unplugged_ADeviceThatIsGoneTakesNothingFromAnother) {
  Driver driver;
  Rig rig(Options(&driver));
  RecordingHooks hooks;
  GpuConfig config = RigOptions::Small().gpu;
  config.name = "second";
  auto second = *Device::Create(rig.host(), config, &hooks);
  BoRef bo = Filled(rig);
  ValidateContext context;
  bo->Reserve();
  ASSERT_EQ(second->Validate(*bo, {&kVram, 1}, &context), absl::OkStatus());
  bo->Unreserve();
  // The engine stops; nobody has said so yet.
  rig.device().copy_engine().Fail(MakeError(ErrorKind::kDeviceLost, "gone"));
  EXPECT_EQ(KindOf(rig.Validate(bo, kVram)), ErrorKind::kDeviceLost);
  EXPECT_EQ(bo->device(), second.get());
  EXPECT_EQ(rig.device().manager(MemoryType::kVram)->used_pages(), 0);
  EXPECT_EQ(rig.Broken(), "");
  rig.device().Unplug({});
  EXPECT_FALSE(bo->purged());
  EXPECT_EQ(rig.CpuWrongBytes(bo, SeedOf(bo)), 0);
  bo.reset();
}

// Threads submit, map and evict all the while: they get errors and end.
TEST_P(DeviceLife, Unplugged_UnderLoad) {
  for (const Engine engine : {Engine::kWorks, Engine::kGone}) {
    Driver driver;
    RigOptions options = Options(&driver);
    options.options.clock = Clock::Kind::kReal;
    Rig rig(options);
    driver.gpu = MakeModelGpu(rig.device(), 3);
    Atomic<uint64_t> submitted{0};
    Atomic<uint64_t> other_errors{0};
    Atomic<int> lost{0};
    std::vector<std::vector<BoRef>> bos(3);
    for (auto& mine : bos) {
      for (int i = 0; i < 6; ++i) mine.push_back(Filled(rig));
    }
    const auto work = [&](int thread) {
      const std::vector<BoRef>& mine = bos[thread];
      for (uint64_t step = 0;; ++step) {
        // Twice VRAM's worth, and the aperture's, in turn.
        const Placement places[] = {
            step % 3 == 0 ? Tt(DmaType::kDynamic) : kVram,
            Tt(DmaType::kCoherent)};
        Exec exec(rig.device());
        for (uint64_t i = 0; i < 3; ++i) {
          exec.Add(*mine[(step + i) % mine.size()], places, FenceUse::kRead);
        }
        ValidateContext context;
        const absl::Status status = exec.Run(&context);
        if (KindOf(status) == ErrorKind::kDeviceLost) {
          ++lost;
          return;
        }
        if (!status.ok()) {
          ++other_errors;
          ADD_FAILURE() << status;
          return;
        }
        GpuJob job;
        std::vector<uint64_t> sums(mine[0]->page_count());
        const BoRef& used = mine[step % mine.size()];
        job.steps.push_back(GpuChecksum{RunsOf(*used), absl::MakeSpan(sums)});
        const Fence done =
            driver.gpu->Submit(thread, std::move(job), exec.dependencies(), 0);
        exec.Finish(done);
        ++submitted;
        // The job's buffer is ours: until the fence, or its error.
        WaitFor(done, {}).IgnoreError();
        auto mapping = *CpuMapping::Create(used);
        EXPECT_TRUE(mapping->Touch(PageRange{0, 1}, Access::kRead).ok() ||
                    rig.device().state() == DeviceState::kLost);
      }
    };
    {
      Thread threads[] = {Thread([&] { work(0); }), Thread([&] { work(1); }),
                          Thread([&] { work(2); })};
      while (submitted < 60) YieldFor(20);
      rig.device().Unplug({Contents::kBringHome, engine});
    }
    EXPECT_EQ(lost, 3);
    EXPECT_EQ(other_errors, 0);
    ExpectNothingHeld(rig);
    uint64_t purged = 0;
    for (const auto& mine : bos) {
      for (const BoRef& bo : mine) {
        purged += bo->purged();
        bo->purged() ? ExpectLost(rig, bo) : ExpectKept(rig, bo);
      }
    }
    if (engine == Engine::kWorks) {
      EXPECT_EQ(purged, 0);
    }
    EXPECT_EQ(rig.Broken(), "");
    driver.gpu.reset();
    rig.DestroyDevice();
    EXPECT_TRUE(rig.misuses().empty());
  }
}

// --- suspend-resume ---

TEST_P(DeviceLife, Suspended_EveryByteComesBack) {
  Driver driver;
  Rig rig(Options(&driver));
  Bos bos = Everywhere(rig);
  rig.Pin(bos.in_vram[0]);
  rig.Pin(bos.in_vram[1]);
  rig.Pin(bos.in_frames[0]);
  rig.KeepBusy(bos.in_vram[1]);
  const PageCount at[] = {bos.in_vram[0]->start_page(),
                          bos.in_vram[1]->start_page()};
  ASSERT_EQ(rig.device().Suspend(), absl::OkStatus());
  EXPECT_EQ(rig.device().state(), DeviceState::kSuspended);
  EXPECT_EQ(rig.Broken(), "");
  // All of VRAM has lost its bytes.
  const Vram* vram = rig.device().manager(MemoryType::kVram)->vram();
  const std::byte scribble = vram->data()[0];
  for (uint64_t i = 0; i < vram->bytes(); ++i) {
    ASSERT_EQ(vram->data()[i], scribble) << i;
  }
  EXPECT_TRUE(rig.In(bos.in_vram[0], MemoryType::kVram));
  EXPECT_FALSE(rig.In(bos.in_vram[2], MemoryType::kVram));
  EXPECT_EQ(rig.CpuWrongBytes(bos.in_vram[2], SeedOf(bos.in_vram[2])), 0);
  for (size_t i = 1; i < bos.in_frames.size(); ++i) {
    ExpectAtHome(rig, bos.in_frames[i]);
  }
  EXPECT_EQ(KindOf(rig.Validate(bos.in_vram[2], kVram)), ErrorKind::kBusy);
  EXPECT_EQ(rig.device().Suspend().code(),
            absl::StatusCode::kFailedPrecondition);
  // The CPU does not see what the device has lost.
  auto mapping = *CpuMapping::Create(bos.in_vram[0]);
  EXPECT_EQ(KindOf(mapping->Touch(PageRange{0, 1}, Access::kRead)),
            ErrorKind::kBusy);

  ASSERT_EQ(rig.device().Resume(), absl::OkStatus());
  EXPECT_EQ(rig.device().state(), DeviceState::kRunning);
  for (int i = 0; i < 2; ++i) {
    EXPECT_TRUE(rig.In(bos.in_vram[i], MemoryType::kVram));
    EXPECT_EQ(bos.in_vram[i]->start_page(), at[i]);
    EXPECT_TRUE(bos.in_vram[i]->pinned());
    EXPECT_EQ(rig.DeviceWrongBytes(bos.in_vram[i], SeedOf(bos.in_vram[i])), 0);
    EXPECT_EQ(rig.CpuWrongBytes(bos.in_vram[i], SeedOf(bos.in_vram[i])), 0);
  }
  EXPECT_EQ(rig.DeviceWrongBytes(bos.in_frames[0], SeedOf(bos.in_frames[0])),
            0);
  ASSERT_EQ(rig.Validate(bos.in_vram[2], kVram), absl::OkStatus());
  EXPECT_EQ(rig.DeviceWrongBytes(bos.in_vram[2], SeedOf(bos.in_vram[2])), 0);
  for (size_t i = 1; i < bos.in_frames.size(); ++i) {
    EXPECT_EQ(rig.CpuWrongBytes(bos.in_frames[i], SeedOf(bos.in_frames[i])), 0);
  }
  EXPECT_EQ(rig.Broken(), "");
  EXPECT_EQ(rig.device().Resume().code(),
            absl::StatusCode::kFailedPrecondition);
}

// Given up by their owner, or purged: they do not come back.
TEST_P(DeviceLife, Suspended_WhatIsDroppedMeanwhileIsNotRestored) {
  for (const bool resume : {true, false}) {
    Driver driver;
    Rig rig(Options(&driver));
    BoRef bo = In(rig, kVram);
    rig.Pin(bo);
    ASSERT_EQ(rig.device().Suspend(), absl::OkStatus());
    GpuConfig config = RigOptions::Small().gpu;
    config.name = "second";
    auto second = *Device::Create(rig.host(), config);
    rig.Unpin(bo);
    ValidateContext context;
    bo->Reserve();
    ASSERT_EQ(second->Validate(*bo, {}, &context), absl::OkStatus());
    bo->Unreserve();
    if (resume) {
      ASSERT_EQ(rig.device().Resume(), absl::OkStatus());
    } else {
      rig.device().Unplug({});
    }
    EXPECT_EQ(NonZeroBytes(bo), 0);
    EXPECT_EQ(rig.Broken(), "");
  }
}

TEST_P(DeviceLife, Suspended_WithoutRoomForItTheDeviceRunsOn) {
  Driver driver;
  RigOptions options = Options(&driver);
  options.machine.dma32_bytes = 4 * kMiB;  // 1 MiB of it beside the pools
  options.machine.normal_bytes = 0;
  options.machine.swap_bytes = 0;
  Rig rig(options);
  std::vector<BoRef> bos;
  for (int i = 0; i < 8; ++i) {
    bos.push_back(In(rig, kVram));
    rig.Pin(bos[i]);
  }
  // Of the frames, all but one bo's worth.
  BoRef hog = rig.Make(kMiB - kSize);
  rig.CpuFill(hog, 1);
  const absl::Status status = rig.device().Suspend();
  EXPECT_EQ(KindOf(status), ErrorKind::kCannotFit) << status;
  EXPECT_EQ(rig.device().state(), DeviceState::kRunning);
  EXPECT_EQ(rig.host().bo_count(), 9);
  EXPECT_EQ(rig.Broken(), "");
  for (const BoRef& bo : bos) {
    EXPECT_EQ(rig.Validate(bo, kVram), absl::OkStatus());
    EXPECT_EQ(rig.DeviceWrongBytes(bo, SeedOf(bo)), 0);
  }
  EXPECT_EQ(rig.CpuWrongBytes(hog, 1), 0);
}

// B19
TEST_P(DeviceLife, Suspended_NotWithinTheTimeTheDeviceRunsOn) {
  Driver driver;
  RigOptions options = Options(&driver);
  options.options.clock = Clock::Kind::kReal;
  Rig rig(options);
  Timeline& ring = rig.machine().NewTimeline("gpu0.work");
  std::vector<BoRef> bos = {In(rig, kVram), In(rig, kVram)};
  rig.Pin(bos[0]);
  for (const BoRef& busy : bos) {
    // The other one may have gone home before.
    ASSERT_EQ(rig.Validate(busy, kVram), absl::OkStatus());
    busy->Reserve();
    const Fence job = ring.Emit(0);
    busy->fences().Add(job, FenceUse::kRead);
    // By somebody else, and by a job.
    Thread reserved([&] {
      EXPECT_EQ(KindOf(rig.device().Suspend({WaitLimit::Mode::kNoWait})),
                ErrorKind::kBusy);
    });
    reserved.Join();
    busy->Unreserve();
    EXPECT_EQ(KindOf(rig.device().Suspend(WaitLimit::Within(1'000'000))),
              ErrorKind::kTimeUp);
    EXPECT_EQ(rig.device().state(), DeviceState::kRunning);
    EXPECT_EQ(rig.host().bo_count(), bos.size());
    ring.Complete(job.point);
    EXPECT_EQ(rig.Broken(), "");
  }
  ASSERT_EQ(rig.device().Suspend(), absl::OkStatus());
  ASSERT_EQ(rig.device().Resume(), absl::OkStatus());
  for (const BoRef& bo : bos) {
    EXPECT_EQ(rig.Validate(bo, kVram), absl::OkStatus());
    EXPECT_EQ(rig.DeviceWrongBytes(bo, SeedOf(bo)), 0);
  }
}

TEST_P(DeviceLife, Suspended_UnpluggedAndDestroyedKeepPinnedBytes) {
  for (const bool unplug : {true, false}) {
    Driver driver;
    Rig rig(Options(&driver));
    BoRef pinned = In(rig, kVram);
    auto kernel = *KernelMapping::Create(pinned);
    BoRef other = In(rig, kVram);
    ASSERT_EQ(rig.device().Suspend(), absl::OkStatus());
    if (unplug) {
      const Unplugged result = rig.device().Unplug({});
      EXPECT_EQ(result.brought_home, 1);
      EXPECT_EQ(result.lost, 0);
      ExpectNothingHeld(rig);
    } else {
      rig.DestroyDevice();
      ASSERT_EQ(rig.misuses().size(), 1);
      EXPECT_THAT(rig.misuses()[0].message, HasSubstr(pinned->DebugName()));
    }
    EXPECT_EQ(rig.host().bo_count(), 2);
    ExpectKept(rig, pinned);
    ExpectKept(rig, other);
    for (uint64_t i = 0; i < kSize; ++i) {
      ASSERT_EQ(kernel->data()[i], Rig::PatternByte(SeedOf(pinned), i)) << i;
    }
    EXPECT_EQ(rig.Broken(), "");
  }
}

// Of four bos in VRAM two are pinned; their client may have two in host memory.
TEST_P(DeviceLife, R14_WhatComesHomeOrIsSavedIsItsClients) {
  for (const bool unplug : {false, true}) {
    Driver driver;
    Rig rig(Options(&driver));
    constexpr PageCount kPages = kSize / kPageSize;
    const ClientRef client = *rig.host().CreateClient(
        {.name = "a", .host = {.max_pages = 2 * kPages}});
    const auto charged = [&](Resource resource) {
      return client->account(resource).used_pages();
    };
    std::vector<BoRef> bos;
    for (int i = 0; i < 4; ++i) {
      bos.push_back(*rig.host().CreateBo(kSize, client));
      rig.CpuFill(bos[i], SeedOf(bos[i]));
      ASSERT_EQ(rig.Validate(bos[i], kVram), absl::OkStatus());
    }
    rig.Pin(bos[0]);
    rig.Pin(bos[1]);
    // Once the copies have ended: until then it has both.
    while (rig.host().ReapGhosts(WaitLimit{})) {
    }
    EXPECT_EQ(charged(Resource::kHost), 0);
    ASSERT_EQ(rig.device().Suspend(), absl::OkStatus());
    EXPECT_EQ(charged(Resource::kDevice), 2 * kPages);
    EXPECT_EQ(charged(Resource::kHost), 2 * kPages);
    EXPECT_EQ(rig.host().Report().lines[1].pages[0], 2 * kPages);
    EXPECT_EQ(rig.Broken(), "");
    if (unplug) {
      EXPECT_EQ(rig.device().Unplug({}).brought_home, 2);
      EXPECT_EQ(charged(Resource::kDevice), 0);
      EXPECT_EQ(charged(Resource::kHost), 2 * kPages);
    } else {
      ASSERT_EQ(rig.device().Resume(), absl::OkStatus());
      EXPECT_EQ(charged(Resource::kDevice), 2 * kPages);
      EXPECT_EQ(charged(Resource::kHost), 0);
    }
    EXPECT_EQ(rig.Broken(), "");
    rig.Unpin(bos[0]);
    rig.Unpin(bos[1]);
    // At its limit it makes room with its own, also for those.
    rig.device().Unplug(
        {.contents = Contents::kBringHome, .engine = Engine::kWorks});
    for (const BoRef& bo : bos) ExpectKept(rig, bo);
    EXPECT_LE(charged(Resource::kHost), 2 * kPages);
    EXPECT_EQ(rig.Broken(), "");
  }
}

TEST_P(DeviceLife, Suspended_UnderLoad) {
  Driver driver;
  RigOptions options = Options(&driver);
  options.options.clock = Clock::Kind::kReal;
  Rig rig(options);
  Atomic<bool> stop{false};
  Atomic<uint64_t> placed{0};
  Atomic<uint64_t> refused{0};
  const auto work = [&](uint64_t thread) {
    std::vector<BoRef> bos;
    for (int i = 0; i < 5; ++i) bos.push_back(Filled(rig));
    for (uint64_t step = 0; !stop.load(); ++step) {
      const BoRef& bo = bos[step % 5];
      const Placement placement =
          (step + thread) % 2 == 0 ? kVram : Tt(DmaType::kDynamic);
      Exec exec(rig.device());
      exec.Add(*bo, {&placement, 1}, FenceUse::kWrite);
      ValidateContext context;
      const absl::Status status = exec.Run(&context);
      if (status.ok()) exec.Finish(Fence{});
      if (status.ok()) {
        ++placed;
      } else if (KindOf(status) == ErrorKind::kBusy) {
        ++refused;
        YieldFor(10);
      } else {
        ADD_FAILURE() << status;
      }
      EXPECT_EQ(rig.CpuWrongBytes(bo, SeedOf(bo)), 0);
    }
  };
  {
    Thread threads[] = {Thread([&] { work(0); }), Thread([&] { work(1); })};
    for (int round = 0; round < 6; ++round) {
      const uint64_t before = placed;
      while (placed < before + 6) YieldFor(20);
      EXPECT_EQ(rig.device().Suspend(), absl::OkStatus());
      const uint64_t refusals = refused;
      while (refused == refusals) YieldFor(20);
      EXPECT_EQ(rig.device().manager(MemoryType::kVram)->used_pages(), 0);
      EXPECT_EQ(rig.device().Resume(), absl::OkStatus());
    }
    stop = true;
  }
  EXPECT_EQ(rig.Broken(), "");
}

// --- Teardown ---

TEST_P(DeviceLife, TornDown_WhatStillUsesTheDeviceIsReportedAndGoesOn) {
  Driver driver;
  Rig rig(Options(&driver));
  Bos bos = Everywhere(rig);
  auto user = *CpuMapping::Create(bos.in_vram[0]);
  auto kernel = *KernelMapping::Create(bos.in_frames[4]);  // coherent + tt
  rig.Pin(bos.in_vram[1]);
  rig.DestroyDevice();
  EXPECT_EQ(rig.misuses().size(),
            bos.in_frames.size() - 1 + bos.in_vram.size());
  for (const Misuse& misuse : rig.misuses()) {
    EXPECT_EQ(misuse.kind, Misuse::Kind::kLiveAtTeardown);
  }
  EXPECT_EQ(rig.Broken(), "");
  for (const auto* group : {&bos.in_frames, &bos.in_vram}) {
    for (const BoRef& bo : *group) ExpectKept(rig, bo);
  }
  for (uint64_t i = 0; i < kSize; ++i) {
    ASSERT_EQ(user->data()[i], Rig::PatternByte(SeedOf(bos.in_vram[0]), i));
    ASSERT_EQ(kernel->data()[i], Rig::PatternByte(SeedOf(bos.in_frames[4]), i));
  }
  kernel.reset();
  user.reset();
  rig.Unpin(bos.in_vram[1]);
  EXPECT_EQ(rig.Broken(), "");
}

}  // namespace
}  // namespace twostep
