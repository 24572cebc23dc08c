// The swap store: what both media promise, and how a file fails.

#include "twostep/machine/swap_store.h"

#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <random>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "twostep/machine/machine.h"
#include "twostep/machine/pages.h"

namespace twostep {
namespace {

using ::testing::HasSubstr;

class SwapStores : public ::testing::TestWithParam<SwapMedium> {
 protected:
  SwapStores() {
    MachineConfig config;
    config.dma32_bytes = 4 * kMiB;
    config.normal_bytes = 0;
    config.coherent_bytes = config.cma_bytes = config.swiotlb.bytes = 0;
    config.swap_bytes = kMiB;
    config.swap_medium = GetParam();
    machine_ = *Machine::Create(config, {});
  }
  PhysicalMemory& memory() { return machine_->memory(); }
  SwapStore& swap() { return machine_->swap(); }

  std::vector<FrameNumber> Frames(size_t count) {
    std::vector<FrameNumber> frames(count);
    EXPECT_EQ(
        memory().Allocate(frames, kNoFrame - 1, PhysicalMemory::Zero::kYes),
        Shortage::Kind::kNone);
    return frames;
  }
  // A page of zeros, of a few words, half of it noise, or all of it.
  void Fill(FrameNumber frame, uint64_t seed) {
    std::mt19937_64 random(seed);
    std::byte page[kPageSize] = {};
    const size_t noise = seed % 4 == 0   ? 0
                         : seed % 4 == 1 ? 64
                         : seed % 4 == 2 ? kPageSize / 2
                                         : kPageSize;
    for (size_t i = 0; i < noise; i += 8) {
      const uint64_t word = random();
      std::memcpy(page + i, &word, 8);
    }
    std::memcpy(memory().CpuBytes(frame), page, kPageSize);
  }
  bool Holds(FrameNumber frame, uint64_t seed) {
    const FrameNumber right = Frames(1)[0];
    Fill(right, seed);
    const bool same = std::memcmp(memory().CpuBytes(frame),
                                  memory().CpuBytes(right), kPageSize) == 0;
    memory().Free({&right, 1});
    return same;
  }

  std::unique_ptr<Machine> machine_;
};

INSTANTIATE_TEST_SUITE_P(Both, SwapStores,
                         ::testing::Values(SwapMedium::kMemory,
                                           SwapMedium::kFile),
                         [](const auto& info) {
                           return info.param == SwapMedium::kFile ? "File"
                                                                  : "Memory";
                         });

// Many stores and loads, of pages that compress in every way, in and out of
// order, until all slots were used more than once.
TEST_P(SwapStores, B14_EveryPageComesBackWithItsBytes) {
  struct Stored {
    std::vector<uint32_t> slots;
    uint64_t seed;
  };
  std::mt19937_64 random(3);
  std::vector<Stored> stored;
  uint64_t used = 0;
  uint64_t seed = 0;
  for (int step = 0; step < 600; ++step) {
    const size_t count = 1 + random() % 30;
    auto frames = Frames(count);
    if (used + count <= swap().pages() && random() % 3 != 0) {
      for (size_t i = 0; i < count; ++i) Fill(frames[i], seed + i);
      Stored next{std::vector<uint32_t>(count), seed};
      ASSERT_EQ(swap().Store(frames, next.slots), Shortage::Kind::kNone);
      seed += count;
      used += count;
      stored.push_back(std::move(next));
    } else if (!stored.empty()) {
      std::swap(stored[random() % stored.size()], stored.back());
      const Stored& last = stored.back();
      memory().Free(frames);
      frames = Frames(last.slots.size());
      if (random() % 4 == 0) {
        swap().Drop(last.slots);
      } else {
        ASSERT_EQ(swap().Load(last.slots, frames), absl::OkStatus());
        for (size_t i = 0; i < frames.size(); ++i) {
          ASSERT_TRUE(Holds(frames[i], last.seed + i)) << last.seed + i;
        }
      }
      used -= last.slots.size();
      stored.pop_back();
    }
    memory().Free(frames);
    ASSERT_EQ(swap().used_pages(), used);
  }
  EXPECT_GT(seed, 2 * swap().pages());
}

TEST_P(SwapStores, FullNothingHasChangedAndItIsSaid) {
  auto frames = Frames(swap().pages());
  std::vector<uint32_t> slots(frames.size());
  for (size_t i = 0; i < frames.size(); ++i) Fill(frames[i], 4 * i + 3);
  ASSERT_EQ(swap().Store(frames, slots), Shortage::Kind::kNone);
  uint32_t more;
  EXPECT_EQ(swap().Store({frames.data(), 1}, {&more, 1}),
            Shortage::Kind::kFull);
  EXPECT_EQ(swap().used_pages(), swap().pages());
  EXPECT_EQ(swap().Describe(), "the swap store has 0 KiB free of 1024 KiB");
  ASSERT_EQ(swap().Load(slots, frames), absl::OkStatus());
  for (size_t i = 0; i < frames.size(); ++i) {
    ASSERT_TRUE(Holds(frames[i], 4 * i + 3)) << i;
  }
}

class SwapFile : public SwapStores {};
INSTANTIATE_TEST_SUITE_P(File, SwapFile, ::testing::Values(SwapMedium::kFile),
                         [](const auto&) { return "File"; });

// A limit on how large files may grow stands in for a full file system.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    before_ = signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &old_);
    rlimit limit = old_;
    limit.rlim_cur = bytes;
    EXPECT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
  }
  ~FileSizeLimit() {
    setrlimit(RLIMIT_FSIZE, &old_);
    signal(SIGXFSZ, before_);
  }

