// Devices that sleep: their memory loses its bytes, and nothing else does.

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/bo/device_life_rig.h"

namespace twostep {
namespace {

using ::testing::HasSubstr;

// Has something done before each copy.
class CopyDriver final : public Driver {
 public:
  absl::StatusOr<Fence> Copy(CopyEngine& engine, CopyJob job,
                             absl::Span<const Fence> dependencies) override {
    ++copies;
    if (before) before();
    if (copies == refused) return absl::InternalError("refused");
    return Driver::Copy(engine, std::move(job), dependencies);
  }
  std::function<void()> before;
  int copies = 0;
  int refused = 0;  // of the copies, which one
};

// Has a bo reserved, on a thread of its own, while it lives.
class Holder {
 public:
  explicit Holder(const BoRef& bo)
      : thread_([this, bo] {
          bo->Reserve();
          held_ = true;
          for (uint64_t rounds = 0; !stop_; ++rounds) YieldFor(rounds);
          bo->UnreserveUnused();
        }) {
    for (uint64_t rounds = 0; !held_; ++rounds) YieldFor(rounds);
  }
  ~Holder() { stop_ = true; }

 private:
  Atomic<bool> held_{false};
  Atomic<bool> stop_{false};
  Thread thread_;
};

class Suspended : public DeviceLife {};
INSTANTIATE_TEST_SUITE_P(On, Suspended, ::testing::ValuesIn(kAllMachines),
                         [](const auto& info) { return NameOf(info.param); });

TEST_P(Suspended, EveryByteComesBack) {
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
TEST_P(Suspended, WhatIsDroppedMeanwhileIsNotRestored) {
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

TEST_P(Suspended, WithoutRoomForItTheDeviceRunsOn) {
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
TEST_P(Suspended, NotWithinTheTimeTheDeviceRunsOn) {
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

// R6: what is saved, or not yet back, is nobody's to read or write.
TEST_P(Suspended, AmidItTheCpuIsKeptOut) {
  CopyDriver driver;
  Rig rig(Options(&driver));
  const std::vector<BoRef> bos = {In(rig, kVram), In(rig, kVram)};
  std::vector<std::unique_ptr<CpuMapping>> mappings;
  for (const BoRef& bo : bos) {
    rig.Pin(bo);
    mappings.push_back(*CpuMapping::Create(bo));
  }
  int asked = 0;
  driver.before = [&] {
    Thread other([&] {
      for (const auto& mapping : mappings) {
        ++asked;
        const absl::Status status =
            mapping->Touch({0, 1}, Access::kWrite, {WaitLimit::Mode::kNoWait});
        EXPECT_EQ(KindOf(status), ErrorKind::kBusy) << status;
      }
    });
  };
  ASSERT_EQ(rig.device().Suspend(), absl::OkStatus());
  // What nothing holds in place any more is not back any earlier.
  rig.Unpin(bos[1]);
  ASSERT_EQ(rig.device().Resume(), absl::OkStatus());
  EXPECT_EQ(asked, 8);
  driver.before = nullptr;
  for (const BoRef& bo : bos) EXPECT_EQ(rig.CpuWrongBytes(bo, SeedOf(bo)), 0);
}

// Something has to be waited for first: who may not, or not for long, leaves
// the device running.
void ExpectNoSuspendAtOnce(Device& device) {
  EXPECT_EQ(KindOf(device.Suspend({WaitLimit::Mode::kNoWait})),
            ErrorKind::kBusy);
  EXPECT_EQ(KindOf(device.Suspend(WaitLimit::Within(1'000'000))),
            ErrorKind::kTimeUp);
  EXPECT_EQ(device.state(), DeviceState::kRunning);
}

// R6: the memory keeps its bytes while a job may still read them.
TEST_P(Suspended, JobsOfBosThatAreGoneAreWaitedFor) {
  Driver driver;
  RigOptions options = Options(&driver);
  options.options.clock = Clock::Kind::kReal;
  Rig rig(options);
  Timeline& ring = rig.machine().NewTimeline("gpu0.work");
  BoRef bo = In(rig, kVram);
  bo->Reserve();
  const Fence job = ring.Emit(0);
  bo->fences().Add(job, FenceUse::kRead);
  bo->Unreserve();
  bo.reset();
  ExpectNoSuspendAtOnce(rig.device());
  ring.Complete(job.point);
  EXPECT_EQ(rig.device().Suspend(), absl::OkStatus());
  EXPECT_EQ(rig.Broken(), "");
}

TEST_P(Suspended, UnpluggedAndDestroyedKeepPinnedBytes) {
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

// It shows the copy that is kept meanwhile, and what is written to that counts.
TEST_P(Suspended, AKernelMappingShowsTheContentsAllAlong) {
  Driver driver;
  Rig rig(Options(&driver));
  BoRef bo = In(rig, kVram);
  auto kernel = *KernelMapping::Create(bo);
  const auto expect_kept = [&](uint64_t written) {
    for (uint64_t i = written; i < kSize; ++i) {
      ASSERT_EQ(kernel->data()[i], Rig::PatternByte(SeedOf(bo), i)) << i;
    }
    for (uint64_t i = 0; i < written; ++i) {
      ASSERT_EQ(kernel->data()[i], static_cast<std::byte>(i + 1)) << i;
    }
  };
  const auto on_device = [&] { return rig.DevicePage(bo, 0, Access::kRead); };
  uint64_t written = 0;
  const auto write_one = [&] {
    kernel->data()[written] = static_cast<std::byte>(written + 1);
    ++written;
  };
  for (int round = 0; round < 2; ++round) {
    ASSERT_EQ(rig.device().Suspend(), absl::OkStatus());
    expect_kept(written);
    write_one();
    expect_kept(written);
    EXPECT_EQ(rig.Broken(), "");
    ASSERT_EQ(rig.device().Resume(), absl::OkStatus());
    expect_kept(written);
    write_one();
    for (uint64_t i = 0; i < written; ++i) {
      EXPECT_EQ(on_device()[i], static_cast<std::byte>(i + 1)) << round;
    }
  }
  EXPECT_EQ(rig.Broken(), "");
}

TEST_P(Suspended, AKernelMappingOutlivesADeviceThatIsUnpluggedMeanwhile) {
  for (const auto contents :
       {Unplugging::Contents::kBringHome, Unplugging::Contents::kDrop}) {
    Driver driver;
    Rig rig(Options(&driver));
    BoRef bo = In(rig, kVram);
    auto kernel = *KernelMapping::Create(bo);
    ASSERT_EQ(rig.device().Suspend(), absl::OkStatus());
    kernel->data()[0] = std::byte{1};
    rig.device().Unplug({.contents = contents});
    const bool kept = contents == Unplugging::Contents::kBringHome;
    EXPECT_EQ(kernel->data()[0], std::byte{kept});
    EXPECT_EQ(kernel->data()[kSize - 1],
              kept ? Rig::PatternByte(SeedOf(bo), kSize - 1) : std::byte{0});
    // The frames are the bo's, or are others': none are written through it.
    kernel->data()[1] = std::byte{2};
    EXPECT_EQ(bo->purged(), !kept);
    EXPECT_EQ(rig.Broken(), "");
  }
}

TEST_P(Suspended, AKernelMappingIsAsItWasWhereTheDeviceRunsOn) {
  Driver driver;
  RigOptions options = Options(&driver);
  options.options.clock = Clock::Kind::kReal;
  Rig rig(options);
  BoRef bo = In(rig, kVram);
  auto kernel = *KernelMapping::Create(bo);
  Timeline& ring = rig.machine().NewTimeline("gpu0.work");
  BoRef gone = In(rig, kVram);
  gone->Reserve();
  const Fence job = ring.Emit(0);
  gone->fences().Add(job, FenceUse::kRead);
  gone->Unreserve();
  gone.reset();
  EXPECT_EQ(KindOf(rig.device().Suspend(WaitLimit::Within(1'000'000))),
            ErrorKind::kTimeUp);
  for (uint64_t i = 0; i < kSize; ++i) {
    ASSERT_EQ(kernel->data()[i], Rig::PatternByte(SeedOf(bo), i)) << i;
  }
  kernel->data()[0] = std::byte{1};
  EXPECT_EQ(rig.DevicePage(bo, 0, Access::kRead)[0], std::byte{1});
  ring.Complete(job.point);
  EXPECT_EQ(rig.Broken(), "");
}

// Of four bos in VRAM two are pinned; their client may have two in host memory.
TEST_P(Suspended, R14_WhatComesHomeOrIsSavedIsItsClients) {
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

TEST_P(Suspended, AResumeThatMayNotWaitForABoIsCalledAgain) {
  Driver driver;
  Rig rig(Options(&driver));
  const BoRef bo = In(rig, kVram);
  rig.Pin(bo);
  ASSERT_EQ(rig.device().Suspend(), absl::OkStatus());
  {
    const Holder holder(bo);
    EXPECT_EQ(KindOf(rig.device().Resume({WaitLimit::Mode::kNoWait})),
              ErrorKind::kBusy);
    EXPECT_EQ(KindOf(rig.device().Resume(WaitLimit::Within(1'000'000))),
              ErrorKind::kTimeUp);
    EXPECT_EQ(rig.device().state(), DeviceState::kSuspended);
    // So do those who want no more than to look at it.
    EXPECT_EQ(
        KindOf(CpuMapping::Create(bo, {WaitLimit::Mode::kNoWait}).status()),
        ErrorKind::kBusy);
  }
  ASSERT_EQ(rig.device().Resume(), absl::OkStatus());
  EXPECT_EQ(rig.DeviceWrongBytes(bo, SeedOf(bo)), 0);
  rig.Unpin(bo);
  EXPECT_EQ(rig.Broken(), "");
}

// B19: of several threads that make a device come and go, too.
TEST_P(Suspended, WhoComesAmidAnotherCallWaitsNoLongerThanItMay) {
  CopyDriver driver;
  Rig rig(Options(&driver));
  Device& device = rig.device();
  const BoRef bo = In(rig, kVram);
  rig.Pin(bo);
  Interrupt interrupt;
  interrupt.Raise();
  const auto try_all = [&](const WaitLimit& limit, ErrorKind kind) {
    const absl::Status suspended = device.Suspend(limit);
    const absl::Status resumed = device.Resume(limit);
    EXPECT_EQ(KindOf(suspended), kind) << suspended;
    EXPECT_EQ(KindOf(resumed), kind) << resumed;
  };
  driver.copies = 0;
  driver.before = [&] {
    Thread other([&] {
      try_all({WaitLimit::Mode::kNoWait}, ErrorKind::kBusy);
      try_all(WaitLimit::Within(1'000'000), ErrorKind::kTimeUp);
      WaitLimit until_interrupted;
      until_interrupted.interrupt = &interrupt;
      try_all(until_interrupted, ErrorKind::kInterrupted);
    });
  };
  ASSERT_EQ(device.Suspend(), absl::OkStatus());
  ASSERT_EQ(device.Resume(), absl::OkStatus());
  EXPECT_EQ(driver.copies, 2);
}

// B19: what a copy waits for in its queue counts as well.
TEST_P(Suspended, ACopyBehindOthersIsNotWaitedForAnyLonger) {
  Driver driver;
  RigOptions options = Options(&driver);
  options.options.clock = Clock::Kind::kReal;
  Rig rig(options);
  const BoRef pinned = In(rig, kVram);
  const BoRef leaving = In(rig, kVram);
  rig.Pin(pinned);
  ASSERT_EQ(WaitForCpu(*pinned, Access::kWrite), absl::OkStatus());
  Timeline& ring = rig.machine().NewTimeline("gpu0.work");
  leaving->Reserve();
  const Fence job = ring.Emit(0);
  leaving->fences().Add(job, FenceUse::kRead);
  leaving->Unreserve();
  ASSERT_EQ(rig.Validate(leaving, kSystem), absl::OkStatus());
  ExpectNoSuspendAtOnce(rig.device());
  ring.Complete(job.point);
  ASSERT_EQ(WaitForCpu(*leaving, Access::kWrite), absl::OkStatus());
  // With nothing in its way it has nothing to wait for.
  ASSERT_EQ(rig.device().Suspend({WaitLimit::Mode::kNoWait}), absl::OkStatus());
  ASSERT_EQ(rig.device().Resume({WaitLimit::Mode::kNoWait}), absl::OkStatus());
  for (const BoRef& bo : {pinned, leaving}) {
    EXPECT_EQ(rig.CpuWrongBytes(bo, SeedOf(bo)), 0);
  }
  EXPECT_EQ(rig.Broken(), "");
}

// B19: the second copy is refused when the first is done, and another thread
// has what has been saved. Only a kernel mapping needs to be put back.
TEST_P(Suspended, WhatEndsEarlyWaitsForNobodyToBeAsItWas) {
  for (const bool mapped : {false, true}) {
    SCOPED_TRACE(mapped ? "mapped" : "pinned");
    CopyDriver driver;
    Rig rig(Options(&driver));
    const std::vector<BoRef> bos = {In(rig, kVram), In(rig, kVram)};
    std::unique_ptr<KernelMapping> kernel;
    if (mapped) kernel = *KernelMapping::Create(bos[0]);
    rig.Pin(bos[0]);
    rig.Pin(bos[1]);
    std::unique_ptr<Holder> holder;
    driver.copies = 0;
    driver.refused = 2;
    driver.before = [&] {
      if (driver.copies == 2) holder = std::make_unique<Holder>(bos[0]);
    };
    const absl::Status refused =
        rig.device().Suspend(WaitLimit::Within(10'000'000));
    EXPECT_EQ(refused.code(), absl::StatusCode::kInternal) << refused;
    EXPECT_EQ(rig.device().state(),
              mapped ? DeviceState::kSuspended : DeviceState::kRunning);
    if (mapped) {
      kernel->data()[0] = std::byte{1};
      EXPECT_EQ(KindOf(rig.device().Resume({WaitLimit::Mode::kNoWait})),
                ErrorKind::kBusy);
      holder.reset();
      ASSERT_EQ(rig.device().Resume(), absl::OkStatus());
      EXPECT_EQ(rig.DevicePage(bos[0], 0, Access::kRead)[0], std::byte{1});
      kernel->data()[0] = Rig::PatternByte(SeedOf(bos[0]), 0);
    }
    holder.reset();
    EXPECT_EQ(rig.host().bo_count(), bos.size());
    for (const BoRef& bo : bos) {
      EXPECT_EQ(rig.DeviceWrongBytes(bo, SeedOf(bo)), 0);
    }
    EXPECT_EQ(rig.Broken(), "");
  }
}

// Some are back in the memory when the device goes, others are not.
TEST_P(Suspended, AResumeCutShortLosesNothingWhenTheDeviceIsUnplugged) {
  for (const Engine engine : {Engine::kGone, Engine::kWorks}) {
    for (const int held : {0, 1}) {
      SCOPED_TRACE(held);
      CopyDriver driver;
      Rig rig(Options(&driver));
      const std::vector<BoRef> bos = {In(rig, kVram), In(rig, kVram)};
      const auto kernel = *KernelMapping::Create(bos[0]);
      rig.Pin(bos[1]);
      ASSERT_EQ(rig.device().Suspend(), absl::OkStatus());
      {
        const Holder holder(bos[held]);
        EXPECT_EQ(KindOf(rig.device().Resume(WaitLimit::Within(1'000'000))),
                  ErrorKind::kTimeUp);
      }
      // Into the memory where that has it, as long as that can be read.
      const bool written = held == 0 || engine == Engine::kWorks;
      kernel->data()[0] = std::byte{1};
      const Unplugged result = rig.device().Unplug({.engine = engine});
      EXPECT_EQ(result.brought_home, 2);
      EXPECT_EQ(result.lost, 0);
      EXPECT_EQ(kernel->data()[0] == std::byte{1}, written);
      kernel->data()[0] = Rig::PatternByte(SeedOf(bos[0]), 0);
      for (const BoRef& bo : bos) ExpectKept(rig, bo);
      ExpectNothingHeld(rig);
    }
  }
}

// And called again it does what is left.
TEST_P(Suspended, AResumeThatACopyEndedIsCalledAgain) {
  CopyDriver driver;
  Rig rig(Options(&driver));
  const std::vector<BoRef> bos = {In(rig, kVram), In(rig, kVram)};
  const auto kernel = *KernelMapping::Create(bos[0]);
  rig.Pin(bos[1]);
  ASSERT_EQ(rig.device().Suspend(), absl::OkStatus());
  driver.copies = 0;
  driver.refused = 2;
  EXPECT_EQ(rig.device().Resume().code(), absl::StatusCode::kInternal);
  EXPECT_EQ(rig.device().state(), DeviceState::kSuspended);
  kernel->data()[0] = std::byte{1};
  ASSERT_EQ(rig.device().Resume(), absl::OkStatus());
  EXPECT_EQ(kernel->data()[0], std::byte{1});
  EXPECT_EQ(rig.DevicePage(bos[0], 0, Access::kRead)[0], std::byte{1});
  EXPECT_EQ(rig.DeviceWrongBytes(bos[1], SeedOf(bos[1])), 0);
  EXPECT_EQ(rig.host().bo_count(), 2);
  EXPECT_EQ(rig.Broken(), "");
}

TEST_P(Suspended, UnderLoad) {
  Driver driver;
  RigOptions options = Options(&driver);
  options.options.clock = Clock::Kind::kReal;
  Rig rig(options);
  Atomic<bool> stop{false};
  Atomic<uint64_t> placed{0};
  Atomic<uint64_t> refused{0};
  // Odd while a suspended device is all that a call may fail for.
  Atomic<uint64_t> asleep{0};
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
      const uint64_t before = asleep;
      const absl::Status status = exec.Run(&context);
      const bool may_be_asleep = before % 2 != 0 || asleep != before;
      if (status.ok()) exec.Finish(Fence{});
      if (status.ok()) {
        ++placed;
      } else if (may_be_asleep && KindOf(status) == ErrorKind::kBusy &&
                 status.message() ==
                     rig.device().name() + " is suspended: resume it first") {
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
      ++asleep;
      EXPECT_EQ(rig.device().Suspend(), absl::OkStatus());
      const uint64_t refusals = refused;
      while (refused == refusals) YieldFor(20);
      EXPECT_EQ(rig.device().manager(MemoryType::kVram)->used_pages(), 0);
      EXPECT_EQ(rig.device().Resume(), absl::OkStatus());
      ++asleep;
    }
    stop = true;
  }
  EXPECT_EQ(rig.Broken(), "");
}

}  // namespace
}  // namespace twostep
