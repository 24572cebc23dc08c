// hot-unplug and suspend-resume, each for many seeds: a device goes, for good
// or for a while, under threads that use it and another one, with clients at
// their limits and host memory short. Every byte is right, or told to be lost;
// every rule holds, nothing leaks.

#include <memory>
#include <random>
#include <vector>

#include "gtest/gtest.h"
#include "tests/bo/platforms.h"
#include "tests/bo/seeds.h"
#include "twostep/bo/exec.h"

namespace twostep {
namespace {

constexpr int kThreads = 3;
constexpr uint64_t kSize = 64 * kKiB;
constexpr PageCount kPages = 16;

// A driver with a ring for each thread, which stop with its device.
class Driver final : public DeviceHooks {
 public:
  void MakeRings(Machine& machine) {
    for (int i = 0; i < kThreads; ++i) {
      rings_.push_back(&machine.NewTimeline("ring"));
    }
  }
  Timeline& ring(int thread) { return *rings_[thread]; }
  void Lost(const absl::Status& error) override {
    for (Timeline* ring : rings_) ring->Fail(error);
  }
  PlacementList EvictTo(const BufferObject&) override { return evict_to_; }

 private:
  std::vector<Timeline*> rings_;
  const std::vector<Placement> evict_to_{Tt(DmaType::kDynamic), kSystem};
};

class DeviceScenario : public testing::TestWithParam<uint32_t> {
 protected:
  static RigOptions Options(uint32_t seed, DeviceHooks* hooks) {
    std::mt19937 random(seed);
    RigOptions options = RigOptions::Small(random() % 2 ? IommuMode::kTranslated
                                                        : IommuMode::kAbsent);
    options.options.clock =
        random() % 2 ? Clock::Kind::kVirtual : Clock::Kind::kReal;
    options.gpu.vram_allocator =
        random() % 2 ? SpaceAllocator::kRange : SpaceAllocator::kBuddy;
    options.gpu.coherent = random() % 2;
    options.machine.swap_medium =
        random() % 2 ? SwapMedium::kMemory : SwapMedium::kFile;
    options.machine.reserve_bytes = 256 * kKiB;
    options.machine.low_watermark_bytes = 256 * kKiB;
    options.machine.high_watermark_bytes = kMiB / 2;
    // Two thirds of all bos.
    if (random() % 2) options.machine.page_limit_bytes = 2 * kMiB;
    options.hooks = hooks;
    return options;
  }
  DeviceScenario() {
    driver_.MakeRings(rig_.machine());
    other_driver_.MakeRings(rig_.machine());
    GpuConfig config = Options(GetParam(), nullptr).gpu;
    config.name = "gpu1";
    other_ = *Device::Create(rig_.host(), config, &other_driver_);
    // Half of what its bos need, of everything.
    constexpr Budget kHalf{.max_pages = 12 * kPages};
    client_ = *rig_.host().CreateClient(
        {.name = "a", .host = kHalf, .dma = kHalf, .device = kHalf});
    for (uint64_t i = 0; i < 48; ++i) {
      bos_.push_back(*rig_.host().CreateBo(kSize, i % 2 ? client_ : nullptr));
      rig_.CpuFill(bos_[i], i);
    }
  }
  ~DeviceScenario() override {
    bos_.clear();
    other_.reset();
  }

  // One submission of a few bos to either device.
  absl::Status Submit(int thread, bool to_other, std::mt19937& random) {
    static constexpr DmaType kTypes[] = {DmaType::kNone, DmaType::kDynamic,
                                         DmaType::kCoherent};
    Placement vram = kVram;
    vram.use = Placement::Use::kDesired;
    const Placement places[] = {vram, Tt(kTypes[random() % 3]), kSystem};
    Exec exec(to_other ? *other_ : rig_.device());
    for (int i = 0; i < 3; ++i) {
      exec.Add(*bos_[random() % bos_.size()], places, FenceUse::kRead);
    }
    ValidateContext context;
    const absl::Status status = exec.Run(&context);
    if (!status.ok()) return status;
    Timeline& ring = (to_other ? other_driver_ : driver_).ring(thread);
    const Fence fence = ring.Emit(rig_.machine().clock().now_ns() + 1000);
    ring.Complete(fence.point);
    exec.Finish(fence);
    submits_ += 1;
    return status;
  }
  // Until told to stop; `expected` is what the device that goes may say.
  void Work(int thread, ErrorKind expected) {
    std::mt19937 random(GetParam() * 8 + thread);
    while (!stop_.load()) {
      const bool to_other = random() % 3 == 0;
      const absl::Status status = Submit(thread, to_other, random);
      if (!status.ok()) {
        if (to_other || KindOf(status) != expected) {
          ADD_FAILURE() << status;
          return;
        }
        refused_ += 1;
      }
      if (random() % 4 == 0) {
        const BoRef& bo = bos_[random() % bos_.size()];
        auto mapping = *CpuMapping::Create(bo);
        mapping->Touch(PageRange{0, 1}, Access::kRead).IgnoreError();
      }
      if (random() % 8 == 0) rig_.host().Shrink(kPages);
    }
  }
  void AwaitMore(const Atomic<uint64_t>& count, uint64_t more) {
    const uint64_t before = count.load();
    for (uint64_t rounds = 0;
         count.load() < before + more && !testing::Test::HasFailure();
         ++rounds) {
      YieldFor(rounds);
    }
  }
  static uint64_t NonZeroBytes(const BoRef& bo) {
    auto mapping = *CpuMapping::Create(bo);
    WaitForCpu(*bo, Access::kRead).IgnoreError();
    uint64_t count = 0;
    for (uint64_t i = 0; i < bo->size_bytes(); ++i) {
      count += mapping->data()[i] != std::byte{0};
    }
    return count;
  }
  void ExpectNothingOn(Device& device) {
    for (const MemoryType type : {MemoryType::kTt, MemoryType::kVram}) {
      EXPECT_EQ(device.manager(type)->used_pages(), 0);
    }
    for (const BoRef& bo : bos_) EXPECT_NE(bo->device(), &device);
  }

