// What one block costs in a space at a given occupancy. Sizes are in pages,
// 4 KiB to 64 MiB log-uniform. Counters: failed_percent, of allocations;
// hole_share, the largest hole's part of all that is free, sampled
// afterwards; nodes_per_live, blocks and holes to each live block.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

#include "benchmark/benchmark.h"
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
// Arguments: live blocks, occupancy in percent, contiguous.
template <typename Allocator>
void BM_Steady(benchmark::State& state) {
  const uint64_t pages = PagesFor(state.range(0), state.range(1));
  const uint64_t target = pages / 100 * state.range(1);
  Allocator space(0, pages);
  std::mt19937_64 random(7);
  const std::vector<uint32_t> sizes = DrawSizes(random);
  std::vector<uint32_t> live;
  SpaceRequest request;
  request.contiguous = state.range(2) != 0;
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
  for (int64_t i = 0; i < state.range(0) * 40; ++i) step();
  draws = failed = 0;
  for (auto _ : state) {
    // Two steps are on average one block freed and one allocated.
    step();
    step();
  }
  state.counters["failed_percent"] =
      100.0 * static_cast<double>(failed) /
      static_cast<double>(std::max<uint64_t>(draws, 1));
  constexpr int kSamples = 64;
  double share = 0;
  for (int sample = 0; sample < kSamples; ++sample) {
    for (int64_t i = 0; i < state.range(0) / 8; ++i) step();
    share += static_cast<double>(space.largest_hole()) /
             static_cast<double>(space.free());
  }
  state.counters["hole_share"] = share / kSamples;
  int64_t blocks = 0;
  space.ForEachBlock([&](uint64_t, uint64_t, bool) { ++blocks; });
  state.counters["nodes_per_live"] =
      static_cast<double>(blocks) / static_cast<double>(live.size());
}

// As eviction does: a random block leaves a full space, and another of its
// size takes its place. Arguments: blocks, pages each.
template <typename Allocator>
void BM_Replace(benchmark::State& state) {
  const uint64_t count = state.range(0);
  SpaceRequest request;
  request.size = state.range(1);
  Allocator space(0, count * request.size);
  std::vector<uint32_t> live;
  SpaceBlock block;
  while (space.Allocate(request, &block) == Shortage::Kind::kNone) {
    live.push_back(block.node);
  }
  uint64_t chance = 1;
  for (auto _ : state) {
    chance = chance * 6364136223846793005u + 1442695040888963407u;
    uint32_t& node = live[((chance >> 33) * live.size()) >> 31];
    space.Free(node);
    space.Allocate(request, &block);
    node = block.node;
  }
}

// A request that a fragmented space refuses. Arguments: live blocks, alignment.
template <typename Allocator>
void BM_Refuse(benchmark::State& state) {
  Allocator space(0, PagesFor(state.range(0), 90));
  std::mt19937_64 random(7);
  const std::vector<uint32_t> sizes = DrawSizes(random);
  std::vector<uint32_t> live;
  SpaceRequest request;
  SpaceBlock block;
  for (int64_t i = 0; i < state.range(0) * 4; ++i) {
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
  request.alignment = state.range(1);
  request.size = space.largest_hole();
  while (space.Describe(request).kind == Shortage::Kind::kNone) {
    request.size += 1 + request.size / 16;
  }
  for (auto _ : state) {
    benchmark::DoNotOptimize(space.Allocate(request, &block));
  }
}

void SteadyArguments(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgNames({"live", "percent", "contiguous"});
  for (const int64_t live : {64, 1'000, 10'000, 100'000}) {
    for (const int64_t percent : {50, 90}) benchmark->Args({live, percent, 1});
  }
}
void SplitArguments(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgNames({"live", "percent", "contiguous"});
  for (const int64_t live : {64, 1'000, 10'000, 100'000}) {
    benchmark->Args({live, 90, 0});
  }
}

BENCHMARK(BM_Steady<RangeAllocator>)->Apply(SteadyArguments);
BENCHMARK(BM_Steady<BuddyAllocator>)
    ->Apply(SteadyArguments)
    ->Apply(SplitArguments);
BENCHMARK(BM_Replace<RangeAllocator>)
    ->ArgNames({"live", "pages"})
    ->ArgsProduct({{64, 1024, 16384, 100'000}, {16}});
BENCHMARK(BM_Replace<BuddyAllocator>)
    ->ArgNames({"live", "pages"})
    ->ArgsProduct({{64, 1024, 16384, 100'000}, {16, 13}});
BENCHMARK(BM_Refuse<RangeAllocator>)
    ->ArgNames({"live", "alignment"})
    ->ArgsProduct({{10'000}, {1, 512}});
BENCHMARK(BM_Refuse<BuddyAllocator>)
    ->ArgNames({"live", "alignment"})
    ->ArgsProduct({{10'000}, {1, 512}});

}  // namespace
}  // namespace twostep
