// Two devices that share bos are unplugged, or fall asleep, at the same moment:
// each goes through all bos of the host, and meets the other's.

#include <memory>
#include <utility>
#include <vector>

#include "tests/bo/device_life_rig.h"
#include "twostep/bo/exec.h"
#include "twostep/bo/shared_buffer.h"

namespace twostep {
namespace {

class BothGo : public DeviceLife {
 protected:
  static constexpr int kBos = 12;

  // Half are the one's, half the other's, all are attached to by the other one,
  // and each has two that are pinned in its VRAM.
  struct World {
    explicit World(const RigOptions& options) : rig(options) {
      GpuConfig config = options.gpu;
      config.name = "second";
      second = *Device::Create(rig.host(), config, &hooks);
      Device* const devices[] = {&rig.device(), second.get()};
      for (int i = 0; i < kBos; ++i) {
        Device& owner = *devices[i % 2];
        const BoRef bo = Filled(rig);
        const Placement place = i < 4   ? kVram
                                : i < 8 ? Tt(DmaType::kCoherent)
                                        : Tt(DmaType::kDynamic);
        ValidateContext context;
        EXPECT_EQ(
            WithReserved(*bo, &context,
                         [&] {
                           return owner.Validate(*bo, {&place, 1}, &context);
                         }),
            absl::OkStatus());
        if (i < 4) rig.Pin(bo);
        bos.push_back(bo);
        auto shared = SharedBuffer::Export(bo, owner);
        attachments.push_back(
            *shared->Attach(*devices[(i + 1) % 2], {.moved = [](auto&) {}}));
      }
    }
    // What is done to one is done to the other, at once.
    template <typename Do>
    void OnBoth(Do one_does) {
      Atomic<int> ready{0};
      const auto go = [&](Device& device) {
        ++ready;
        for (uint64_t rounds = 0; ready < 2; ++rounds) YieldFor(rounds);
        one_does(device);
      };
      Thread other([&] { go(*second); });
      go(rig.device());
      other.Join();
    }

    Driver hooks;
    Rig rig;
    std::unique_ptr<Device> second;
    std::vector<BoRef> bos;
    std::vector<std::unique_ptr<SharedAttachment>> attachments;
  };
  RigOptions RealTime() const {
    RigOptions options = Options(nullptr);
    options.options.clock = Clock::Kind::kReal;
    options.machine.coherent_bytes = 4 * kMiB;
    return options;
  }
  static void ExpectAllKept(World& world) {
    for (const BoRef& bo : world.bos) {
      EXPECT_FALSE(bo->purged());
      EXPECT_EQ(world.rig.CpuWrongBytes(bo, SeedOf(bo)), 0);
    }
    EXPECT_EQ(world.rig.Broken(), "");
  }
};
INSTANTIATE_TEST_SUITE_P(On, BothGo, ::testing::ValuesIn(kAllMachines),
                         [](const auto& info) { return NameOf(info.param); });

TEST_P(BothGo, UnpluggedAtOnceAllBosComeHome) {
  for (int round = 0; round < 4; ++round) {
    World world(RealTime());
    world.OnBoth([](Device& device) {
      device.Unplug({Contents::kBringHome, Engine::kWorks});
    });
    for (const BoRef& bo : world.bos) {
      ExpectAtHome(world.rig, bo);
      EXPECT_EQ(bo->device(), nullptr);
    }
    ExpectAllKept(world);
    for (size_t i = 0; i < 4; ++i) world.rig.Unpin(world.bos[i]);
    world.attachments.clear();
  }
}

// Reports go through all bos as well, those included that keep contents while
// what they are of is waited for.
TEST_P(BothGo, AsleepAtOnceAndAwakeAtOnceNothingIsLost) {
  World world(RealTime());
  Timeline& work = world.rig.machine().NewTimeline("work");
  Atomic<bool> stop{false};
  std::vector<Thread> reporters;
  for (int i = 0; i < 2; ++i) {
    reporters.emplace_back([&] {
      while (!stop) EXPECT_GE(world.rig.host().Report().lines[0].bos, 12u);
    });
  }
  for (int round = 0; round < 60; ++round) {
    std::vector<Fence> fences;
    for (size_t i = 0; i < 4; ++i) {
      fences.push_back(work.Emit(0));
      BufferObject& bo = *world.bos[i];
      bo.Reserve();
      bo.fences().Add(fences.back(), FenceUse::kRead);
      bo.Unreserve();
    }
    Thread worker([&] {
      for (const Fence& fence : fences) {
        for (uint64_t rounds = 0; rounds < 10; ++rounds) YieldFor(rounds);
        work.Complete(fence.point);
      }
    });
    world.OnBoth(
        [](Device& device) { EXPECT_EQ(device.Suspend(), absl::OkStatus()); });
    world.OnBoth(
        [](Device& device) { EXPECT_EQ(device.Resume(), absl::OkStatus()); });
  }
  stop = true;
  reporters.clear();
  ExpectAllKept(world);
  for (size_t i = 0; i < 4; ++i) world.rig.Unpin(world.bos[i]);
  world.attachments.clear();
}

// One sleeps while the other goes for good.
TEST_P(BothGo, OneAsleepWhileTheOtherIsUnplugged) {
  for (int round = 0; round < 4; ++round) {
    World world(RealTime());
    world.OnBoth([&](Device& device) {
      if (&device == world.second.get()) {
        device.Unplug({Contents::kBringHome, Engine::kWorks});
      } else {
        EXPECT_EQ(device.Suspend(), absl::OkStatus());
      }
    });
    EXPECT_EQ(world.rig.Broken(), "");
    EXPECT_EQ(world.rig.device().Resume(), absl::OkStatus());
    ExpectAllKept(world);
    for (size_t i = 0; i < 4; ++i) world.rig.Unpin(world.bos[i]);
    world.attachments.clear();
  }
}

}  // namespace
}  // namespace twostep
