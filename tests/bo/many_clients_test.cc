// R14 and S27 with threads: what several take at once is one sum, and what is
// told of it adds up while they are at work.

#include <memory>
#include <numeric>
#include <utility>
#include <vector>

#include "tests/bo/rig.h"
#include "twostep/bo/exec.h"

namespace twostep {
namespace {

// Lets another call happen while a victim is on its way out.
class Meanwhile final : public DeviceHooks {
 public:
  PlacementList EvictTo(const BufferObject& bo) override {
    if (call) std::exchange(call, nullptr)();
    return DeviceHooks::EvictTo(bo);
  }
  std::function<void()> call;
};

// Each search alone leaves the client what it is sure to have.
TEST(ManyClients, R14TwoThatTakeFromOneClientAtOnceLeaveItItsMin) {
  Meanwhile hooks;
  RigOptions options = RigOptions::Small();
  options.hooks = &hooks;
  Rig rig(options);
  GpuConfig config = options.gpu;
  config.name = "gpu1";
  const auto other = *Device::Create(rig.host(), config);
  constexpr PageCount kPages = kMiB / kPageSize;
  const ClientRef client = *rig.host().CreateClient(
      {.name = "sure", .device = {.min_pages = kPages}});
  const BoRef here = *rig.host().CreateBo(kMiB, client);
  const BoRef there = *rig.host().CreateBo(kMiB, client);
  const auto place = [](Device& device, const BoRef& bo, WaitLimit::Mode mode) {
    ValidateContext context{.wait = {mode}};
    return WithReserved(*bo, &context, [&] {
      return device.Validate(*bo, {&kVram, 1}, &context);
    });
  };
  ASSERT_EQ(place(rig.device(), here, WaitLimit::Mode::kWait),
            absl::OkStatus());
  ASSERT_EQ(place(*other, there, WaitLimit::Mode::kWait), absl::OkStatus());
  const auto has = [&] {
    return client->account(Resource::kDevice).used_pages();
  };
  ASSERT_EQ(has(), 2 * kPages);
  const BoRef one = rig.Make(kMiB);
  const BoRef two = rig.Make(kMiB);
  ErrorKind told = ErrorKind::kNone;
  hooks.call = [&] {
    Thread([&] {
      told = KindOf(place(*other, two, WaitLimit::Mode::kNoWait));
    }).Join();
  };
  EXPECT_EQ(place(rig.device(), one, WaitLimit::Mode::kWait), absl::OkStatus());
  EXPECT_EQ(told, ErrorKind::kBusy);
  EXPECT_TRUE(there->manager().fixed());
  EXPECT_EQ(has(), kPages);
  // Who waits is told the same as if it had come later.
  EXPECT_EQ(KindOf(place(*other, two, WaitLimit::Mode::kWait)),
            ErrorKind::kCannotFit);
  EXPECT_EQ(has(), kPages);
  EXPECT_EQ(rig.Broken(), "");
}

// Evictions that take their time, more or less of it.
class Slow final : public DeviceHooks {
 public:
  PlacementList EvictTo(const BufferObject& bo) override {
    const uint64_t rounds = evictions_.fetch_add(7) % 40;
    for (uint64_t i = 0; i < rounds; ++i) YieldFor(i);
    return DeviceHooks::EvictTo(bo);
  }

