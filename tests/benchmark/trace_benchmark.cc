// Records a second of the trace reader: plain and zstd, by live bos and by
// the bos a submission names.

#include <cstdint>
#include <cstdlib>
#include <string>

#include "absl/strings/str_cat.h"
#include "benchmark/benchmark.h"
#include "tests/trace/trace_writer.h"
#include "twostep/trace/trace_reader.h"
#include "twostep/trace/trace_summary.h"

namespace twostep {
namespace {

constexpr uint64_t kRecords = 1'000'000;

std::string TraceFile(const benchmark::State& state, bool compressed) {
  TraceWriterOptions options;
  options.records = kRecords;
  options.live_bos = static_cast<uint64_t>(state.range(0));
  options.uses_per_submission = static_cast<uint64_t>(state.range(1));
  const std::string text = WriteTraceToString(options);
  return WriteTempFile("trace_benchmark.botrace",
                       compressed ? Compress(text) : text);
}

void ReadAll(benchmark::State& state, bool compressed) {
  const std::string path = TraceFile(state, compressed);
  TraceRecord record;
  for (auto _ : state) {
    auto reader = TraceReader::Open(path);
    if (!reader.ok()) std::abort();
    uint64_t records = 0;
    while (true) {
      const absl::StatusOr<bool> more = (*reader)->Next(&record);
      if (!more.ok()) std::abort();
      if (!*more) break;
      ++records;
    }
    if (records != kRecords) std::abort();
  }
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(kRecords));
}

void BM_ReadPlain(benchmark::State& state) { ReadAll(state, false); }
void BM_ReadZstd(benchmark::State& state) { ReadAll(state, true); }

void BM_Summarize(benchmark::State& state) {
  const std::string path = TraceFile(state, false);
  for (auto _ : state) {
    if (!Summarize(path).ok()) std::abort();
  }
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(kRecords));
}

void Sizes(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgNames({"live_bos", "uses"})
      ->ArgsProduct({{100, 1000, 10000, 100000}, {8}})
      ->Args({1000, 2})
      ->Args({1000, 32})
      ->Unit(benchmark::kMillisecond);
}

BENCHMARK(BM_ReadPlain)->Apply(Sizes);
BENCHMARK(BM_ReadZstd)->Apply(Sizes);
BENCHMARK(BM_Summarize)->Apply(Sizes);

}  // namespace
}  // namespace twostep