 private:
  rlimit old_;
  void (*before_)(int);
};

TEST_P(SwapFile, AFullFileSystemIsSaidAndNothingIsLost) {
  auto frames = Frames(64);
  std::vector<uint32_t> early(32);
  for (size_t i = 0; i < frames.size(); ++i) Fill(frames[i], 4 * i + 3);
  const std::span<const FrameNumber> all(frames);
  ASSERT_EQ(swap().Store(all.first(32), early), Shortage::Kind::kNone);
  std::vector<uint32_t> late(32);
  {
    FileSizeLimit limit(40 * kPageSize);
    // Time and again: nothing of a refused page stays in the file's space.
    for (int i = 0; i < 300; ++i) {
      ASSERT_EQ(swap().Store(all.last(32), late), Shortage::Kind::kFull);
    }
  }
  EXPECT_EQ(swap().used_pages(), 32);
  EXPECT_THAT(swap().Describe(),
              HasSubstr("cannot be written: the file system is full"));
  // There is room again.
  ASSERT_EQ(swap().Store(all.last(32), late), Shortage::Kind::kNone);
  for (const FrameNumber frame : frames) Fill(frame, 0);
  ASSERT_EQ(swap().Load(late, all.last(32)), absl::OkStatus());
  ASSERT_EQ(swap().Load(early, all.first(32)), absl::OkStatus());
  for (size_t i = 0; i < frames.size(); ++i) {
    EXPECT_TRUE(Holds(frames[i], 4 * i + 3)) << i;
  }
}

// The descriptor of the file, which has no name any more.
int FindSwapFile() {
  for (int fd = 0; fd < 1024; ++fd) {
    char target[256] = {};
    const std::string link = "/proc/self/fd/" + std::to_string(fd);
    if (readlink(link.c_str(), target, sizeof(target) - 1) > 0 &&
        std::string(target).find("twostep-swap") != std::string::npos) {
      return fd;
    }
  }
  return -1;
}

TEST_P(SwapFile, WhatCannotBeReadIsAnErrorAndStaysWhereItIs) {
  auto frames = Frames(8);
  std::vector<uint32_t> slots(8);
  for (size_t i = 0; i < frames.size(); ++i) Fill(frames[i], 4 * i + 3);
  ASSERT_EQ(swap().Store(frames, slots), Shortage::Kind::kNone);
  const int fd = FindSwapFile();
  ASSERT_GE(fd, 0);
  ASSERT_EQ(ftruncate(fd, 3 * kPageSize), 0);
  EXPECT_EQ(swap().Load(slots, frames).code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(swap().used_pages(), 8);
  EXPECT_THAT(swap().Describe(), HasSubstr("shorter than it was"));
  swap().Drop(slots);
  EXPECT_EQ(swap().used_pages(), 0);
}

TEST_P(SwapFile, ABosPagesThatCannotBeReadTakeNoFrames) {
  Pages pages(8);
  ASSERT_EQ(pages.Populate(memory(), kNoFrame - 1, PhysicalMemory::Zero::kYes),
            Shortage::Kind::kNone);
  for (size_t i = 0; i < 8; ++i) Fill(pages.frames()[i], 4 * i + 3);
  ASSERT_EQ(pages.SwapOut(memory(), swap()), Shortage::Kind::kNone);
  ASSERT_EQ(ftruncate(FindSwapFile(), 3 * kPageSize), 0);
  EXPECT_EQ(pages.SwapIn(memory(), swap(), kNoFrame - 1).status().code(),
            absl::StatusCode::kDataLoss);
  EXPECT_EQ(pages.home(), Pages::Home::kSwapped);
  EXPECT_EQ(memory().used_frames(Zone::kDma32), 0);
  pages.Release(memory(), swap());
  EXPECT_EQ(swap().used_pages(), 0);
}

TEST_P(SwapFile, NoFolderForItIsAnErrorWithItsName) {
  const char* const before = std::getenv("TMPDIR");
  const std::string saved = before == nullptr ? "" : before;
  setenv("TMPDIR", "/nowhere/at/all", 1);
  const auto store = SwapStore::Create(SwapMedium::kFile, kMiB, memory());
  setenv("TMPDIR", saved.c_str(), 1);
  EXPECT_EQ(store.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(store.status().message()),
              HasSubstr("/nowhere/at/all"));
}

}  // namespace
}  // namespace twostep
