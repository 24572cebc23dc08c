// The CMA area: what it grants is aligned to its size, up to 1 MiB; the host's
// pages there make way and come back, byte for byte, but for busy ones.

#include "twostep/machine/cma_area.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "twostep/machine/machine.h"
#include "twostep/machine/page_pattern.h"
#include "twostep/machine/sync.h"

namespace twostep {
namespace {

constexpr FrameNumber kAnywhere = kNoFrame - 1;

MachineConfig SmallConfig() {
  MachineConfig config;
  config.dma32_bytes = 16 * kMiB;
  config.normal_bytes = 0;
  config.coherent_bytes = config.swiotlb.bytes = config.swap_bytes = 0;
  config.cma_bytes = 8 * kMiB;
  return config;
}

std::unique_ptr<Machine> MakeMachine(const MachineConfig& config) {
  return *Machine::Create(
      config, MachineOptions{Backing::kBacked, Clock::Kind::kVirtual});
}

std::vector<CmaNeighbours::Page> PagesOf(const CmaArea& area) {
  std::vector<CmaNeighbours::Page> pages;
  area.neighbours()->ForEach(
      [&](const CmaNeighbours::Page& page) { pages.push_back(page); });
  return pages;
}

uint64_t HostFrames(Machine& machine) {
  return machine.memory().host_frames(Zone::kDma32) +
         machine.memory().host_frames(Zone::kNormal);
}

TEST(CmaAreaTest, RunsAreAlignedToTheirSizeUpTo256Pages) {
  const auto machine = MakeMachine(SmallConfig());
  CmaArea& area = machine->cma();
  SpaceBlock page;
  ASSERT_EQ(area.Allocate(1, &page), Shortage::Kind::kNone);
  for (const auto& [pages, alignment] :
       {std::pair<PageCount, uint64_t>{2, 2}, {3, 4}, {64, 64}, {300, 256}}) {
    SpaceBlock block;
    ASSERT_EQ(area.Allocate(pages, &block), Shortage::Kind::kNone);
    EXPECT_EQ(block.start % alignment, 0) << pages;
    area.Free(block);
  }
  area.Free(page);
  EXPECT_EQ(area.used_frames(), 0);
}

TEST(CmaAreaTest, LentPagesMakeWayAndComeBackByteForByte) {
  MachineConfig config = SmallConfig();
  config.cma_loan.bytes = 5 * kMiB;
  const auto machine = MakeMachine(config);
  CmaArea& area = machine->cma();
  PhysicalMemory& memory = machine->memory();
  const auto lent = PagesOf(area);
  ASSERT_EQ(lent.size(), 5 * kMiB / kPageSize);
  std::vector<std::vector<std::byte>> bytes;
  for (const CmaNeighbours::Page& page : lent) {
    EXPECT_EQ(page.now, page.home);
    const std::byte* const at = memory.CpuBytes(page.now);
    bytes.emplace_back(at, at + kPageSize);
  }
  const auto intact = [&](const std::vector<CmaNeighbours::Page>& pages) {
    for (size_t i = 0; i < pages.size(); ++i) {
      if (pages[i].home != lent[i].home ||
          std::memcmp(memory.CpuBytes(pages[i].now), bytes[i].data(),
                      kPageSize) != 0) {
        return false;
      }
    }
    return pages.size() == lent.size();
  };

  constexpr PageCount kPages = 4 * kMiB / kPageSize;
  const uint64_t before_ns = machine->clock().now_ns();
  SpaceBlock block;
  ASSERT_EQ(area.Allocate(kPages, &block), Shortage::Kind::kNone);
  const auto inside = [&](FrameNumber frame) {
    return frame >= block.start && frame < block.start + kPages;
  };
  for (PageCount i = 0; i < kPages; ++i) {
    std::memset(memory.CpuBytes(static_cast<FrameNumber>(block.start) + i),
                0xa5, kPageSize);
  }
  uint64_t displaced = 0;
  const auto away = PagesOf(area);
  for (const CmaNeighbours::Page& page : away) {
    EXPECT_FALSE(inside(page.now));
    EXPECT_EQ(area.Contains(page.now), !inside(page.home));
    displaced += inside(page.home) ? 1 : 0;
  }
  ASSERT_GT(displaced, 0);
  EXPECT_TRUE(intact(away));
  EXPECT_EQ(area.neighbours()->damaged_pages(), 0);
  EXPECT_EQ(area.neighbours()->migrated_pages(), displaced);
  EXPECT_EQ(HostFrames(*machine), displaced);
  EXPECT_EQ(machine->clock().now_ns() - before_ns,
            displaced * machine->cost().cma_migrate_page_ns);

  area.Free(block);
  const auto back = PagesOf(area);
  for (const CmaNeighbours::Page& page : back) EXPECT_EQ(page.now, page.home);
  EXPECT_TRUE(intact(back));
  EXPECT_EQ(HostFrames(*machine), 0);
  EXPECT_EQ(area.used_frames(), 0);
  // Somebody writes where he should not.
  memory.CpuBytes(lent[7].now)[99] ^= std::byte{1};
  EXPECT_EQ(area.neighbours()->damaged_pages(), 1);
}

TEST(CmaAreaTest, NoRunHasABusyPage) {
  MachineConfig config = SmallConfig();
  config.cma_loan = {.bytes = 2 * kMiB, .busy_bytes = 64 * kKiB, .seed = 5};
  const auto machine = MakeMachine(config);
  CmaArea& area = machine->cma();
  std::vector<FrameNumber> busy;
  for (const CmaNeighbours::Page& page : PagesOf(area)) {
    if (page.busy) busy.push_back(page.home);
  }
  ASSERT_EQ(busy.size(), 16);
  EXPECT_EQ(area.Describe(1).free, 2048 - 16);
  // All that there is: no page of it is busy.
  std::vector<SpaceBlock> blocks;
  uint64_t pages = 0;
  for (const PageCount size : {256u, 64u, 16u, 4u, 1u}) {
    SpaceBlock block;
    while (area.Allocate(size, &block) == Shortage::Kind::kNone) {
      EXPECT_TRUE(std::none_of(busy.begin(), busy.end(), [&](FrameNumber at) {
        return at >= block.start && at < block.start + size;
      }));
      blocks.push_back(block);
      pages += size;
    }
  }
  EXPECT_EQ(pages, 2048 - 16);
  EXPECT_EQ(area.used_frames(), 2048 - 16);
  EXPECT_EQ(HostFrames(*machine), 512 - 16);
  for (const SpaceBlock& block : blocks) area.Free(block);
  EXPECT_EQ(area.used_frames(), 0);
  EXPECT_EQ(HostFrames(*machine), 0);
}

TEST(CmaAreaTest, TheSeedSaysWhichPagesAreLent) {
  MachineConfig config = SmallConfig();
  config.cma_loan = {.bytes = kMiB, .busy_bytes = 64 * kKiB, .seed = 5};
  const auto homes = [&] {
    std::vector<std::pair<FrameNumber, bool>> homes;
    const auto machine = MakeMachine(config);
    for (const CmaNeighbours::Page& page : PagesOf(machine->cma())) {
      homes.emplace_back(page.home, page.busy);
    }
    return homes;
  };
  const auto first = homes();
  EXPECT_EQ(homes(), first);
  config.cma_loan.seed = 6;
  EXPECT_NE(homes(), first);
}

TEST(CmaAreaTest, WithoutFramesToMakeWayToNothingIsTaken) {
  MachineConfig config = SmallConfig();
  config.cma_loan.bytes = config.cma_bytes - kMiB;
  config.reserve_bytes = kMiB;
  const auto machine = MakeMachine(config);
  CmaArea& area = machine->cma();
  PhysicalMemory& memory = machine->memory();
  // As many are left as the reserve has, and 63.
  std::vector<FrameNumber> others(memory.unused_frames(Zone::kDma32) -
                                  memory.reserve_frames(Zone::kDma32) - 63);
  ASSERT_EQ(memory.AllocateForHost(others, kAnywhere), Shortage::Kind::kNone);
  // Not all of the area is lent, but more than 63 pages of each MiB.
  SpaceBlock block;
  EXPECT_EQ(area.Allocate(256, &block), Shortage::Kind::kNoFrames);
  EXPECT_EQ(area.used_frames(), 0);
  EXPECT_EQ(HostFrames(*machine), others.size());
  EXPECT_EQ(area.neighbours()->migrated_pages(), 0);
  EXPECT_EQ(area.neighbours()->damaged_pages(), 0);
  // What fits does: no more than 63 of 63.
  ASSERT_EQ(area.Allocate(63, &block), Shortage::Kind::kNone);
  EXPECT_GE(memory.unused_frames(Zone::kDma32),
            memory.reserve_frames(Zone::kDma32));
  area.Free(block);
  memory.FreeFromHost(others);
  EXPECT_EQ(area.Allocate(256, &block), Shortage::Kind::kNone);
  area.Free(block);
}

TEST(CmaAreaTest, NobodyMakesWayToFramesThatAnotherIsFreeing) {
  MachineConfig config = SmallConfig();
  config.cma_loan.bytes = config.cma_bytes;
  const auto machine = MakeMachine(config);
  CmaArea& area = machine->cma();
  SpaceBlock block;
  ASSERT_TRUE(machine->memory().gate().TryLock());
  Thread([&] {
    EXPECT_EQ(area.Allocate(4, &block), Shortage::Kind::kNoFrames);
  }).Join();
  ASSERT_EQ(area.Allocate(4, &block), Shortage::Kind::kNone);
  area.Free(block);
  machine->memory().gate().Unlock();
}

TEST(CmaAreaTest, ALoanThatCannotBeIsRefusedByName) {
  const auto error = [](const CmaLoan& loan) {
    MachineConfig config = SmallConfig();
    config.normal_bytes = 0;
    config.cma_bytes = 10 * kMiB;
    config.cma_loan = loan;
    return std::string(Machine::Create(config, {}).status().message());
  };
  EXPECT_EQ(error({.bytes = 5 * kMiB}), "");
  EXPECT_NE(error({.bytes = 11 * kMiB}).find("more than the CMA area"),
            std::string::npos);
  EXPECT_NE(error({.bytes = 9 * kMiB}).find("cma_loan.bytes: 9437184 could"),
            std::string::npos);
  EXPECT_NE(error({.bytes = kMiB, .busy_bytes = 2 * kMiB})
                .find("cma_loan.busy_bytes: 2097152 is more than is lent"),
            std::string::npos);
  EXPECT_NE(error({.bytes = kMiB + 1}).find("no multiple"), std::string::npos);
}

}  // namespace
}  // namespace twostep
