// Traces: reading them, and replaying them on an unbacked machine.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/benchmark/rows.h"
#include "tests/trace/trace_writer.h"
#include "twostep/lab/replay.h"
#include "twostep/trace/trace_reader.h"
#include "twostep/trace/trace_summary.h"

namespace twostep {
namespace {

constexpr uint64_t kUsesPerSubmission = 8;
constexpr uint64_t kSubmissionsPerFrame = 10;

uint64_t Records(const benchmark::State& state) {
  return Steps(state, 1'000'000, 2000);
}

// A trace of its own, for as long as the row runs.
class TraceFile {
 public:
  TraceFile(const TraceWriterOptions& options, bool compressed) {
    const std::string text = WriteTraceToString(options);
    path_ = WriteTempFile("bench.botrace", compressed ? Compress(text) : text);
  }
  ~TraceFile() { std::remove(path_.c_str()); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

TraceWriterOptions OptionsOf(const benchmark::State& state) {
  return {.records = Records(state),
          .live_bos = static_cast<uint64_t>(Size(state)),
          .uses_per_submission = kUsesPerSubmission};
}

void SetRecordsASecond(benchmark::State& state, double start_ns) {
  SetValue(state, static_cast<double>(Records(state)) *
                      static_cast<double>(state.iterations()) * 1e3 /
                      (CpuNs() - start_ns));
}

void ReadTrace(benchmark::State& state, bool compressed) {
  const TraceFile file(OptionsOf(state), compressed);
  TraceRecord record;
  const double start_ns = CpuNs();
  for (auto _ : state) {
    auto reader = TraceReader::Open(file.path());
    if (!reader.ok()) std::abort();
    uint64_t records = 0;
    while (true) {
      const absl::StatusOr<bool> more = (*reader)->Next(&record);
      if (!more.ok()) std::abort();
      if (!*more) break;
      ++records;
    }
    if (records != Records(state)) std::abort();
  }
  SetRecordsASecond(state, start_ns);
}

void SummarizeTrace(benchmark::State& state) {
  const TraceFile file(OptionsOf(state), false);
  const double start_ns = CpuNs();
  for (auto _ : state) {
    if (!Summarize(file.path()).ok()) std::abort();
  }
  SetRecordsASecond(state, start_ns);
}

// One that went wrong ends the row.
std::optional<ReplayResult> ReplayOrSkip(benchmark::State& state,
                                         const TraceFile& file,
                                         const ReplayOptions& options) {
  absl::StatusOr<ReplayResult> result = Replay(file.path(), options);
  if (!result.ok()) {
    state.SkipWithError(std::string(result.status().message()).c_str());
    return std::nullopt;
  }
  if (!result->clean()) {
    state.SkipWithError("a rule was broken");
    return std::nullopt;
  }
  return *std::move(result);
}

// Processor seconds for a hundred million uses of bos that all fit, each of
// them used about ten times; the run-up makes the bos.
void ReplayMillions(benchmark::State& state) {
  const auto bos = static_cast<uint64_t>(Size(state));
  const uint64_t submissions = bos * 10 / kUsesPerSubmission;
  const TraceWriterOptions trace = {
      .records = bos + submissions + submissions / kSubmissionsPerFrame,
      .live_bos = bos,
      .max_bo_bytes = kPageSize,
      .uses_per_submission = kUsesPerSubmission,
      .submissions_per_frame = kSubmissionsPerFrame,
      .submissions_percent = 100};
  const TraceFile file(trace, false);
  ReplayOptions options;
  options.backing = Backing::kUnbacked;
  options.machine.normal_bytes = PagesToBytes(bos * 2);
  options.gpu.vram_bytes = options.gpu.vram_visible_bytes = PagesToBytes(bos);
  const double start_ns = CpuNs();
  for (auto _ : state) {
    const std::optional<ReplayResult> result =
        ReplayOrSkip(state, file, options);
    if (!result.has_value()) return;
    state.counters["uses"] = static_cast<double>(result->validates);
  }
  SetValue(state, (CpuNs() - start_ns) / 1e9);
}

// VRAM holds nearly all of what is alive, as for programs that run well.
void ReplayUnbacked(benchmark::State& state, const std::string& policy) {
  TraceWriterOptions trace = OptionsOf(state);
  trace.max_bo_bytes = 1 << 18;
  const TraceFile file(trace, false);
  ReplayOptions options;
  options.backing = Backing::kUnbacked;
  options.eviction = policy;
  options.machine.normal_bytes = 8 * kGiB;
  options.gpu.vram_bytes = options.gpu.vram_visible_bytes =
      PagesToBytes(static_cast<uint64_t>(Size(state)) * 20);
  double validates = 0;
  const double start_ns = CpuNs();
  for (auto _ : state) {
    const std::optional<ReplayResult> result =
        ReplayOrSkip(state, file, options);
    if (!result.has_value()) return;
    validates += static_cast<double>(result->validates);
    state.counters["hits"] = static_cast<double>(result->validate_hits) /
                             static_cast<double>(result->validates);
  }
  state.counters["uses"] = validates * 1e3 / (CpuNs() - start_ns);
  SetRecordsASecond(state, start_ns);
}

}  // namespace

std::vector<Row> ReplayRows() {
  constexpr int64_t kLive = 1000;
  std::vector<Row> rows;
  const auto add = [&](std::string name,
                       std::function<void(benchmark::State&)> run) {
    rows.push_back({.name = std::move(name),
                    .run = std::move(run),
                    .size = kLive,
                    .iterations = 1});
  };
  add("read_trace/plain", [](auto& state) { ReadTrace(state, false); });
  add("read_trace/zstd", [](auto& state) { ReadTrace(state, true); });
  add("summarize_trace", SummarizeTrace);
  for (const char* policy : {"lru", "adaptive"}) {
    add(absl::StrCat("replay_unbacked/", policy),
        [policy](auto& state) { ReplayUnbacked(state, policy); });
  }
  constexpr int64_t kMillions = 10'000'000;
  rows.push_back({.name = absl::StrCat("replay_unbacked/", kMillions, "_bos"),
                  .run = ReplayMillions,
                  .size = kMillions,
                  .iterations = 1,
                  .repetitions = 1,
                  // Bos, what a replay knows of them, the trace.
                  .needs_bytes = static_cast<uint64_t>(kMillions) * 800});
  return rows;
}

}  // namespace twostep
