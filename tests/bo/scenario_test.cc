// Scenarios in which everybody wants what there is not enough of, each for many
// seeds. No call fails that only had to wait, every byte is right, every rule
// holds.

#include <memory>
#include <random>
#include <vector>

#include "gtest/gtest.h"
#include "tests/bo/rig.h"
#include "tests/bo/seeds.h"
#include "twostep/bo/exec.h"

namespace twostep {
namespace {

// VRAM where there is room for it, or can be made, else TT; what VRAM evicts
// goes to TT, or to SYSTEM.
class TwoTierDriver final : public DeviceHooks {
 public:
  explicit TwoTierDriver(DmaType dma)
      : places_{kVram, Fallback(dma)}, evict_to_{Tt(dma), kSystem} {}
  PlacementList places() const { return places_; }

 private:
  static Placement Fallback(DmaType dma) {
    Placement tt = Tt(dma);
    tt.use = Placement::Use::kFallback;
    return tt;
  }
  PlacementList EvictTo(const BufferObject&) override { return evict_to_; }

  std::vector<Placement> places_;
  std::vector<Placement> evict_to_;
};

class Scenario : public testing::TestWithParam<uint32_t> {
 protected:
  static RigOptions Options(uint32_t seed, DeviceHooks* hooks) {
    std::mt19937 random(seed);
    RigOptions options = RigOptions::Small(random() % 2 ? IommuMode::kTranslated
                                                        : IommuMode::kAbsent);
    options.gpu.vram_allocator =
        random() % 2 ? SpaceAllocator::kRange : SpaceAllocator::kBuddy;
    options.gpu.aperture_bytes = 2 * kMiB;
    options.hooks = hooks;
    return options;
  }
  std::vector<BoRef> Make(int count, uint64_t bytes) {
    std::vector<BoRef> bos;
    for (int i = 0; i < count; ++i) bos.push_back(rig_.Make(bytes));
    return bos;
  }
  // One submission. Writes each bo's first and last word by the CPU's way once
  // the bos are in place, as the device would.
  absl::Status Submit(const std::vector<BoRef>& bos, PlacementList places,
                      ValidateContext* context) {
    Exec exec(rig_.device());
    for (const BoRef& bo : bos) exec.Add(*bo, places, FenceUse::kWrite);
    const absl::Status status = exec.Run(context);
    if (!status.ok()) {
      failures_ += 1;
      return status;
    }
    // Finished by a worker, at a time of its own.
    Timeline& timeline = rig_.machine().NewTimeline("ring");
    const Fence fence = timeline.Emit(rig_.machine().clock().now_ns() + 1000);
    timeline.Complete(fence.point);
    exec.Finish(fence);
    return status;
  }
  void FillAll(const std::vector<BoRef>& bos) {
    for (size_t i = 0; i < bos.size(); ++i) {
      rig_.CpuFill(bos[i], GetParam() + i);
    }
  }
  void CheckAll(const std::vector<BoRef>& bos) {
    for (size_t i = 0; i < bos.size(); ++i) {
      ASSERT_EQ(rig_.CpuWrongBytes(bos[i], GetParam() + i), 0u) << i;
    }
    EXPECT_EQ(failures_.load(), 0u);
    EXPECT_EQ(rig_.Broken(), "");
  }

  std::mt19937 random_{GetParam()};
  TwoTierDriver driver_{GetParam() % 3 == 0   ? DmaType::kDynamic
                        : GetParam() % 3 == 1 ? DmaType::kCoherent
                                              : DmaType::kNone};
  Rig rig_{Options(GetParam(), &driver_)};
  Atomic<uint64_t> failures_{0};
};

TEST_P(Scenario, OnlyBusy) {
  const std::vector<BoRef> bos = Make(3, kMiB * 3 / 4);
  FillAll(bos);
  std::vector<Thread> threads;
  for (uint32_t t = 0; t < 3; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937 random(GetParam() * 8 + t);
      for (int round = 0; round < 8; ++round) {
        ValidateContext context;
        ASSERT_EQ(Submit({bos[t]}, {&kVram, 1}, &context), absl::OkStatus());
        if (random() % 3 != 0) continue;
        // Reserved for a moment, for nothing.
        const BoRef& other = bos[random() % 3];
        other->Reserve();
        YieldFor(random() % 20);
        other->UnreserveUnused();
      }
    });
  }
  threads.clear();
  CheckAll(bos);
}

