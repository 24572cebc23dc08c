// Scenarios in which everybody wants what there is not enough of, that no suite
// has. Each plays on a small machine of its own, chosen by the seed.

#include <algorithm>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "twostep/bo/error.h"
#include "twostep/stress/families.h"
#include "twostep/stress/threads.h"
#include "twostep/stress/world.h"

namespace twostep {
namespace {

using Bos = std::vector<KnownBo*>;

// VRAM where there is room for it, or can be made, else TT; what VRAM evicts
// goes to TT, or to SYSTEM.
class TwoTierDriver final : public DeviceHooks {
 public:
  explicit TwoTierDriver(DmaType dma)
      : places_{kInVram, InTt(dma, Placement::Use::kFallback)},
        evict_to_{InTt(dma), kInSystem} {}
  PlacementList places() const { return places_; }
  PlacementList EvictTo(const BufferObject&) override { return evict_to_; }

 private:
  const std::vector<Placement> places_;
  const std::vector<Placement> evict_to_;
};

// 16 MiB of frames, 1 MiB of VRAM, IOVAs, coherent memory and bounce pages, 2
// MiB of aperture, so that everything can run out.
class SmallWorld {
 public:
  SmallWorld(const StressOptions& options, Verdict* verdict)
      : seed(options.seed),
        driver(options.seed % 3 == 0   ? DmaType::kDynamic
               : options.seed % 3 == 1 ? DmaType::kCoherent
                                       : DmaType::kNone),
        random(options.seed),
        world(OptionsOf(options, &driver), verdict) {}

  // Bos that a job has written. Empty after a failure.
  Bos Make(int count, uint64_t bytes) {
    Bos bos;
    for (int i = 0; i < count && world.ok(); ++i) {
      KnownBo* bo = world.Make(bytes);
      if (bo == nullptr || !Submit({bo}, driver.places())) return {};
      bos.push_back(bo);
    }
    return bos;
  }
  bool Submit(const Bos& bos, PlacementList places,
              uint64_t* moved_bytes = nullptr) {
    Submission submission{
        .uses = {}, .places = places, .moved_bytes = moved_bytes};
    for (KnownBo* bo : bos) submission.uses.push_back({bo});
    return world.Expect(world.Submit(submission), "a submission");
  }

  const uint64_t seed;
  TwoTierDriver driver;
  std::mt19937_64 random;
  World world;