  std::mt19937 random_{GetParam()};
  Driver driver_;
  Driver other_driver_;
  Rig rig_{Options(GetParam(), &driver_)};
  std::unique_ptr<Device> other_;
  ClientRef client_;
  std::vector<BoRef> bos_;
  Atomic<bool> stop_{false};
  Atomic<uint64_t> submits_{0};
  Atomic<uint64_t> refused_{0};
};

TEST_P(DeviceScenario, HotUnplug) {
  const Unplugging how{random_() % 4 == 0 ? Unplugging::Contents::kDrop
                                          : Unplugging::Contents::kBringHome,
                       random_() % 2 ? Unplugging::CopyEngine::kGone
                                     : Unplugging::CopyEngine::kWorks};
  {
    std::vector<Thread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([this, t] { Work(t, ErrorKind::kDeviceLost); });
    }
    AwaitMore(submits_, 5 + random_() % 40);
    rig_.device().Unplug(how);
    AwaitMore(refused_, 6);
    AwaitMore(submits_, 6);
    stop_.store(true);
  }
  EXPECT_EQ(rig_.Broken(), "");
  ExpectNothingOn(rig_.device());
  const bool may_lose = how.contents == Unplugging::Contents::kDrop ||
                        how.engine == Unplugging::CopyEngine::kGone;
  for (size_t i = 0; i < bos_.size(); ++i) {
    const bool lost =
        bos_[i]->purged() || !WaitForCpu(*bos_[i], Access::kRead).ok();
    EXPECT_TRUE(may_lose || !lost) << i;
    if (lost) {
      EXPECT_EQ(NonZeroBytes(bos_[i]), 0) << i;
    } else {
      EXPECT_EQ(rig_.CpuWrongBytes(bos_[i], i), 0) << i;
    }
  }
  EXPECT_EQ(rig_.Broken(), "");
  rig_.DestroyDevice();
  EXPECT_TRUE(rig_.misuses().empty());
  EXPECT_EQ(rig_.Broken(), "");
}

TEST_P(DeviceScenario, SuspendResume) {
  std::vector<PageCount> at;
  for (size_t i = 0; i < 4; ++i) {
    ASSERT_EQ(rig_.Validate(bos_[i], kVram), absl::OkStatus());
    rig_.Pin(bos_[i]);
    at.push_back(bos_[i]->start_page());
  }
  // They stay where they are, so nobody asks for them elsewhere.
  const std::vector<BoRef> pinned(bos_.begin(), bos_.begin() + 4);
  bos_.erase(bos_.begin(), bos_.begin() + 4);
  {
    std::vector<Thread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([this, t] { Work(t, ErrorKind::kBusy); });
    }
    for (int round = 0; round < 3; ++round) {
      AwaitMore(submits_, 3 + random_() % 10);
      EXPECT_EQ(rig_.device().Suspend(), absl::OkStatus());
      AwaitMore(refused_, 3);
      // Nothing but what is pinned.
      EXPECT_EQ(rig_.device().manager(MemoryType::kVram)->used_pages(),
                4 * kPages);
      EXPECT_EQ(rig_.device().manager(MemoryType::kTt)->used_pages(), 0);
      EXPECT_EQ(rig_.device().Resume(), absl::OkStatus());
    }
    AwaitMore(submits_, 3);
    stop_.store(true);
  }
  EXPECT_EQ(rig_.Broken(), "");
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(pinned[i]->start_page(), at[i]);
    EXPECT_EQ(rig_.DeviceWrongBytes(pinned[i], i), 0) << i;
    rig_.Unpin(pinned[i]);
  }
  for (size_t i = 0; i < bos_.size(); ++i) {
    EXPECT_EQ(rig_.CpuWrongBytes(bos_[i], i + 4), 0) << i;
  }
  EXPECT_EQ(rig_.Broken(), "");
}

INSTANTIATE_TEST_SUITE_P(Seeds, DeviceScenario, testing::Range(0u, Seeds()));

}  // namespace
}  // namespace twostep
