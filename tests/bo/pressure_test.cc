// Host memory under pressure: B4, B6, B14, B41, S10, S13, S28, and what clients
// are charged for what is swapped out (R14).

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "tests/bo/platforms.h"
#include "twostep/bo/exec.h"

namespace twostep {
namespace {

using ::testing::HasSubstr;

constexpr uint64_t kQuarter = 256 * kKiB;
constexpr PageCount kQuarterPages = 64;

uint64_t UsedFrames(Rig& rig) {
  return rig.machine().memory().used_frames(Zone::kDma32) +
         rig.machine().memory().used_frames(Zone::kNormal);
}
uint64_t FreeFrames(Rig& rig) {
  return rig.machine().memory().free_frames(kNoFrame - 1);
}

// Among other threads: gives way, and tries again.
absl::Status PlaceByExec(Rig& rig, const BoRef& bo,
                         const Placement& placement) {
  Exec exec(rig.device());
  exec.Add(*bo, {&placement, 1}, FenceUse::kWrite);
  ValidateContext context;
  absl::Status status = exec.Run(&context);
  if (status.ok()) exec.Finish(Fence{});
  return status;
}

class Pressure : public ::testing::TestWithParam<MachineKind> {
 protected:
  // 4 MiB of frames beside the pools, 3 MiB of them below 4 GiB.
  RigOptions Options() const {
    RigOptions options = OptionsOf(GetParam());
    options.machine.dma32_bytes = 6 * kMiB;
    options.machine.normal_bytes = kMiB;
    return options;
  }
  // `count` bos with frames, in SYSTEM, each with its own bytes.
  static std::vector<BoRef> Filled(Rig& rig, int count) {
    std::vector<BoRef> bos;
    for (int i = 0; i < count; ++i) {
      bos.push_back(rig.Make(kQuarter));
      rig.CpuFill(bos.back(), i);
    }
    return bos;
  }
  static void ExpectBytes(Rig& rig, const std::vector<BoRef>& bos) {
    for (size_t i = 0; i < bos.size(); ++i) {
      EXPECT_EQ(rig.CpuWrongBytes(bos[i], i), 0) << i;
    }
  }
  static bool Swapped(const BoRef& bo) {
    return bo->pages().home() == Pages::Home::kSwapped;
  }
};

INSTANTIATE_TEST_SUITE_P(On, Pressure, ::testing::ValuesIn(kAllMachines),
                         [](const auto& info) { return NameOf(info.param); });

// --- Page pools ---

TEST_P(Pressure, B4_EveryPageOfACoherentBoHasItsAddressAtOnce) {
  Rig rig(Options());
  for (const uint64_t pages : {1, 7, 64, 130}) {
    BoRef bo = rig.Make(PagesToBytes(pages));
    ASSERT_EQ(rig.Validate(bo, Tt(DmaType::kCoherent)), absl::OkStatus());
    for (PageCount page = 0; page < pages; ++page) {
      const DmaAddress address = bo->binding().Address(bo->pages(), page);
      ASSERT_LE(address, rig.device().port().highest());
      EXPECT_EQ(rig.machine().domain().Translate(address),
                bo->pages().frames()[page]);
    }
    rig.DeviceFill(bo, pages);
    EXPECT_EQ(rig.CpuWrongBytes(bo, pages), 0);
    EXPECT_EQ(rig.Broken(), "");
  }
}

TEST_P(Pressure, B6_ReusedPagesNeverCarryAnothersBytes) {
  Rig rig(Options());
  const PagePool& pool = rig.machine().coherent_pool();
  for (int round = 0; round < 3; ++round) {
    BoRef bo = rig.Make(kQuarter);
    ASSERT_EQ(rig.Validate(bo, Tt(DmaType::kCoherent)), absl::OkStatus());
    EXPECT_EQ(pool.stats().hits, round);
    EXPECT_EQ(pool.stats().misses, 1);
    for (PageCount page = 0; page < kQuarterPages; ++page) {
      const std::byte* at = rig.DevicePage(bo, page, Access::kRead);
      ASSERT_NE(at, nullptr);
      for (uint64_t i = 0; i < kPageSize; ++i) ASSERT_EQ(at[i], std::byte{0});
    }
    rig.DeviceFill(bo, round + 1);
    EXPECT_EQ(rig.Broken(), "");
  }
  EXPECT_EQ(pool.cached_frames(), kQuarterPages);
  rig.DestroyDevice();
  EXPECT_EQ(pool.cached_frames(), 0);
  EXPECT_EQ(pool.used_frames(), 0);
}

TEST_P(Pressure, S10_CachedBlocksOfAnotherSizeAreNoReasonToEvict) {
  Rig rig(Options());
  {
    std::vector<BoRef> small;
    for (uint64_t i = 0; i < kMiB / kPageSize; ++i) {
      small.push_back(rig.Make(kPageSize));
      ASSERT_EQ(rig.Validate(small.back(), Tt(DmaType::kCoherent)),
                absl::OkStatus());
    }
  }
  EXPECT_EQ(rig.machine().coherent_pool().cached_frames(), kMiB / kPageSize);
  BoRef large = rig.Make(kMiB);
  rig.CpuFill(large, 1);
  ASSERT_EQ(rig.Validate(large, Tt(DmaType::kCoherent)), absl::OkStatus());
  EXPECT_EQ(rig.host().binder(DmaType::kCoherent).stats().evictions, 0);
  EXPECT_EQ(rig.DeviceWrongBytes(large, 1), 0);
  EXPECT_EQ(rig.Broken(), "");
}

TEST_P(Pressure, S10_OnlyModesThatMustBeSetCost) {
  Rig rig(Options());
  const CostModel& cost = rig.machine().cost();
  const auto bind_ns = [&] {
    BoRef bo = rig.Make(kQuarter);
    const uint64_t before = rig.machine().clock().now_ns();
    EXPECT_EQ(rig.Validate(bo, Tt(DmaType::kCoherent)), absl::OkStatus());
    return rig.machine().clock().now_ns() - before;
  };
  const uint64_t first_ns = bind_ns();
  EXPECT_EQ(first_ns - bind_ns(),
            GetParam() == MachineKind::kNonCoherent
                ? cost.set_caching_ns + kQuarterPages * cost.set_caching_page_ns
                : 0);
}

// --- Watermarks and the reserve ---

TEST_P(Pressure, S13_BelowTheLowWatermarkOlderBosSwapOutUpToTheHighOne) {
  RigOptions options = Options();
  options.machine.low_watermark_bytes = kQuarter;
  options.machine.high_watermark_bytes = 4 * kQuarter;
  Rig rig(options);
  // 16 fit; the last quarter is the low watermark.
  std::vector<BoRef> bos = Filled(rig, 15);
  EXPECT_EQ(rig.host().stats().swap_out_bytes, 0);
  bos.push_back(rig.Make(kQuarter));
  rig.CpuFill(bos.back(), 15);
  EXPECT_EQ(rig.host().stats().swap_out_bytes, 4 * kQuarter);
  for (size_t i = 0; i < bos.size(); ++i) {
    EXPECT_EQ(Swapped(bos[i]), i < 4) << i;
  }
  EXPECT_EQ(FreeFrames(rig), 4 * kQuarterPages);
  EXPECT_EQ(rig.Broken(), "");
  ExpectBytes(rig, bos);
}

TEST_P(Pressure, S13_ValidationsAndTheHostsOwnWorkCrossItToo) {
  RigOptions options = Options();
  options.machine.reserve_bytes = kQuarter;
  options.machine.low_watermark_bytes = kQuarter;
  options.machine.high_watermark_bytes = 2 * kQuarter;
  Rig rig(options);
  std::vector<BoRef> bos = Filled(rig, 14);
  EXPECT_EQ(rig.host().stats().swap_out_bytes, 0);
  // The host's own work takes the reserve, and more: the next operation of the
  // library makes up for it.
  std::vector<FrameNumber> host(2 * kQuarterPages);
  ASSERT_EQ(rig.machine().memory().AllocateForHost(host, kNoFrame - 1),
            Shortage::Kind::kNone);
  ASSERT_EQ(rig.Validate(bos[13], Tt(DmaType::kDynamic)), absl::OkStatus());
  EXPECT_EQ(rig.host().stats().swap_out_bytes, 3 * kQuarter);
  EXPECT_TRUE(Swapped(bos[0]));
  EXPECT_FALSE(Swapped(bos[13]));
  EXPECT_GE(FreeFrames(rig), 2 * kQuarterPages);
  EXPECT_EQ(rig.Broken(), "");
  rig.machine().memory().FreeFromHost(host);
  ExpectBytes(rig, bos);
}

// Threads that want more than there is, and the host's own work beside them:
// it gets its frames at once, whatever the bos do.
TEST_P(Pressure, S13_InAStressRunTheReserveIsThereForTheHost) {
  RigOptions options = Options();
  options.options.clock = Clock::Kind::kReal;
  options.machine.reserve_bytes = 2 * kQuarter;
  options.machine.low_watermark_bytes = kQuarter;
  options.machine.high_watermark_bytes = 2 * kQuarter;
  Rig rig(options);
  PhysicalMemory& memory = rig.machine().memory();
  const uint64_t reserve = memory.reserve_frames(Zone::kDma32) +
                           memory.reserve_frames(Zone::kNormal);
  Atomic<int> running{3};
  Atomic<uint64_t> wrong_bytes{0};
  Atomic<uint64_t> errors{0};
  const auto work = [&](uint64_t seed) {
    std::vector<BoRef> bos;
    for (uint64_t i = 0; i < 8; ++i) {
      bos.push_back(rig.Make(kQuarter));
      rig.CpuFill(bos[i], seed + i);
    }
    for (uint64_t step = 0; step < 40; ++step) {
      const uint64_t i = (step * 5 + seed) % 8;
      static constexpr DmaType kTypes[] = {DmaType::kNone, DmaType::kDynamic,
                                           DmaType::kCoherent};
      const Placement placement =
          step % 4 == 3 ? kSystem : Tt(kTypes[(step + seed) % 3]);
      const absl::Status status = PlaceByExec(rig, bos[i], placement);
      EXPECT_EQ(status, absl::OkStatus());
      if (!status.ok()) ++errors;
      wrong_bytes += rig.CpuWrongBytes(bos[i], seed + i);
    }
    --running;
  };
  uint64_t refused = 0;
  {
    Thread threads[] = {Thread([&] { work(100); }), Thread([&] { work(200); }),
                        Thread([&] { work(300); })};
    std::vector<FrameNumber> host(reserve);
    while (running.load() != 0) {
      if (memory.AllocateForHost(host, kNoFrame - 1) == Shortage::Kind::kNone) {
        memory.FreeFromHost(host);
      } else {
        ++refused;
      }
      // Takes from them what it can get, and is in nobody's way.
      rig.host().Shrink(kQuarterPages);
      YieldFor(20);
    }
  }
  EXPECT_EQ(refused, 0);
  EXPECT_EQ(errors, 0);
  EXPECT_EQ(wrong_bytes, 0);
  EXPECT_EQ(rig.Broken(), "");
  EXPECT_EQ(UsedFrames(rig), 0);
}

// --- Shrinking ---

TEST_P(Pressure, S28_PoolsFirstThenShrinkersThenTheOldestBos) {
  Rig rig(Options());
  std::vector<BoRef> bos = Filled(rig, 6);
  {
    BoRef coherent = rig.Make(kQuarter);
    ASSERT_EQ(rig.Validate(coherent, Tt(DmaType::kCoherent)), absl::OkStatus());
  }
  // A cache outside, with frames of its own.
  PhysicalMemory& memory = rig.machine().memory();
  std::vector<FrameNumber> cache(10);
  ASSERT_EQ(memory.AllocateForHost(cache, kNoFrame - 1), Shortage::Kind::kNone);
  std::vector<uint64_t> asked;
  auto shrinker = rig.host().shrinkers().Register("cache", [&](uint64_t pages) {
    asked.push_back(pages);
    const uint64_t give = std::min<uint64_t>(pages, cache.size());
    memory.FreeFromHost({cache.data() + (cache.size() - give), give});
    cache.resize(cache.size() - give);
    return give;
  });

  uint64_t free = FreeFrames(rig);
  Host::Shrunk shrunk = rig.host().Shrink(7);
  EXPECT_EQ(shrunk.pool_pages, kQuarterPages);  // whole blocks
  EXPECT_EQ(shrunk.shrinker_pages, 7);
  EXPECT_EQ(shrunk.bo_pages, 0);
  EXPECT_EQ(FreeFrames(rig) - free, shrunk.frames());

  free = FreeFrames(rig);
  shrunk = rig.host().Shrink(100);
  EXPECT_EQ(asked, (std::vector<uint64_t>{7, 100}));
  EXPECT_EQ(shrunk.pool_pages, 0);
  EXPECT_EQ(shrunk.shrinker_pages, 3);
  EXPECT_EQ(shrunk.bo_pages, 2 * kQuarterPages);
  EXPECT_EQ(FreeFrames(rig) - free, shrunk.frames());
  for (size_t i = 0; i < bos.size(); ++i) EXPECT_EQ(Swapped(bos[i]), i < 2);
  EXPECT_EQ(rig.host().shrinkers().Report(), "cache: 10 pages\n");

  shrinker.reset();
  rig.host().Shrink(1);
  EXPECT_EQ(asked.size(), 2);
  EXPECT_EQ(rig.Broken(), "");
  ExpectBytes(rig, bos);
}

TEST_P(Pressure, S28_ACallLooksAtNoMoreBosThanItMay) {
  Rig rig(Options());
  std::vector<BoRef> bos = Filled(rig, 6);
  EXPECT_EQ(rig.host().Shrink(~uint64_t{0}, 2).bo_pages, 2 * kQuarterPages);
  EXPECT_EQ(rig.host().Shrink(~uint64_t{0}, 0).bo_pages, 0);
  EXPECT_EQ(rig.host().Shrink(0).bo_pages, 0);
  EXPECT_EQ(rig.host().Shrink(~uint64_t{0}).bo_pages, 4 * kQuarterPages);
  EXPECT_EQ(rig.host().Shrink(~uint64_t{0}).frames(), 0);
  EXPECT_EQ(UsedFrames(rig), 0);
  EXPECT_EQ(rig.Broken(), "");
  ExpectBytes(rig, bos);
}

TEST_P(Pressure, S28_WhatIsBusyPinnedOrReservedIsLeftAloneAndNotWaitedFor) {
  Rig rig(Options());
  std::vector<BoRef> bos = Filled(rig, 6);
  const Fence pending = rig.KeepBusy(bos[0]);
  rig.Pin(bos[1]);
  bos[2]->Reserve();
  bos[3]->Reserve();
  bos[3]->SetWorthless(true);
  bos[3]->UnreserveUnused();
  // Dropped, it would leave its frames behind until it is idle.
  bos[5]->Reserve();
  bos[5]->SetWorthless(true);
  bos[5]->UnreserveUnused();
  rig.KeepBusy(bos[5]);
  const uint64_t used = UsedFrames(rig);
  const Host::Shrunk shrunk = rig.host().Shrink(~uint64_t{0});
  bos[2]->UnreserveUnused();
  EXPECT_EQ(shrunk.bo_pages, 2 * kQuarterPages);
  EXPECT_EQ(used - UsedFrames(rig), shrunk.frames());
  EXPECT_FALSE(bos[5]->purged());
  EXPECT_FALSE(pending.Signalled());
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(Swapped(bos[i])) << i;
  // Dropped, not stored.
  EXPECT_TRUE(bos[3]->purged());
  EXPECT_TRUE(Swapped(bos[4]));
  EXPECT_EQ(rig.machine().swap().used_pages(), kQuarterPages);
  rig.Unpin(bos[1]);
  EXPECT_EQ(rig.Broken(), "");
  for (const int i : {0, 1, 2, 4}) {
    EXPECT_EQ(rig.CpuWrongBytes(bos[i], i), 0) << i;
  }
}

TEST_P(Pressure, S28_StorageThatWasLeftBehindComesBeforeBos) {
  Rig rig(Options());
  std::vector<BoRef> bos = Filled(rig, 2);
  BoRef gone = rig.Make(kQuarter);
  rig.CpuFill(gone, 9);
  const Fence pending = rig.KeepBusy(gone);
  gone.reset();
  EXPECT_EQ(rig.host().Shrink(1).left_behind_pages, 0);
  EXPECT_TRUE(Swapped(bos[0]));
  ASSERT_EQ(WaitFor(pending, {}), absl::OkStatus());
  const Host::Shrunk shrunk = rig.host().Shrink(1);
  EXPECT_EQ(shrunk.left_behind_pages, kQuarterPages);
  EXPECT_EQ(shrunk.bo_pages, 0);
  EXPECT_EQ(rig.Broken(), "");
}

// Who waits for a bo that is being swapped out gets its room, and the swapper,
// which waits for nobody, is not held up.
TEST(Swapping, R10WhoWaitsForWhatIsBeingSwappedOutGetsTheRoom) {
  RecordingHooks hooks;
  RigOptions options = OptionsOf(MachineKind::kIommu);
  options.hooks = &hooks;
  Rig rig(options);
  BoRef squatter = rig.Make(kMiB);  // all of the IOVA space
  BoRef newcomer = rig.Make(kMiB);
  rig.CpuFill(squatter, 1);
  rig.CpuFill(newcomer, 2);
  ASSERT_EQ(rig.Validate(squatter, Tt(DmaType::kDynamic)), absl::OkStatus());
  rig.Pin(newcomer);
  Atomic<bool> at_work{false};
  Atomic<bool> go_on{false};
  hooks.on_event = [&](const BufferObject& bo, BoEvent event) {
    if (&bo != squatter.get() || event != BoEvent::kGpuUnbound) return;
    at_work.store(true);
    at_work.notify_all();
    for (uint64_t rounds = 0; !go_on.load(); ++rounds) YieldFor(rounds);
  };
  Host::Shrunk shrunk;
  Thread swapper([&] { shrunk = rig.host().Shrink(1); });
  at_work.wait(false);
  rig.Unpin(newcomer);
  absl::Status placed = absl::UnknownError("not done");
  Thread waiter(
      [&] { placed = rig.Validate(newcomer, Tt(DmaType::kDynamic)); });
  for (int i = 0; i < 100; ++i) YieldFor(50);
  EXPECT_FALSE(rig.In(newcomer, MemoryType::kTt));
  go_on.store(true);
  swapper.Join();
  waiter.Join();
  EXPECT_EQ(placed, absl::OkStatus());
  EXPECT_EQ(shrunk.bo_pages, kMiB / kPageSize);
  EXPECT_EQ(squatter->pages().home(), Pages::Home::kSwapped);
  hooks.on_event = nullptr;
  EXPECT_EQ(rig.Broken(), "");
  EXPECT_EQ(rig.DeviceWrongBytes(newcomer, 2), 0);
  EXPECT_EQ(rig.CpuWrongBytes(squatter, 1), 0);
}

// Each call looks at so many bos and no more; the next one at others.
TEST_P(Pressure, S28_ShrinkingComesPastAnyNumberOfBusyBos) {
  for (const uint32_t looks : {32u, 1u}) {
    Rig rig(Options());
    constexpr PageCount kPages = 4;
    std::vector<BoRef> bos;
    for (uint64_t i = 0; i < 100; ++i) {
      bos.push_back(rig.Make(kPages * kPageSize));
      rig.CpuFill(bos.back(), i);
    }
    std::vector<Fence> fences;
    for (size_t i = 0; i < 90; ++i) fences.push_back(rig.KeepBusy(bos[i]));
    // As they came, the busy ones are the first.
    for (const BoRef& bo : bos) rig.Touch(bo);
    uint64_t given = 0;
    for (uint32_t calls = 0; calls < 180 / (looks + 1) + 11; ++calls) {
      given += rig.host().Shrink(kPages, looks).bo_pages;
    }
    EXPECT_EQ(given, 10 * kPages) << looks;
    // All that are left are busy; they are looked at again when they are not.
    EXPECT_EQ(rig.host().Shrink(kPages, looks).bo_pages, 0);
    for (const Fence& fence : fences) {
      EXPECT_EQ(WaitFor(fence, WaitLimit{}), absl::OkStatus());
    }
    EXPECT_EQ(rig.host().Shrink(~uint64_t{0}, 90).bo_pages, 90 * kPages);
    EXPECT_EQ(rig.Broken(), "");
    ExpectBytes(rig, bos);
  }
}

TEST(Shrinkers, S28_NobodyIsAskedForWhatAnotherGave) {
  Shrinkers shrinkers;
  std::vector<uint64_t> asked;
  const auto generous = [&](uint64_t pages) {
    asked.push_back(pages);
    return pages;
  };
  const auto one = shrinkers.Register("one", generous);
  const auto two = shrinkers.Register("two", generous);
  EXPECT_EQ(shrinkers.Ask(10), 10);
  EXPECT_EQ(asked, (std::vector<uint64_t>{10}));
  // In turn.
  EXPECT_EQ(shrinkers.Ask(10), 10);
  EXPECT_EQ(asked, (std::vector<uint64_t>{10, 10}));
  EXPECT_EQ(shrinkers.Report(), "one: 10 pages\ntwo: 10 pages\n");
}

TEST(Shrinkers, ThreadsAskAndComeAndGo) {
  Shrinkers shrinkers;
  Atomic<uint64_t> calls{0};
  Atomic<bool> stop{false};
  {
    Thread asking([&] {
      while (!stop.load()) shrinkers.Ask(10);
    });
    for (int i = 0; i < 200; ++i) {
      Atomic<bool> alive{true};
      auto registration = shrinkers.Register("short-lived", [&](uint64_t) {
        ++calls;
        YieldFor(30);
        EXPECT_TRUE(alive.load());
        return uint64_t{1};
      });
      const uint64_t before = calls;
      while (calls == before) YieldFor(0);
      registration.reset();
      alive = false;
    }
    stop = true;
  }
  EXPECT_EQ(shrinkers.Report(), "");
}

// --- The page limit, and the swap store in a file ---

TEST_P(Pressure, B41_APageLimitMakesOlderBosSwapOutAndTheNewOneIsPlaced) {
  for (const DmaType dma : {DmaType::kNone, DmaType::kDynamic}) {
    RigOptions options = Options();
    options.machine.page_limit_bytes = 4 * kQuarter;
    Rig rig(options);
    std::vector<BoRef> bos;
    for (int i = 0; i < 10; ++i) {
      bos.push_back(rig.Make(kQuarter));
      rig.CpuFill(bos.back(), i);
      ASSERT_EQ(rig.Validate(bos.back(), Tt(dma)), absl::OkStatus()) << i;
      ASSERT_LE(UsedFrames(rig), 4 * kQuarterPages);
      ASSERT_EQ(rig.Broken(), "") << i;
    }
    // Frames above the device's mask are replaced by copies: room for one more.
    const bool copies =
        GetParam() == MachineKind::kSwiotlb && dma == DmaType::kNone;
    for (int i = 0; i < 10; ++i) {
      EXPECT_EQ(Swapped(bos[i]), i < (copies ? 7 : 6)) << i;
    }
    EXPECT_TRUE(rig.In(bos[9], MemoryType::kTt));
    ExpectBytes(rig, bos);
    const absl::Status never =
        rig.Validate(rig.Make(5 * kQuarter), Tt(DmaType::kNone));
    EXPECT_EQ(KindOf(never), ErrorKind::kNeverFits) << never;
  }
}

// --- Clients ---

uint64_t Charged(const ClientRef& client) {
  return client->account(Resource::kHost).used_pages();
}

TEST_P(Pressure, R14_WhatIsSwappedOutIsNotChargedAndIsAgainWhenItIsBack) {
  Rig rig(Options());
  const ClientRef client =
      *rig.host().CreateClient({.name = "a", .host = {.max_pages = 256}});
  std::vector<BoRef> bos;
  for (int i = 0; i < 8; ++i) {
    bos.push_back(*rig.host().CreateBo(kQuarter, client));
    rig.CpuFill(bos.back(), i);
    EXPECT_LE(Charged(client), 4 * kQuarterPages);
  }
  for (int i = 0; i < 8; ++i) EXPECT_EQ(Swapped(bos[i]), i < 4) << i;
  rig.host().Shrink(2 * kQuarterPages);
  EXPECT_EQ(Charged(client), 2 * kQuarterPages);
  EXPECT_EQ(rig.Broken(), "");
  ASSERT_EQ(rig.Validate(bos[0], Tt(DmaType::kDynamic)), absl::OkStatus());
  EXPECT_EQ(Charged(client), 3 * kQuarterPages);
  const UsageReport report = rig.host().Report();
  EXPECT_EQ(report.lines[1].pages[0], 3 * kQuarterPages);
  EXPECT_EQ(report.lines[1].swapped_pages, 5 * kQuarterPages);
  EXPECT_EQ(report.total_pages[0], 3 * kQuarterPages);
  EXPECT_EQ(rig.Broken(), "");
  ExpectBytes(rig, bos);
}

TEST_P(Pressure, R14_ShrinkingLeavesEachClientItsMin) {
  Rig rig(Options());
  const ClientRef client = *rig.host().CreateClient(
      {.name = "a", .host = {.min_pages = 2 * kQuarterPages}});
  std::vector<BoRef> bos;
  for (int i = 0; i < 4; ++i) {
    bos.push_back(*rig.host().CreateBo(kQuarter, client));
    rig.CpuFill(bos.back(), i);
  }
  EXPECT_EQ(rig.host().Shrink(~uint64_t{0}).bo_pages, 2 * kQuarterPages);
  EXPECT_EQ(Charged(client), 2 * kQuarterPages);
  EXPECT_EQ(rig.Broken(), "");
  ExpectBytes(rig, bos);
}

// Swapped in for a copy that fails, its contents stay in frames.
TEST_P(Pressure, R14_ACopyThatFailsBehindASwapInLeavesTheChargeRight) {
  RecordingHooks hooks;
  RigOptions options = Options();
  options.hooks = &hooks;
  Rig rig(options);
  const ClientRef client = *rig.host().CreateClient(
      {.name = "a", .host = {.max_pages = kQuarterPages}});
  BoRef bo = *rig.host().CreateBo(kQuarter, client);
  rig.CpuFill(bo, 1);
  rig.host().Shrink(1);
  ASSERT_TRUE(Swapped(bo));
  EXPECT_EQ(Charged(client), 0);
  hooks.copies_until_failure = 1;
  EXPECT_FALSE(rig.Validate(bo, kVram).ok());
  EXPECT_EQ(Charged(client), kQuarterPages);
  EXPECT_EQ(rig.Broken(), "");
  hooks.copies_until_failure = 0;
  EXPECT_EQ(rig.Validate(bo, kVram), absl::OkStatus());
  // The frames that are being copied from.
  EXPECT_EQ(Charged(client), kQuarterPages);
  while (rig.host().ReapGhosts(WaitLimit{})) {
  }
  EXPECT_EQ(Charged(client), 0);
  EXPECT_EQ(rig.Broken(), "");
  EXPECT_EQ(rig.DeviceWrongBytes(bo, 1), 0);
}

TEST_P(Pressure, B14_ASwapFileKeepsEveryByte) {
  RigOptions options = Options();
  options.machine.swap_medium = SwapMedium::kFile;
  Rig rig(options);
  std::vector<BoRef> bos = Filled(rig, 40);  // 10 MiB in 4
  EXPECT_GE(rig.host().stats().swap_out_bytes, 24 * kQuarter);
  ExpectBytes(rig, bos);
  for (int i = 0; i < 40; i += 3) {
    ASSERT_EQ(rig.Validate(bos[i], Tt(DmaType::kDynamic)), absl::OkStatus());
    EXPECT_EQ(rig.DeviceWrongBytes(bos[i], i), 0) << i;
  }
  EXPECT_EQ(rig.Broken(), "");
}

}  // namespace
}  // namespace twostep
