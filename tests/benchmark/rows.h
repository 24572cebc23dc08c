#ifndef TESTS_BENCHMARK_ROWS_H_
#define TESTS_BENCHMARK_ROWS_H_

// The rows of `twostep bench`: what each measures, and how it says so. A row is
// run by Google Benchmark; its value is the processor time of an iteration,
// unless it sets another. Further figures are counters by other names;
// figures.h says which are shown, and beside what.

#include <time.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "benchmark/benchmark.h"
#include "tests/allocation_count.h"

namespace twostep {

struct Row {
  std::string name;  // with its size, if that is one of several
  std::function<void(benchmark::State&)> run;
  int64_t size = 0;          // Size(); when quick, kQuickSize at most
  int64_t iterations = 0;    // of a repetition; 0: as many as fill the time
  bool real_time = false;    // threads of its own: by the clock on the wall
  int repetitions = 0;       // at most; 0: as many as are asked for
  uint64_t needs_bytes = 0;  // memory, without which the row is skipped
};

inline constexpr int64_t kQuickSize = 64;

std::vector<Row> BoRows();
std::vector<Row> CrowdRows();
std::vector<Row> AllocatorRows();
std::vector<Row> PolicyRows();
std::vector<Row> FloorRows();
std::vector<Row> DmaRows();
std::vector<Row> FaultRows();
std::vector<Row> CopyRows();
std::vector<Row> ThreadRows();
std::vector<Row> ReplayRows();
std::vector<Row> MemoryRows();

inline int64_t Size(const benchmark::State& state) { return state.range(0); }
// Whether the row is only to show that it works: `steps` of its own are few.
inline bool Quick(const benchmark::State& state) { return state.range(1) != 0; }
inline uint64_t Steps(const benchmark::State& state, uint64_t steps,
                      uint64_t when_quick) {
  return Quick(state) ? when_quick : steps;
}

inline void SetValue(benchmark::State& state, double value) {
  state.counters["value"] = value;
}

// What is measured, and nothing else: instructions are counted in here.
template <typename Step>
[[gnu::noinline]] void MeasuredLoop(benchmark::State& state, Step& step) {
  for (auto _ : state) step();
}

inline double CpuNs() {
  timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e9 +
         static_cast<double>(now.tv_nsec);
}

inline double WallNs() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) * 1e9 +
         static_cast<double>(now.tv_nsec);
}

// An iteration is one operation on `units` of what the row speaks of: the value
// is nanoseconds for one of them.
template <typename Step>
void MeasureRow(benchmark::State& state, Step step, double units = 1) {
  const uint64_t allocations = AllocationCount();
  const double start_ns = CpuNs();
  MeasuredLoop(state, step);
  SetValue(state, (CpuNs() - start_ns) /
                      static_cast<double>(state.iterations()) / units);
  state.counters["allocations"] =
      static_cast<double>(AllocationCount() - allocations) /
      static_cast<double>(state.iterations());
}

}  // namespace twostep

#endif  // TESTS_BENCHMARK_ROWS_H_
