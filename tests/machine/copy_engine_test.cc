// What copies take, and a copy engine whose device is pulled out.

#include "twostep/machine/copy_engine.h"

#include <cstring>
#include <vector>

#include "gtest/gtest.h"
#include "twostep/machine/machine.h"

namespace twostep {
namespace {

TEST(CopyEngine, UnbackedACopyTakesOneLatencyAndItsTransfer) {
  MachineConfig config;
  config.cost.engine_latency_ns = 5000;
  config.cost.engine_mib_per_s = 1000;
  config.cost.vram_mib_per_s = 4000;
  auto machine =
      *Machine::Create(config, {Backing::kUnbacked, Clock::Kind::kVirtual});
  DmaPort port(machine->domain(), machine->memory(), 64, /*coherent=*/true);
  CopyEngine engine(machine->NewTimeline("copies"), machine->clock(),
                    machine->cost(), machine->memory(), port);
  CopyJob job;
  job.pages = kMiB / kPageSize;
  job.to.kind = CopySide::Kind::kVram;
  ASSERT_TRUE(WaitFor(*engine.Copy(job, {}), {}).ok());
  EXPECT_EQ(machine->clock().now_ns(), 255'000);  // clears at VRAM's rate
  job.from.kind = CopySide::Kind::kDma;
  ASSERT_TRUE(WaitFor(*engine.Copy(job, {}), {}).ok());
  EXPECT_EQ(machine->clock().now_ns(), 255'000 + 1'005'000);
}

// Large ones go past the caches, and very large ones by two threads.
TEST(CopyEngine, CopiesOfAllSizesPutEachPageWhereItBelongs) {
  auto machine = *Machine::Create(MachineConfig{}, {});
  constexpr PageCount kMost = 5001;
  auto vram =
      *Vram::Create(PagesToBytes(kMost), PagesToBytes(kMost), Backing::kBacked);
  DmaPort port(machine->domain(), machine->memory(), 64, /*coherent=*/true);
  CopyEngine engine(machine->NewTimeline("copies"), machine->clock(),
                    machine->cost(), machine->memory(), port);
  std::vector<FrameNumber> frames(kMost);
  ASSERT_EQ(machine->memory().Allocate(frames, kNoFrame - 1,
                                       PhysicalMemory::Zero::kNo),
            Shortage::Kind::kNone);
  for (const PageCount pages :
       {PageCount{1}, PageCount{511}, PageCount{512}, PageCount{4096}, kMost}) {
    CopyJob out;
    out.pages = pages;
    out.from = CopySide{CopySide::Kind::kVram, vram.get(), {}};
    out.to = CopySide{CopySide::Kind::kFrames, nullptr, {}};
    for (PageCount i = 0; i < pages; ++i) {
      // Backwards, so that no two pages are neighbours on both sides.
      out.from.pages.push_back(pages - 1 - i);
      out.to.pages.push_back(frames[i]);
      uint64_t words[2] = {pages, i};
      std::byte* const page = vram->data() + PagesToBytes(pages - 1 - i);
      std::memcpy(page, words, sizeof(words));
      std::memcpy(page + kPageSize - sizeof(words), words, sizeof(words));
    }
    ASSERT_TRUE(WaitFor(*engine.Copy(std::move(out), {}), {}).ok());
    for (PageCount i = 0; i < pages; ++i) {
      const uint64_t words[2] = {pages, i};
      const std::byte* const page = machine->memory().CpuBytes(frames[i]);
      ASSERT_EQ(std::memcmp(page, words, sizeof(words)), 0)
          << pages << " " << i;
      ASSERT_EQ(
          std::memcmp(page + kPageSize - sizeof(words), words, sizeof(words)),
          0)
          << pages << " " << i;
    }
  }
}

TEST(CopyEngine, WhatItHadNotBegunLeavesZerosInHostMemoryAndNothingElse) {
  auto machine = *Machine::Create(MachineConfig{}, {});
  auto vram = *Vram::Create(4 * kPageSize, 4 * kPageSize, Backing::kBacked);
  DmaPort port(machine->domain(), machine->memory(), 64, /*coherent=*/true);
  CopyEngine engine(machine->NewTimeline("copies"), machine->clock(),
                    machine->cost(), machine->memory(), port);
  std::vector<FrameNumber> frames(4);
  ASSERT_EQ(machine->memory().Allocate(frames, kNoFrame - 1,
                                       PhysicalMemory::Zero::kNo),
            Shortage::Kind::kNone);
  std::memset(vram->data(), 0x11, 4 * kPageSize);
  for (const FrameNumber frame : frames) {
    std::memset(machine->memory().CpuBytes(frame), 0x22, kPageSize);
  }
  const auto job = [&](bool to_vram, int page) {
    CopyJob copy;
    copy.pages = 1;
    copy.from = CopySide{CopySide::Kind::kVram, vram.get(), {}};
    copy.from.pages.push_back(page);
    copy.to = CopySide{CopySide::Kind::kFrames, nullptr, {}};
    copy.to.pages.push_back(frames[page]);
    if (to_vram) std::swap(copy.from, copy.to);
    return copy;
  };
  const Fence done = *engine.Copy(job(/*to_vram=*/false, 0), {});
  ASSERT_TRUE(WaitFor(done, {}).ok());
  // Behind work that never ends.
  Timeline& never = machine->NewTimeline("never");
  const Fence dependency[] = {never.Emit(0)};
  const Fence home = *engine.Copy(job(/*to_vram=*/false, 1), dependency);
  const Fence away = *engine.Copy(job(/*to_vram=*/true, 2), dependency);
  engine.Fail(absl::DataLossError("pulled out"));
  const Fence late = *engine.Copy(job(/*to_vram=*/false, 3), dependency);
  for (const Fence& fence : {home, away, late}) {
    EXPECT_EQ(fence.Error(), absl::DataLossError("pulled out"));
  }
  const int want[] = {0x11, 0, 0x22, 0};
  for (int page = 0; page < 4; ++page) {
    for (uint64_t i = 0; i < kPageSize; ++i) {
      ASSERT_EQ(static_cast<int>(machine->memory().CpuBytes(frames[page])[i]),
                want[page])
          << page;
    }
  }
  EXPECT_EQ(static_cast<int>(vram->data()[2 * kPageSize]), 0x11);
  never.Complete(dependency[0].point);
  machine->memory().Free(frames);
}

}  // namespace
}  // namespace twostep
