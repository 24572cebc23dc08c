// Failures made to order: which points fail, and how each looks.

#include "twostep/machine/faults.h"

#include <array>
#include <set>
#include <vector>

#include "gtest/gtest.h"
#include "twostep/machine/copy_engine.h"
#include "twostep/machine/machine.h"
#include "twostep/machine/model_gpu.h"

namespace twostep {
namespace {

TEST(Faults, NothingFailsOrIsCountedUntilItIsAskedFor) {
  Faults faults;
  EXPECT_FALSE(faults.Hit(FaultKind::kFrame));
  EXPECT_FALSE(FaultAt(nullptr, FaultKind::kFrame));
  EXPECT_EQ(faults.points(FaultKind::kFrame), 0);
}

TEST(Faults, TheNthOfItsKindFailsOnce) {
  Faults faults;
  faults.Arm(FaultKind::kIova, 3);
  faults.Arm(FaultKind::kSwap, 0);
  std::vector<bool> hits;
  for (int i = 0; i < 5; ++i) {
    hits.push_back(faults.Hit(FaultKind::kIova));
    EXPECT_FALSE(faults.Hit(FaultKind::kSwap));
    EXPECT_FALSE(faults.Hit(FaultKind::kCma));
  }
  EXPECT_EQ(hits, (std::vector<bool>{false, false, true, false, false}));
  EXPECT_EQ(faults.points(FaultKind::kIova), 5);
  EXPECT_EQ(faults.made(FaultKind::kIova), 1);
  EXPECT_EQ(faults.points(FaultKind::kSwap), 5);
  EXPECT_EQ(faults.made(FaultKind::kSwap), 0);
}

TEST(Faults, ARateFollowsTheSeed) {
  const auto play = [](uint64_t seed) {
    Faults faults;
    faults.Rate(FaultKind::kCopy, 0.25, seed);
    std::vector<bool> hits;
    for (int i = 0; i < 4000; ++i) hits.push_back(faults.Hit(FaultKind::kCopy));
    EXPECT_GT(faults.made(FaultKind::kCopy), 800) << seed;
    EXPECT_LT(faults.made(FaultKind::kCopy), 1200) << seed;
    return hits;
  };
  EXPECT_EQ(play(1), play(1));
  EXPECT_NE(play(1), play(2));
  Faults always;
  always.Rate(FaultKind::kCopy, 1, 0);
  EXPECT_TRUE(always.Hit(FaultKind::kCopy));
}

TEST(Faults, AQuietThreadPassesNoPoints) {
  Faults faults;
  faults.Arm(FaultKind::kFrame, 1);
  const uint64_t before = Faults::MadeOnThisThread()[0];
  {
    const Faults::Quiet quiet;
    EXPECT_FALSE(faults.Hit(FaultKind::kFrame));
  }
  EXPECT_EQ(faults.points(FaultKind::kFrame), 0);
  EXPECT_TRUE(faults.Hit(FaultKind::kFrame));
  EXPECT_EQ(Faults::MadeOnThisThread()[0], before + 1);
}

TEST(Faults, KindsHaveNames) {
  std::set<std::string> names;
  for (int i = 0; i < kFaultKinds; ++i) {
    const auto kind = static_cast<FaultKind>(i);
    EXPECT_EQ(FaultKindNamed(NameOf(kind)), kind);
    names.insert(NameOf(kind));
  }
  EXPECT_EQ(names.size(), kFaultKinds);
  EXPECT_FALSE(FaultKindNamed("flame").has_value());
}

// Each unit once with a fault and once without: what failed has taken nothing.
TEST(FaultsOfAMachine, LeaveTheUnitAsItWas) {
  Faults faults;
  MachineConfig config;
  config.iommu.mode = IommuMode::kTranslated;
  auto machine = *Machine::Create(config, {.faults = &faults});
  for (int i = 0; i < kFaultKinds; ++i) {
    faults.Arm(static_cast<FaultKind>(i), 1);
  }
  std::array<FrameNumber, 4> frames{};
  constexpr FrameNumber kAnywhere = kNoFrame - 1;
  PhysicalMemory& memory = machine->memory();
  const auto take = [&] {
    return memory.Allocate(frames, kAnywhere, PhysicalMemory::Zero::kNo);
  };
  EXPECT_EQ(take(), Shortage::Kind::kFull);
  EXPECT_EQ(memory.used_frames(Zone::kNormal), 0);
  ASSERT_EQ(take(), Shortage::Kind::kNone);

  DmaDomain& domain = machine->domain();
  SpaceBlock block;
  EXPECT_EQ(domain.Map(frames, {}, &block), Shortage::Kind::kFull);
  EXPECT_EQ(domain.Map(frames, {}, &block), Shortage::Kind::kNoTables);
  EXPECT_EQ(domain.used_iova_pages(), 0);
  ASSERT_EQ(domain.Map(frames, {}, &block), Shortage::Kind::kNone);
  domain.Unmap(block, 4);

  EXPECT_EQ(machine->bounce_pool().Allocate({.bytes = kPageSize}, &block),
            Shortage::Kind::kFull);
  ASSERT_EQ(machine->bounce_pool().Allocate({.bytes = kPageSize}, &block),
            Shortage::Kind::kNone);
  machine->bounce_pool().Free(block);
  EXPECT_EQ(machine->cma().Allocate(4, &block), Shortage::Kind::kFull);
  ASSERT_EQ(machine->cma().Allocate(4, &block), Shortage::Kind::kNone);
  machine->cma().Free(block);

  std::array<FrameNumber, 4> coherent{};
  PagePool& pool = machine->coherent_pool();
  EXPECT_EQ(pool.Allocate(&faults, Caching::kCached, coherent),
            Shortage::Kind::kFull);
  ASSERT_EQ(pool.Allocate(&faults, Caching::kCached, coherent),
            Shortage::Kind::kNone);
  pool.Free(coherent);

  std::array<uint32_t, 4> slots{};
  EXPECT_EQ(machine->swap().Store(frames, slots), Shortage::Kind::kFull);
  EXPECT_EQ(machine->swap().used_pages(), 0);
  ASSERT_EQ(machine->swap().Store(frames, slots), Shortage::Kind::kNone);
  machine->swap().Drop(slots);
  memory.Free(frames);
}

// The copy is not begun; the job is not done, and the one behind it is.
TEST(FaultsOfAMachine, EndCopiesAndJobsWithAnError) {
  for (const auto clock : {Clock::Kind::kReal, Clock::Kind::kVirtual}) {
    Faults faults;
    auto machine =
        *Machine::Create(MachineConfig{}, {.clock = clock, .faults = &faults});
    faults.Arm(FaultKind::kCopy, 1);
    faults.Arm(FaultKind::kFence, 2);
    DmaPort port(machine->domain(), machine->memory(), 64, /*coherent=*/true);
    CopyEngine engine(machine->NewTimeline("copy"), machine->clock(),
                      machine->cost(), machine->memory(), port);
    EXPECT_EQ(engine.Copy(CopyJob{}, {}).status().code(),
              absl::StatusCode::kInternal);
    EXPECT_TRUE(engine.Copy(CopyJob{}, {}).ok());

    auto vram =
        *Vram::Create(4 * kPageSize, GpuConfig::kAllOfIt, Backing::kBacked);
    ModelGpu gpu(*machine, {}, port, nullptr, vram.get());
    std::array<Fence, 3> fences;
    for (uint64_t page = 0; page < 3; ++page) {
      GpuJob job;
      job.steps.emplace_back(
          GpuFill{{GpuRange{GpuSpace::kVram, 1, page}}, std::byte{0x5a}});
      fences[page] = gpu.Submit(0, std::move(job), {}, 1000);
    }
    EXPECT_TRUE(WaitFor(fences[2], {}).ok());
    EXPECT_TRUE(WaitFor(fences[0], {}).ok());
    EXPECT_EQ(WaitFor(fences[1], {}).code(), absl::StatusCode::kAborted);
    EXPECT_TRUE(fences[2].Error().ok());
    for (uint64_t page = 0; page < 3; ++page) {
      EXPECT_EQ(vram->data()[page * kPageSize] == std::byte{0x5a}, page != 1);
    }
  }
}

}  // namespace
}  // namespace twostep
