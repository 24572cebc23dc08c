// What one block costs in a space at a given occupancy. Sizes are in pages,
// 4 KiB to 64 MiB log-uniform. Counters: failed, percent of allocations;
// largest_hole, its part of all that is free, sampled afterwards;
// nodes_per_live, blocks and holes to each live block.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/benchmark/rows.h"
#include "twostep/machine/buddy_allocator.h"
#include "twostep/machine/range_allocator.h"

namespace twostep {
namespace {

constexpr double kLogLargest = 14;  // 2^14 pages: 64 MiB
// The mean of a log-uniform size.
const double kMeanPages =
    (std::exp2(kLogLargest) - 1) / std::log(2) / kLogLargest;

// Sizes drawn beforehand, so that drawing is not measured.
std::vector<uint32_t> DrawSizes(std::mt19937_64& random) {
  std::uniform_real_distribution<double> log(0, kLogLargest);
  std::vector<uint32_t> sizes(size_t{1} << 16);
  for (uint32_t& size : sizes) {
    size = static_cast<uint32_t>(std::exp2(log(random)));
  }
  return sizes;
}

uint64_t PagesFor(int64_t live, int64_t percent) {
  return static_cast<uint64_t>(static_cast<double>(live) * kMeanPages * 100 /
                               static_cast<double>(percent));
}

// Random blocks freed and allocated, the space kept at its occupancy.
template <typename Allocator>
void Steady(benchmark::State& state, int64_t percent, bool contiguous) {
  const int64_t live_blocks = Size(state);
  const uint64_t pages = PagesFor(live_blocks, percent);
  const uint64_t target = pages / 100 * static_cast<uint64_t>(percent);
  Allocator space(0, pages);
  std::mt19937_64 random(7);
  const std::vector<uint32_t> sizes = DrawSizes(random);
  std::vector<uint32_t> live;
  SpaceRequest request;
  request.contiguous = contiguous;
  uint64_t draws = 0, failed = 0;
  uint64_t chance = 1;
  const auto step = [&] {
    if (space.used() < target) {
      request.size = sizes[draws++ & (sizes.size() - 1)];
      SpaceBlock block;
      if (space.Allocate(request, &block) == Shortage::Kind::kNone) {
        live.push_back(block.node);
        return;
      }
      ++failed;
    }
    chance = chance * 6364136223846793005u + 1442695040888963407u;
    const size_t i = static_cast<size_t>(
        (static_cast<unsigned __int128>(chance) * live.size()) >> 64);
    space.Free(live[i]);
    live[i] = live.back();
    live.pop_back();
  };
  for (int64_t i = 0; i < live_blocks * 40; ++i) step();
  draws = failed = 0;
  MeasureRow(state, [&] {
    // Two steps are on average one block freed and one allocated.
    step();
    step();
  });
  state.counters["failed"] = 100.0 * static_cast<double>(failed) /
                             static_cast<double>(std::max<uint64_t>(draws, 1));
  const uint64_t samples = Steps(state, 64, 1);
  double share = 0;
  for (uint64_t sample = 0; sample < samples; ++sample) {
    for (int64_t i = 0; i < live_blocks / 8; ++i) step();
    share += static_cast<double>(space.largest_hole()) /
             static_cast<double>(space.free());
  }
  state.counters["largest_hole"] = share / static_cast<double>(samples);
  int64_t blocks = 0;
  space.ForEachBlock([&](uint64_t, uint64_t, bool) { ++blocks; });
  state.counters["nodes_per_live"] =
      static_cast<double>(blocks) / static_cast<double>(live.size());
}

// As eviction does: a random block leaves a full space, and another of its
// size takes its place.
template <typename Allocator>
void Replace(benchmark::State& state, uint64_t block_pages) {
  const auto count = static_cast<uint64_t>(Size(state));
  SpaceRequest request;
  request.size = block_pages;
  Allocator space(0, count * request.size);
  std::vector<uint32_t> live;
  SpaceBlock block;
  while (space.Allocate(request, &block) == Shortage::Kind::kNone) {
    live.push_back(block.node);
  }
  uint64_t chance = 1;
  MeasureRow(state, [&] {
    chance = chance * 6364136223846793005u + 1442695040888963407u;
    uint32_t& node = live[((chance >> 33) * live.size()) >> 31];
    space.Free(node);
    space.Allocate(request, &block);
    node = block.node;
  });
}

// A request that a fragmented space refuses.
template <typename Allocator>
void Refuse(benchmark::State& state, uint64_t alignment) {
  Allocator space(0, PagesFor(Size(state), 90));
  std::mt19937_64 random(7);
  const std::vector<uint32_t> sizes = DrawSizes(random);
  std::vector<uint32_t> live;
  SpaceRequest request;
  SpaceBlock block;
  for (int64_t i = 0; i < Size(state) * 4; ++i) {
    request.size = sizes[i & 0xffff];
    if (space.Allocate(request, &block) == Shortage::Kind::kNone) {
      live.push_back(block.node);
    } else if (space.used() > space.capacity() / 10 * 9) {
      for (int k = 0; k < 2; ++k) {
        std::swap(live[random() % live.size()], live.back());
        space.Free(live.back());
        live.pop_back();
      }
    }
  }
  request.alignment = alignment;
  request.size = space.largest_hole();
  while (space.Describe(request).kind == Shortage::Kind::kNone) {
    request.size += 1 + request.size / 16;
  }
  MeasureRow(state, [&] {
    benchmark::DoNotOptimize(space.Allocate(request, &block));
  });
}

template <typename Allocator>
void AddRows(const std::string& name, std::vector<Row>* rows) {
  for (const int64_t live : {64, 1'000, 10'000, 100'000}) {
    for (const int64_t percent : {50, 90}) {
      rows->push_back(
          {.name = absl::StrCat(name, "/", live, "_live_", percent, "_full"),
           .run =
               [percent](auto& state) {
                 // What the kernel's buddies do: in pieces where they must.
                 Steady<Allocator>(state, percent,
                                   std::is_same_v<Allocator, RangeAllocator>);
               },
           .size = live,
           .iterations = 300'000});
    }
  }
  for (const int64_t count : {64, 1024, 16384, 100'000}) {
    rows->push_back({.name = absl::StrCat(name, "_replace/", count),
                     .run = [](auto& state) { Replace<Allocator>(state, 16); },
                     .size = count});
  }
  for (const uint64_t alignment : {1, 512}) {
    rows->push_back(
        {.name = absl::StrCat(name, "_refuse/alignment_", alignment),
         .run =
             [alignment](auto& state) { Refuse<Allocator>(state, alignment); },
         .size = 10'000});
  }
}

}  // namespace

std::vector<Row> AllocatorRows() {
  std::vector<Row> rows;
  AddRows<RangeAllocator>("range_allocator", &rows);
  AddRows<BuddyAllocator>("buddy_allocator", &rows);
  for (const int64_t live : {1'000, 10'000}) {
    rows.push_back(
        {.name =
             absl::StrCat("buddy_allocator_contiguous/", live, "_live_50_full"),
         .run = [](auto& state) { Steady<BuddyAllocator>(state, 50, true); },
         .size = live,
         .iterations = 100'000});
  }
  return rows;
}

}  // namespace twostep
