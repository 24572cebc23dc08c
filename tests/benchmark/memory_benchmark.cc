// What a bo takes of memory, and what an operation costs among very many.

#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/benchmark/rig.h"
#include "tests/benchmark/rows.h"

namespace twostep {
namespace {

uint64_t HeapBytes() {
  const struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
}

uint64_t ResidentBytes() {
  unsigned long size = 0, resident = 0;
  FILE* file = std::fopen("/proc/self/statm", "r");
  if (file == nullptr) return 0;
  if (std::fscanf(file, "%lu %lu", &size, &resident) != 2) resident = 0;
  std::fclose(file);
  return resident * sysconf(_SC_PAGESIZE);
}

// What the heap holds for a bo, allocator headers and rounding included, the
// benchmark's own vector of references not.
void MemoryOfABo(benchmark::State& state, const Placement& placement) {
  const auto count = static_cast<size_t>(Size(state));
  for (auto _ : state) {
    malloc_trim(0);
    Rig rig({.vram_pages = count, .aperture_pages = count});
    const uint64_t heap = HeapBytes();
    const uint64_t resident = ResidentBytes();
    rig.MakeIn(placement, count);
    const auto per_bo = [&](uint64_t bytes) {
      return static_cast<double>(bytes) / static_cast<double>(count) -
             sizeof(BoRef);
    };
    SetValue(state, per_bo(HeapBytes() - heap));
    state.counters["resident"] = per_bo(ResidentBytes() - resident);
  }
}

struct Growth {
  double ns;     // of a validation that evicts one
  double bytes;  // of a bo
};

// Half of `count` bos fit into VRAM, and all of them are worthless.
Growth EvictAmong(size_t count, uint64_t steps) {
  malloc_trim(0);
  Rig rig({.vram_pages = count / 2});
  // In an order in which no processor fetches ahead.
  std::vector<uint32_t> order(count);
  std::iota(order.begin(), order.end(), 0);
  std::shuffle(order.begin(), order.end(), std::mt19937_64(1));
  const uint64_t heap = HeapBytes();
  rig.Make(count);
  for (const uint32_t i : order) {
    BufferObject& bo = rig.bo(i);
    bo.Reserve();
    bo.SetWorthless(true);
    bo.Unreserve();
    rig.Validate(bo, kVram);
  }
  Growth growth;
  growth.bytes =
      static_cast<double>(HeapBytes() - heap) / static_cast<double>(count) -
      sizeof(BoRef);
  const double start_ns = CpuNs();
  size_t next = 0;
  for (uint64_t i = 0; i < steps; ++i) {
    rig.Validate(rig.bo(order[next]), kVram);
    if (++next == count) next = 0;
  }
  growth.ns = (CpuNs() - start_ns) / static_cast<double>(steps);
  return growth;
}

// Beside the same among ten thousand.
void GrowthOfEviction(benchmark::State& state) {
  const auto count = static_cast<size_t>(Size(state));
  const uint64_t steps = Steps(state, 1'000'000, 64);
  for (auto _ : state) {
    const Growth few = EvictAmong(Quick(state) ? 16 : 10'000, steps);
    const Growth many = EvictAmong(count, steps);
    SetValue(state, many.ns / few.ns);
    state.counters["memory"] = many.bytes / few.bytes;
    state.counters["ns_among_10000"] = few.ns;
    state.counters["ns_among_all"] = many.ns;
  }
}

}  // namespace

std::vector<Row> MemoryRows() {
  constexpr int64_t kMillion = 1'000'000;
  std::vector<Row> rows;
  for (const auto& [name, placement] :
       {std::pair{"vram", kVram}, std::pair{"tt_both_bindings", kTt}}) {
    rows.push_back({.name = absl::StrCat("memory_of_a_bo/", name),
                    .run = [placement = placement](
                               auto& state) { MemoryOfABo(state, placement); },
                    .size = 1 << 20,
                    .iterations = 1,
                    .repetitions = 1,
                    .needs_bytes = uint64_t{1} << 30});
  }
  for (const int64_t count : {kMillion, 10 * kMillion}) {
    rows.push_back({.name = absl::StrCat("growth_of_eviction/vram_", count),
                    .run = GrowthOfEviction,
                    .size = count,
                    .iterations = 1,
                    .repetitions = 1,
                    // Bos, the nodes of their space, references.
                    .needs_bytes = static_cast<uint64_t>(count) * 320});
  }
  return rows;
}

}  // namespace twostep
