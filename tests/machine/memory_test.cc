// S12 and S13: who may have which frames of the machine, and what is counted.

#include "twostep/machine/memory.h"

#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace twostep {
namespace {

using ::testing::HasSubstr;

constexpr FrameNumber kAnywhere = kNoFrame - 1;
constexpr FrameNumber kBelow4GiB = kNormalZoneFirstFrame - 1;

std::unique_ptr<PhysicalMemory> Make(const MachineConfig& config) {
  return *PhysicalMemory::Create(config, Backing::kUnbacked);
}

// 768 frames of DMA32, 256 of NORMAL, 64 for the host alone.
MachineConfig Config() {
  MachineConfig config;
  config.dma32_bytes = 3 * kMiB;
  config.normal_bytes = kMiB;
  config.reserve_bytes = 256 * kKiB;
  return config;
}

Shortage::Kind Take(PhysicalMemory& memory, size_t frames, FrameNumber highest,
                    std::vector<FrameNumber>* out) {
  out->resize(frames);
  return memory.Allocate(*out, highest, PhysicalMemory::Zero::kNo);
}

TEST(Memory, S13_BosNeverGetTheReserveAndTheHostDoes) {
  auto memory = Make(Config());
  EXPECT_EQ(memory->reserve_frames(Zone::kDma32), 48);
  EXPECT_EQ(memory->reserve_frames(Zone::kNormal), 16);
  EXPECT_EQ(memory->free_frames(kAnywhere), 1024 - 64);
  std::vector<FrameNumber> bos;
  std::vector<FrameNumber> one;
  EXPECT_EQ(Take(*memory, 1024 - 63, kAnywhere, &bos),
            Shortage::Kind::kNeverFits);
  ASSERT_EQ(Take(*memory, 1024 - 64, kAnywhere, &bos), Shortage::Kind::kNone);
  EXPECT_EQ(Take(*memory, 1, kAnywhere, &one), Shortage::Kind::kFull);
  EXPECT_EQ(memory->unused_frames(Zone::kDma32), 48);
  EXPECT_EQ(memory->unused_frames(Zone::kNormal), 16);

  std::vector<FrameNumber> host(64);
  ASSERT_EQ(memory->AllocateForHost(host, kAnywhere), Shortage::Kind::kNone);
  std::vector<FrameNumber> more(1);
  EXPECT_EQ(memory->AllocateForHost(more, kAnywhere), Shortage::Kind::kFull);
  // The host's frames are nobody else's account.
  EXPECT_EQ(memory->used_frames(Zone::kDma32), 768 - 48);
  EXPECT_EQ(memory->used_frames(Zone::kNormal), 256 - 16);
  EXPECT_EQ(memory->host_frames(Zone::kDma32), 48);
  EXPECT_EQ(memory->host_frames(Zone::kNormal), 16);
  memory->Free(bos);
  // What the host has is not set aside a second time, nor given to bos.
  EXPECT_EQ(memory->free_frames(kAnywhere), 1024 - 64 - 64);
  memory->FreeFromHost(host);
  EXPECT_EQ(memory->free_frames(kAnywhere), 1024 - 64);
}

TEST(Memory, S13_EachZoneKeepsItsShareOfTheReserve) {
  auto memory = Make(Config());
  std::vector<FrameNumber> low;
  EXPECT_EQ(Take(*memory, 768 - 47, kBelow4GiB, &low),
            Shortage::Kind::kNeverFits);
  ASSERT_EQ(Take(*memory, 768 - 48, kBelow4GiB, &low), Shortage::Kind::kNone);
  EXPECT_EQ(memory->unused_frames(Zone::kDma32), 48);
  std::vector<FrameNumber> host(48);
  EXPECT_EQ(memory->AllocateForHost(host, kBelow4GiB), Shortage::Kind::kNone);
}

TEST(Memory, S12_WhatIsReturnedIsCountedWhereItIs) {
  auto memory = Make(Config());
  // Asked for anywhere, given from NORMAL first, then from DMA32.
  std::vector<FrameNumber> frames;
  ASSERT_EQ(Take(*memory, 300, kAnywhere, &frames), Shortage::Kind::kNone);
  uint64_t low = 0;
  for (const FrameNumber frame : frames) low += frame <= kBelow4GiB;
  EXPECT_EQ(low, 300 - (256 - 16));
  EXPECT_EQ(memory->used_frames(Zone::kDma32), low);
  EXPECT_EQ(memory->used_frames(Zone::kNormal), 300 - low);
  memory->Free(frames);
  EXPECT_EQ(memory->used_frames(Zone::kDma32), 0);
  EXPECT_EQ(memory->used_frames(Zone::kNormal), 0);
}

TEST(Memory, S12_OnASmallMachineBothZonesAreOnePool) {
  MachineConfig config;
  config.dma32_bytes = kMiB;
  config.normal_bytes = 0;
  auto memory = Make(config);
  std::vector<FrameNumber> anywhere;
  std::vector<FrameNumber> below;
  ASSERT_EQ(Take(*memory, 200, kAnywhere, &anywhere), Shortage::Kind::kNone);
  EXPECT_EQ(memory->used_frames(Zone::kDma32), 200);
  EXPECT_EQ(memory->used_frames(Zone::kNormal), 0);
  EXPECT_EQ(Take(*memory, 57, kBelow4GiB, &below), Shortage::Kind::kFull);
  ASSERT_EQ(Take(*memory, 56, kBelow4GiB, &below), Shortage::Kind::kNone);
  EXPECT_EQ(memory->free_frames(kAnywhere), 0);
}

TEST(Memory, S13_FramesAreWantedBelowTheLowWatermarkUpToTheHighOne) {
  MachineConfig config = Config();
  config.low_watermark_bytes = 40 * kPageSize;
  config.high_watermark_bytes = 100 * kPageSize;
  auto memory = Make(config);
  std::vector<FrameNumber> most;
  ASSERT_EQ(Take(*memory, 960 - 40, kAnywhere, &most), Shortage::Kind::kNone);
  EXPECT_FALSE(memory->below_low_watermark());
  EXPECT_EQ(memory->frames_wanted(), 0);
  std::vector<FrameNumber> last;
  ASSERT_EQ(Take(*memory, 1, kAnywhere, &last), Shortage::Kind::kNone);
  EXPECT_TRUE(memory->below_low_watermark());
  EXPECT_EQ(memory->frames_wanted(), 61);
  memory->Free(last);
  EXPECT_FALSE(memory->below_low_watermark());
  // The host's own work presses as well.
  std::vector<FrameNumber> host(10);
  ASSERT_EQ(memory->AllocateForHost(host, kAnywhere), Shortage::Kind::kNone);
  EXPECT_EQ(memory->frames_wanted(), 70);
  memory->FreeFromHost(host);
  EXPECT_EQ(memory->frames_wanted(), 0);
}

TEST(Memory, B41_APageLimitHoldsOverBothZones) {
  MachineConfig config = Config();
  config.page_limit_bytes = 300 * kPageSize;
  auto memory = Make(config);
  std::vector<FrameNumber> frames;
  EXPECT_EQ(Take(*memory, 301, kAnywhere, &frames), Shortage::Kind::kNeverFits);
  ASSERT_EQ(Take(*memory, 299, kAnywhere, &frames), Shortage::Kind::kNone);
  std::vector<FrameNumber> more;
  EXPECT_EQ(Take(*memory, 2, kBelow4GiB, &more), Shortage::Kind::kFull);
  EXPECT_EQ(memory->free_frames(kAnywhere), 1);
  memory->SetPageLimit(100);
  EXPECT_EQ(Take(*memory, 1, kAnywhere, &more), Shortage::Kind::kFull);
  memory->SetPageLimit(0);
  EXPECT_EQ(Take(*memory, 2, kAnywhere, &more), Shortage::Kind::kNone);
}

TEST(Memory, BadSizesAreRefusedByName) {
  const auto error = [](auto change) {
    MachineConfig config = Config();
    change(&config);
    return std::string(
        PhysicalMemory::Create(config, Backing::kUnbacked).status().message());
  };
  EXPECT_THAT(error([](auto* c) { c->reserve_bytes = 5 * kMiB; }),
              HasSubstr("reserve_bytes"));
  EXPECT_THAT(error([](auto* c) { c->reserve_bytes = 1; }),
              HasSubstr("reserve_bytes"));
  EXPECT_THAT(error([](auto* c) { c->low_watermark_bytes = kMiB; }),
              HasSubstr("high_watermark_bytes"));
  EXPECT_THAT(error([](auto* c) { c->high_watermark_bytes = 4 * kMiB; }),
              HasSubstr("high_watermark_bytes"));
  EXPECT_THAT(error([](auto* c) { c->page_limit_bytes = 5; }),
              HasSubstr("page_limit_bytes"));
}

}  // namespace
}  // namespace twostep
