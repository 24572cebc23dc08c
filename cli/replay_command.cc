// twostep replay: one or more traces on one machine.

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "twostep/cli/command.h"
#include "twostep/cli/dma_type_option.h"
#include "twostep/cli/html_report.h"
#include "twostep/cli/live_view.h"
#include "twostep/cli/machine_file.h"
#include "twostep/cli/perfetto_trace.h"
#include "twostep/cli/policy_name.h"
#include "twostep/cli/progress.h"
#include "twostep/cli/replay_report.h"
#include "twostep/cli/run_history.h"
#include "twostep/cli/run_recorder.h"
#include "twostep/cli/size.h"
#include "twostep/lab/replay.h"
#include "twostep/trace/trace_summary.h"

namespace twostep {
namespace {

// The trace that comes with the project: where Bazel puts it, beside the binary
// or beside the test that runs it, or where it is installed.
constexpr char kBundledTrace[] = "examples/traces/glmark2.botrace";
std::string BundledTracePath() {
  char path[4096];
  const ssize_t length = readlink("/proc/self/exe", path, sizeof(path));
  const std::string binary(path, length < 0 ? 0 : static_cast<size_t>(length));
  const std::string beside =
      absl::StrCat(binary, ".runfiles/twostep/", kBundledTrace);
  if (access(beside.c_str(), R_OK) == 0) return beside;
  if (const char* runfiles = std::getenv("RUNFILES_DIR")) {
    return absl::StrCat(runfiles, "/twostep/", kBundledTrace);
  }
  return absl::StrCat(binary.substr(0, binary.rfind('/') + 1),
                      "../share/twostep/", kBundledTrace);
}

struct ReplayFlags {
  std::vector<std::string> traces;
  std::string machine;
  bool backed = false;
  bool unbacked = false;
  std::string dma_type = "dynamic";
  std::string placement = "vram-tt";
  std::string eviction = "adaptive";
  std::string vram;
  uint64_t seed = 1;
  uint64_t audit_every = 0;
  std::string json;
  std::string record;
  std::string perfetto;
  std::string report;
  bool live = false;
  bool quiet = false;
};

void AddFlags(CLI::App* replay, ReplayFlags* flags) {
  replay->add_option("TRACE", flags->traces,
                     "botrace files, plain or .zst; none: the bundled one");
  replay
      ->add_option("--machine", flags->machine,
                   "TOML; see docs/machine-files.md (default: 512 MiB of "
                   "frames in each zone, no IOMMU)")
      ->type_name("FILE");
  auto* backed =
      replay->add_flag("--backed", flags->backed,
                       "real pages, every byte moved and checked (default)");
  replay
      ->add_flag("--unbacked", flags->unbacked,
                 "accounts and virtual time only: checks no bytes")
      ->excludes(backed);
  AddDmaTypeOption(replay, &flags->dma_type);
  replay->add_option("--placement", flags->placement, "see twostep policies")
      ->check(PlacementPolicyNames())
      ->type_name("NAME")
      ->capture_default_str();
  replay->add_option("--eviction", flags->eviction, "see twostep policies")
      ->check(EvictionPolicyNames())
      ->type_name("NAME")
      ->capture_default_str();
  replay
      ->add_option("--vram", flags->vram,
                   "of the VRAM (default: half of the largest frame)")
      ->type_name("SIZE");
  replay->add_option("--seed", flags->seed, "of the bytes written")
      ->type_name("N")
      ->capture_default_str();
  replay
      ->add_option("--audit-every", flags->audit_every,
                   "check all rules every N records")
      ->type_name("N")
      ->default_str("at the end");
  replay->add_option("--json", flags->json, "write the figures to FILE")
      ->type_name("FILE");
  replay
      ->add_option("--record", flags->record,
                   "write all that happens, for explain and diff")
      ->type_name("FILE");
  replay
      ->add_option("--perfetto", flags->perfetto,
                   "write a timeline, for ui.perfetto.dev")
      ->type_name("FILE");
  replay
      ->add_option("--report", flags->report,
                   "write a page with plots; see docs/reports.md")
      ->type_name("FILE");
  replay->add_flag("--live", flags->live,
                   "show what happens while it does, on the terminal");
  replay->add_flag("--quiet", flags->quiet, "no progress, no table");
  replay->footer(
      "Example: twostep replay --vram '64 MiB' --eviction arc a.botrace");
}

absl::StatusOr<ReplayOptions> OptionsOf(const ReplayFlags& flags) {
  ReplayOptions options;
  if (!flags.machine.empty()) {
    auto machine = ReadMachineFile(flags.machine);
    if (!machine.ok()) return machine.status();
    options.machine = machine->machine;
    options.gpu = machine->gpu;
  }
  options.backing = flags.unbacked ? Backing::kUnbacked : Backing::kBacked;
  options.dma_type = DmaTypeOf(flags.dma_type);
  options.placement = flags.placement;
  options.eviction = flags.eviction;
  options.seed = flags.seed;
  options.audit_every = flags.audit_every;
  return options;
}

// The machine's VRAM for this trace: as asked for, or fitted to the trace.
absl::Status SizeVram(const ReplayFlags& flags, const std::string& trace,
                      GpuConfig* gpu) {
  if (flags.vram.empty()) {
    auto summary = Summarize(trace);
    if (!summary.ok()) return summary.status();
    gpu->vram_bytes = summary->default_vram_bytes;
  } else {
    auto bytes = ParseSize(flags.vram);
    if (!bytes.ok() || *bytes == 0) {
      return absl::InvalidArgumentError(absl::StrCat(
          "--vram: ", bytes.ok() ? "must not be 0" : bytes.status().message()));
    }
    gpu->vram_bytes = PagesToBytes(BytesToPages(*bytes));
  }
  if (gpu->vram_visible_bytes > gpu->vram_bytes) {
    gpu->vram_visible_bytes = GpuConfig::kAllOfIt;
  }
  return absl::OkStatus();
}

// Replays, and records that where it is asked for.
absl::StatusOr<ReplayResult> Play(const ReplayFlags& flags, bool bundled,
                                  const std::string& trace,
                                  ReplayOptions options,
                                  RunObservers observers) {
  const std::string name = bundled ? kBundledTrace : trace;
  std::optional<RunRecorder> recorder;
  if (!flags.record.empty()) {
    recorder.emplace(
        flags.record,
        nlohmann::ordered_json{{"trace", name},
                               {"machine", options.machine.name},
                               {"mode", flags.unbacked ? "unbacked" : "backed"},
                               {"dma_type", flags.dma_type},
                               {"placement", options.placement},
                               {"eviction", options.eviction},
                               {"seed", options.seed},
                               {"vram_bytes", options.gpu.vram_bytes}});
    observers.Add(&*recorder);
  }
  if (!observers.empty()) options.observer = &observers;
  absl::StatusOr<ReplayResult> result = Replay(trace, options);
  if (result.ok()) result->trace = name;
  if (recorder.has_value()) {
    absl::Status written = result.ok() ? recorder->Finish(ReplayJson(*result))
                                       : recorder->Finish(result.status());
    if (result.ok() && !written.ok()) return written;
  }
  return result;
}

ExitCode RunObserved(const ReplayFlags& flags, RunObservers observers) {
  absl::StatusOr<ReplayOptions> options = OptionsOf(flags);
  if (!options.ok()) return BadInput(options.status());
  std::vector<std::string> traces = flags.traces;
  const bool bundled = traces.empty();
  if (bundled) traces.push_back(BundledTracePath());
  if (!flags.record.empty() && traces.size() > 1) {
    return BadInput(absl::InvalidArgumentError(
        "--record: a file holds one run; name one trace"));
  }
  std::optional<LiveView> live;
  if (flags.live) observers.Add(&live.emplace());
  const GpuConfig gpu = options->gpu;
  nlohmann::ordered_json results = nlohmann::ordered_json::array();
  nlohmann::ordered_json reported = nlohmann::ordered_json::array();
  bool clean = true;
  for (const std::string& trace : traces) {
    options->gpu = gpu;
    absl::Status sized = SizeVram(flags, trace, &options->gpu);
    if (!sized.ok()) return BadInput(sized);
    Progress progress(flags.quiet || flags.live);
    if (live.has_value()) live->Next(bundled ? kBundledTrace : trace);
    const auto of_all = [&](double part) {
      return (static_cast<double>(results.size()) + part) /
             static_cast<double>(traces.size());
    };
    options->progress = [&](double part) {
      progress.Show(of_all(part), bundled ? kBundledTrace : trace);
      if (live.has_value()) live->Show(of_all(part));
    };
    RunObservers watching = observers;
    RunHistory history(kReplayHistory);
    if (!flags.report.empty()) watching.Add(&history);
    absl::StatusOr<ReplayResult> result =
        Play(flags, bundled, trace, *options, watching);
    progress.Clear();
    if (live.has_value()) live->Clear();
    if (!result.ok()) return BadInput(result.status());
    if (live.has_value()) live->Show(of_all(1));
    clean &= result->clean();
    if (!flags.quiet) {
      if (!results.empty()) std::printf("\n");
      std::printf("%s", ReplayTable(*result).c_str());
    }
    results.push_back(ReplayJson(*result));
    if (!flags.report.empty()) {
      reported.push_back(
          {{"figures", results.back()}, {"history", history.ToJson()}});
    }
  }
  if (!flags.json.empty()) {
    const nlohmann::ordered_json& json =
        results.size() == 1 ? results[0] : results;
    absl::Status written = WriteFile("--json", flags.json, json.dump(2) + "\n");
    if (!written.ok()) return BadInput(written);
  }
  absl::Status written = WriteHtmlReport(
      flags.report, {{"kind", "replay"}, {"runs", std::move(reported)}});
  if (!written.ok()) return BadInput(written);
  return clean ? kExitClean : kExitWrong;
}

ExitCode Run(const ReplayFlags& flags) {
  if (flags.perfetto.empty()) return RunObserved(flags, {});
  PerfettoTrace perfetto(flags.perfetto);
  RunObservers observers;
  observers.Add(&perfetto);
  const ExitCode code = RunObserved(flags, observers);
  const absl::Status written = perfetto.Finish();
  return written.ok() || code == kExitBadInput ? code : BadInput(written);
}

}  // namespace

void AddReplay(CLI::App& app, ExitCode* code) {
  CLI::App* replay = app.add_subcommand(
      "replay", "Replay what programs did with their buffer objects");
  auto flags = std::make_shared<ReplayFlags>();
  AddFlags(replay, flags.get());
  replay->callback([flags, code] { *code = Run(*flags); });
}

}  // namespace twostep