 private:
  static WorldOptions OptionsOf(const StressOptions& options,
                                DeviceHooks* hooks) {
    std::mt19937_64 random(options.seed);
    WorldOptions world = WorldOptions::Of(options);
    MachineConfig& machine = world.machine;
    machine.dma32_bytes = 12 * kMiB;
    machine.normal_bytes = 4 * kMiB;
    machine.coherent_bytes = kMiB;
    machine.cma_bytes = kMiB;
    machine.swap_bytes = 16 * kMiB;
    machine.swiotlb.bytes = kMiB;
    machine.iommu.mode =
        random() % 2 != 0 ? IommuMode::kTranslated : IommuMode::kAbsent;
    machine.iommu.iova_bytes = kMiB;
    world.gpu.vram_bytes = kMiB;
    world.gpu.vram_visible_bytes = kMiB;
    world.gpu.aperture_bytes = 2 * kMiB;
    world.gpu.vram_allocator =
        random() % 2 != 0 ? SpaceAllocator::kRange : SpaceAllocator::kBuddy;
    world.hooks = hooks;
    return world;
  }
};

void PlayOnlyBusy(const StressOptions& options, Verdict* verdict) {
  SmallWorld small(options, verdict);
  const int threads = options.ThreadsOr(3);
  const Bos bos = small.Make(threads, kMiB * 3 / 4);
  if (bos.empty()) return;
  OnThreads(threads, [&](int t) {
    std::mt19937_64 random(small.seed * 64 + static_cast<uint64_t>(t));
    for (int round = 0; round < 8; ++round) {
      if (!small.Submit({bos[static_cast<size_t>(t)]}, {&kInVram, 1})) return;
      if (random() % 3 != 0) continue;
      // Reserved for a moment, for nothing.
      KnownBo* other = bos[random() % bos.size()];
      other->bo->Reserve();
      YieldFor(random() % 20);
      other->bo->UnreserveUnused();
    }
  });
}

void PlayBigAgainstBig(const StressOptions& options, Verdict* verdict) {
  SmallWorld small(options, verdict);
  const int threads = options.ThreadsOr(2);
  std::vector<Bos> sets;
  for (int t = 0; t < threads; ++t) {
    const int parts = 1 + static_cast<int>(small.random() % 6);
    sets.push_back(small.Make(
        parts,
        kMiB * 6 / 10 / static_cast<uint64_t>(parts) / kPageSize * kPageSize));
    if (sets.back().empty()) return;
  }
  OnThreads(threads, [&](int t) {
    for (int round = 0; round < 10; ++round) {
      if (!small.Submit(sets[static_cast<size_t>(t)], {&kInVram, 1})) return;
    }
  });
}

void PlaySquatterAndSpammer(const StressOptions& options, Verdict* verdict) {
  // A few for what the newcomer waits for; the rest is when its thread did not
  // run.
  constexpr uint64_t kMostSubmits = 20'000;
  SmallWorld small(options, verdict);
  const Bos squat = small.Make(8, kMiB / 8);
  const Bos newcomers = small.Make(2, kMiB / 2);
  if (squat.empty() || newcomers.empty()) return;
  Atomic<bool> stop{false};
  Atomic<uint64_t> submits{0};
  Thread spammer([&] {
    while (!stop.load()) {
      if (!small.Submit(squat, {&kInVram, 1})) return;
      submits += 1;
    }
  });
  for (uint64_t rounds = 0; submits.load() == 0 && !small.world.failed();
       ++rounds) {
    YieldFor(rounds);
  }
  uint64_t most = 0;
  for (int round = 0; round < 6; ++round) {
    const uint64_t before = submits.load();
    if (!small.Submit({newcomers[small.random() % 2]}, {&kInVram, 1})) break;
    most = std::max(most, submits.load() - before);
  }
  stop.store(true);
  spammer.Join();
  if (most > kMostSubmits) {
    small.world.Fail(
        absl::StrCat("a newcomer waited for ", most, " submissions"));
  }
}

void PlayTwoTierPingpong(const StressOptions& options, Verdict* verdict) {
  SmallWorld small(options, verdict);
  // VRAM and TT together hold two thirds of them.
  const Bos bos = small.Make(36, kMiB / 8);
  if (bos.empty()) return;
  const uint64_t bytes = 36 * kMiB / 8;
  for (int round = 0; round < 6; ++round) {
    uint64_t moved_bytes = 0;
    for (size_t i = 0; i < bos.size(); i += 4) {
      const auto first = bos.begin() + static_cast<std::ptrdiff_t>(i);
      if (!small.Submit(Bos(first, first + 4), small.driver.places(),
                        &moved_bytes)) {
        return;
      }
    }
    // Once in, once out, for each: in and out of a binder's own memory as well.
    if (moved_bytes > 4 * bytes) {
      small.world.Fail(absl::StrCat("round ", round, " moved ", moved_bytes,
                                    " bytes of ", bytes));
    }
  }
}

// Threads submit random sets, look at what they submit, make and drop bos.
void PlayEverythingAtOnce(const StressOptions& options, Verdict* verdict) {
  SmallWorld small(options, verdict);
  const Bos bos = small.Make(24, kMiB / 8);
  if (bos.empty()) return;
  OnThreads(options.ThreadsOr(3), [&](int t) {
    std::mt19937_64 random(small.seed * 64 + static_cast<uint64_t>(t));
    for (int round = 0; round < 12; ++round) {
      KnownBo* fresh = small.world.Make((1 + random() % 32) * kPageSize);
      if (fresh == nullptr) return;
      Bos set{fresh};
      for (int i = 0; i < 5; ++i) {
        KnownBo* bo = bos[random() % bos.size()];
        if (std::find(set.begin(), set.end(), bo) == set.end()) {
          set.push_back(bo);
        }
      }
      if (!small.Submit(set, small.driver.places())) return;
      if (random() % 4 == 0) {
        auto mapping = CpuMapping::Create(bos[random() % bos.size()]->bo);
        small.world.Expect(mapping.status(), "mapping a bo");
        if (!mapping.ok()) return;
        small.world.Expect((*mapping)->Touch(PageRange{0, 1}, Access::kRead),
                           "touching it");
      }
      small.world.Drop(fresh);
    }
  });
}

}  // namespace

void AddOurs(std::vector<Scenario>* scenarios) {
  const Scenario ours[] = {
      {"twostep", "only-busy",
       "what must leave VRAM is busy, or reserved for a moment: all get it",
       PlayOnlyBusy},
      {"twostep", "big-against-big",
       "submissions of 60 % of VRAM each: all finish their rounds",
       PlayBigAgainstBig},
      {"twostep", "squatter-and-spammer",
       "one fills VRAM and submits without end: a newcomer gets in",
       PlaySquatterAndSpammer},
      {"twostep", "two-tier-pingpong",
       "VRAM and TT are full: moves a round are bounded", PlayTwoTierPingpong},
      {"twostep", "everything-at-once",
       "threads submit, look, make and drop bos", PlayEverythingAtOnce},
  };
  scenarios->insert(scenarios->end(), std::begin(ours), std::end(ours));
}

}  // namespace twostep