TEST_P(Scenario, BigAgainstBig) {
  std::vector<std::vector<BoRef>> sets;
  std::vector<BoRef> all;
  for (int t = 0; t < 2; ++t) {
    const int parts = 1 + static_cast<int>(random_() % 6);
    sets.push_back(Make(parts, kMiB * 6 / 10 / parts / kPageSize * kPageSize));
    all.insert(all.end(), sets.back().begin(), sets.back().end());
  }
  FillAll(all);
  std::vector<Thread> threads;
  for (const auto& set : sets) {
    threads.emplace_back([&] {
      for (int round = 0; round < 10; ++round) {
        ValidateContext context;
        ASSERT_EQ(Submit(set, {&kVram, 1}, &context), absl::OkStatus());
      }
    });
  }
  threads.clear();
  CheckAll(all);
}

TEST_P(Scenario, SquatterAndSpammer) {
  const std::vector<BoRef> squat = Make(8, kMiB / 8);
  const std::vector<BoRef> newcomers = Make(2, kMiB / 2);
  std::vector<BoRef> all = squat;
  all.insert(all.end(), newcomers.begin(), newcomers.end());
  FillAll(all);
  Atomic<bool> stop{false};
  Atomic<uint64_t> submits{0};
  Thread spammer([&] {
    while (!stop.load()) {
      ValidateContext context;
      ASSERT_EQ(Submit(squat, {&kVram, 1}, &context), absl::OkStatus());
      submits += 1;
    }
  });
  for (uint64_t rounds = 0; submits.load() == 0; ++rounds) YieldFor(rounds);
  uint64_t most = 0;
  for (int round = 0; round < 6; ++round) {
    const uint64_t before = submits.load();
    ValidateContext context;
    ASSERT_EQ(Submit({newcomers[random_() % 2]}, {&kVram, 1}, &context),
              absl::OkStatus());
    most = std::max(most, submits.load() - before);
  }
  stop.store(true);
  spammer.Join();
  // A few for what it waits for; the rest is when this thread did not run.
  EXPECT_LE(most, 20'000u);
  CheckAll(all);
}

TEST_P(Scenario, TwoTierPingpong) {
  // VRAM and TT together hold two thirds of them.
  const std::vector<BoRef> bos = Make(36, kMiB / 8);
  FillAll(bos);
  uint64_t bytes = 0;
  for (const BoRef& bo : bos) bytes += bo->size_bytes();
  for (int round = 0; round < 6; ++round) {
    ValidateContext context;
    for (size_t i = 0; i < bos.size(); i += 4) {
      const std::vector<BoRef> set(bos.begin() + i, bos.begin() + i + 4);
      ASSERT_EQ(Submit(set, driver_.places(), &context), absl::OkStatus());
    }
    // Once in, once out, for each: in and out of a binder's own memory as well.
    EXPECT_LE(context.bytes_moved, 4 * bytes) << round;
  }
  CheckAll(bos);
}

// Everything at once: threads that submit random sets, touch what they submit,
// make and drop bos.
TEST_P(Scenario, EverythingAtOnce) {
  std::vector<BoRef> bos = Make(24, kMiB / 8);
  FillAll(bos);
  std::vector<Thread> threads;
  for (uint32_t t = 0; t < 3; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937 random(GetParam() * 8 + t);
      for (int round = 0; round < 12; ++round) {
        std::vector<BoRef> set;
        for (int i = 0; i < 5; ++i) set.push_back(bos[random() % bos.size()]);
        const BoRef fresh = rig_.Make((1 + random() % 32) * kPageSize);
        set.push_back(fresh);
        ValidateContext context;
        ASSERT_EQ(Submit(set, driver_.places(), &context), absl::OkStatus());
        if (random() % 4 == 0) {
          auto mapping = *CpuMapping::Create(bos[random() % bos.size()]);
          ASSERT_EQ(mapping->Touch(PageRange{0, 1}, Access::kRead),
                    absl::OkStatus());
        }
      }
    });
  }
  threads.clear();
  CheckAll(bos);
}

INSTANTIATE_TEST_SUITE_P(Seeds, Scenario, testing::Range(0u, Seeds()));

}  // namespace
}  // namespace twostep