 private:
  Atomic<uint64_t> evictions_{0};
};

TEST(ManyClients, R14NoSumOfEvictionsTakesAClientBelowItsMin) {
  Slow hooks;
  RigOptions options = RigOptions::Small();
  options.options.clock = Clock::Kind::kReal;
  options.hooks = &hooks;
  Rig rig(options);
  GpuConfig config = options.gpu;
  config.name = "gpu1";
  const auto other = *Device::Create(rig.host(), config, &hooks);
  Device* const devices[] = {&rig.device(), other.get()};
  constexpr uint64_t kPart = kMiB / 4;
  constexpr PageCount kPages = kPart / kPageSize;
  const ClientRef client = *rig.host().CreateClient(
      {.name = "sure", .device = {.min_pages = 2 * kPages}});
  std::vector<BoRef> sure;
  for (int i = 0; i < 4; ++i) {
    sure.push_back(*rig.host().CreateBo(kPart, client));
  }
  const auto place = [](Device& device, const BoRef& bo) {
    Exec exec(device);
    exec.Add(*bo, {&kVram, 1}, FenceUse::kWrite);
    ValidateContext context;
    absl::Status status = exec.Run(&context);
    if (status.ok()) exec.Finish(Fence{});
    return status;
  };
  for (int round = 0; round < 30; ++round) {
    for (int i = 0; i < 4; ++i) {
      ASSERT_EQ(place(*devices[i % 2], sure[static_cast<size_t>(i)]),
                absl::OkStatus());
    }
    Atomic<int> placed{0};
    std::vector<Thread> threads;
    for (int t = 0; t < 2; ++t) {
      threads.emplace_back([&, t] {
        // At either there is room for two, and the client has two.
        std::vector<BoRef> mine;
        for (int i = 0; i < 4; ++i) {
          mine.push_back(rig.Make(kPart));
          const absl::Status status = place(*devices[t], mine.back());
          EXPECT_TRUE(status.ok() || KindOf(status) == ErrorKind::kCannotFit)
              << status;
          if (!status.ok()) continue;
          ++placed;
          mine.back()->Reserve();
          mine.back()->Pin();
          mine.back()->Unreserve();
        }
        for (const BoRef& bo : mine) {
          bo->Reserve();
          if (bo->pinned()) bo->Unpin();
          bo->Unreserve();
        }
      });
    }
    threads.clear();
    // What it has above its min goes, to whichever of them, and no more.
    EXPECT_EQ(placed, 6);
    EXPECT_GE(client->account(Resource::kDevice).used_pages(), 2 * kPages);
  }
  EXPECT_EQ(rig.Broken(), "");
}

TEST(ManyClients, S27AReportAddsUpWhileOthersAreAtWork) {
  RigOptions options = RigOptions::Small();
  options.options.clock = Clock::Kind::kReal;
  Rig rig(options);
  Atomic<bool> stop{false};
  constexpr int kThreads = 3;
  constexpr uint64_t kBytes = 128 * kKiB;
  std::vector<Thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (uint64_t step = 0; !stop; ++step) {
        const ClientRef client = *rig.host().CreateClient(
            {.name = "client", .device = {.max_pages = 128}});
        std::vector<BoRef> bos;
        for (uint64_t i = 0; i < 4; ++i) {
          bos.push_back(*rig.host().CreateBo(kBytes, client));
          rig.CpuFill(bos.back(), i);
          const Placement place = (i + step + static_cast<uint64_t>(t)) % 2 == 0
                                      ? kVram
                                      : Tt(DmaType::kDynamic);
          Exec exec(rig.device());
          exec.Add(*bos.back(), {&place, 1}, FenceUse::kWrite);
          ValidateContext context;
          EXPECT_EQ(exec.Run(&context), absl::OkStatus());
          exec.Finish(Fence{});
        }
      }
    });
  }
  for (int i = 0; i < 100; ++i) {
    const UsageReport report = rig.host().Report();
    for (size_t r = 0; r < kResources; ++r) {
      uint64_t sum = 0;
      for (const UsageReport::Line& line : report.lines) {
        sum += line.pages[r] + line.pending_pages[r];
        // No bo is seen twice.
        EXPECT_LE(line.bos, 4u);
        EXPECT_LE(line.pages[r], 4 * kBytes / kPageSize);
      }
      EXPECT_EQ(sum, report.total_pages[r]);
    }
  }
  stop = true;
  threads.clear();
  while (rig.host().ReapGhosts(WaitLimit{})) {
  }
  const UsageReport rest = rig.host().Report();
  EXPECT_EQ(rest.lines.size(), 1u);
  EXPECT_EQ(std::accumulate(rest.total_pages.begin(), rest.total_pages.end(),
                            uint64_t{0}),
            0);
  EXPECT_EQ(rig.Broken(), "");
}

}  // namespace
}  // namespace twostep
