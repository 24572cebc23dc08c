// Devices that leave: hot-unplug, teardown in any order; S30.

#include <optional>
#include <string>
#include <vector>

#include "tests/bo/device_life_rig.h"

namespace twostep {
namespace {

using ::testing::HasSubstr;

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

// Drops the last reference to the victim while it is copied away from a device
// that goes just then.
class DropsTheVictim final : public Driver {
 public:
  absl::StatusOr<Fence> Copy(CopyEngine& engine, CopyJob job,
                             absl::Span<const Fence> dependencies) override {
    if (victim == nullptr || job.from.kind != CopySide::Kind::kVram) {
      return DeviceHooks::Copy(engine, std::move(job), dependencies);
    }
    victim = nullptr;
    unplugger.emplace([this] { rig->device().Unplug({}); });
    for (uint64_t i = 0; !gone.load(); ++i) YieldFor(i);
    engine.Fail(MakeError(ErrorKind::kDeviceLost, "gone"));
    return DeviceHooks::Copy(engine, std::move(job), dependencies);
  }
  void Lost(const absl::Status& error) override {
    Driver::Lost(error);
    gone.store(true);
  }
  Rig* rig = nullptr;
  BoRef victim;
  std::optional<Thread> unplugger;
  Atomic<bool> gone{false};
};

TEST_P(DeviceLife, Unplugged_AVictimThatIsDroppedMeanwhileGoesOnce) {
  DropsTheVictim driver;
  Rig rig(Options(&driver));
  driver.rig = &rig;
  const uint64_t vram = rig.device().manager(MemoryType::kVram)->pages();
  BoRef victim = rig.Make(PagesToBytes(vram));
  rig.CpuFill(victim, 1);
  ASSERT_EQ(rig.Validate(victim, kVram), absl::OkStatus());
  const BoRef comes = rig.Make(kPageSize);
  driver.victim = std::move(victim);
  {
    Exec exec(rig.device());
    exec.Add(*comes, {&kVram, 1}, FenceUse::kWrite);
    ValidateContext context;
    EXPECT_EQ(KindOf(exec.Run(&context)), ErrorKind::kDeviceLost);
  }
  driver.unplugger.reset();
  EXPECT_EQ(rig.host().bo_count(), 1u);
  ExpectNothingHeld(rig);
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
