// twostep replay: one or more traces on one machine.

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "twostep/cli/command.h"
#include "twostep/cli/dma_type_option.h"
#include "twostep/cli/html_report.h"
#include "twostep/cli/json_text.h"
#include "twostep/cli/live_view.h"
#include "twostep/cli/machine_file.h"
#include "twostep/cli/number_option.h"
#include "twostep/cli/outputs.h"
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
  std::string dma_exhaustion = "evict";
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

  std::vector<NamedFile> Outputs() const {
    return {{"--json", json},
            {"--record", record},
            {"--perfetto", perfetto},
            {"--report", report}};
  }
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
  AddDmaExhaustionOption(replay, &flags->dma_exhaustion);
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
      ->transform(WholeNumber(0))
      ->type_name("N")
      ->capture_default_str();
  replay
      ->add_option("--audit-every", flags->audit_every,
                   "check all rules every N records")
      ->transform(WholeNumber(0))
      ->type_name("N")
      ->default_str("at the end");
  replay
      ->add_option("--json", flags->json, "write the figures; '-': print them")
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
  options.dma_exhaustion = DmaExhaustionOf(flags.dma_exhaustion);
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

// One trace, and the VRAM it is given.
struct Part {
  std::string path;
  std::string name;  // as told
  GpuConfig gpu;
};

// What is to be replayed, looked at as far as that goes beforehand, so that
// what cannot be run leaves the outputs of earlier runs alone.
struct Plan {
  ReplayOptions options;
  std::vector<Part> parts;
};

absl::StatusOr<Plan> PlanOf(const ReplayFlags& flags) {
  absl::StatusOr<ReplayOptions> options = OptionsOf(flags);
  if (!options.ok()) return options.status();
  if (!flags.record.empty() && flags.traces.size() > 1) {
    return absl::InvalidArgumentError(
        "--record: a file holds one run; name one trace");
  }
  Plan plan = {.options = *std::move(options)};
  for (const std::string& trace : flags.traces) {
    plan.parts.push_back({trace, trace, plan.options.gpu});
  }
  if (flags.traces.empty()) {
    plan.parts.push_back({BundledTracePath(), kBundledTrace, plan.options.gpu});
  }
  std::vector<NamedFile> inputs = {{"--machine", flags.machine}};
  for (Part& part : plan.parts) {
    if (access(part.path.c_str(), R_OK) != 0) {
      return absl::NotFoundError(
          absl::StrCat(part.path, ": ", std::strerror(errno)));
    }
    absl::Status sized = SizeVram(flags, part.path, &part.gpu);
    if (!sized.ok()) return sized;
    inputs.push_back({"TRACE", part.path});
  }
  absl::Status writable = CheckOutputs(flags.Outputs(), inputs);
  if (!writable.ok()) return writable;
  return plan;
}

// What is known of a run beforehand, as its figures have it.
nlohmann::ordered_json Settings(const ReplayFlags& flags,
                                const std::string& name,
                                const ReplayOptions& options) {
  return {{"trace", name},
          {"machine", options.machine.name},
          {"mode", flags.unbacked ? "unbacked" : "backed"},
          {"dma_type", flags.dma_type},
          {"dma_exhaustion", flags.dma_exhaustion},
          {"placement", options.placement},
          {"eviction", options.eviction},
          {"seed", options.seed},
          {"vram_bytes", options.gpu.vram_bytes}};
}

// Replays the parts of a plan up to the first that fails, and gathers what
// --json and --report say of them.
class ReplayRun {
 public:
  // REQUIRES: `observers` outlive it; `live` is one of them, or null.
  ReplayRun(const ReplayFlags& flags, const Plan& plan,
            const RunObservers& observers, LiveView* live)
      : flags_(flags), plan_(plan), observers_(observers), live_(live) {}

  ExitCode Play() {
    for (size_t at = 0; at < plan_.parts.size(); ++at) {
      absl::Status played = PlayPart(at);
      if (!played.ok()) return BadInput(played);
    }
    return clean_ ? kExitClean : kExitWrong;
  }

  // What became of the files of Play().
  std::vector<absl::Status> Write() {
    std::vector<absl::Status> written = {recorded_};
    if (!flags_.json.empty()) {
      written.push_back(WriteFile(
          {"--json", flags_.json},
          JsonFile(plan_.parts.size() == 1 ? results_[0] : results_)));
    }
    written.push_back(WriteHtmlReport(
        flags_.report, {{"kind", "replay"}, {"runs", std::move(reported_)}}));
    return written;
  }

 private:
  absl::Status PlayPart(size_t at) {
    const Part& part = plan_.parts[at];
    ReplayOptions options = plan_.options;
    options.gpu = part.gpu;
    const size_t count = plan_.parts.size();
    Progress progress(flags_.quiet || live_ != nullptr);
    options.progress = [&](double share) {
      const double of_all =
          (static_cast<double>(at) + share) / static_cast<double>(count);
      progress.Show(of_all, part.name);
      if (live_ != nullptr) live_->Show(of_all);
    };
    if (count > 1) {
      observers_.Next(
          absl::StrCat(part.name, " (", at + 1, " of ", count, ")"));
    } else if (live_ != nullptr) {
      live_->Next(part.name);
    }
    RunObservers watching = observers_;
    RunHistory history(kReplayHistory);
    if (!flags_.report.empty()) watching.Add(&history);
    const absl::StatusOr<ReplayResult> result =
        PlayRecorded(part, std::move(options), watching);
    progress.Clear();
    if (live_ != nullptr) live_->Clear();
    if (!flags_.report.empty()) {
      reported_.push_back({{"figures", results_.back()}});
      if (history.began()) reported_.back()["history"] = history.ToJson();
    }
    if (!result.ok()) return result.status();
    if (live_ != nullptr) {
      live_->Show(static_cast<double>(at + 1) / static_cast<double>(count));
    }
    clean_ &= result->clean();
    if (!flags_.quiet && !TakesStdout(flags_.Outputs())) {
      if (at != 0) std::printf("\n");
      std::printf("%s", ReplayTable(*result).c_str());
    }
    return absl::OkStatus();
  }

  // Adds to the results, figures or why there are none.
  absl::StatusOr<ReplayResult> PlayRecorded(const Part& part,
                                            ReplayOptions options,
                                            RunObservers observers) {
    const nlohmann::ordered_json settings =
        Settings(flags_, part.name, options);
    std::optional<RunRecorder> recorder;
    if (!flags_.record.empty()) {
      observers.Add(&recorder.emplace(flags_.record, settings));
    }
    if (!observers.empty()) options.observer = &observers;
    absl::StatusOr<ReplayResult> result = Replay(part.path, options);
    if (result.ok()) {
      result->trace = part.name;
      results_.push_back(ReplayJson(*result));
    } else {
      results_.push_back(settings);
      results_.back()["error"] = std::string(result.status().message());
    }
    if (recorder.has_value()) {
      recorded_ = result.ok() ? recorder->Finish(results_.back())
                              : recorder->Finish(result.status());
    }
    return result;
  }

  const ReplayFlags& flags_;
  const Plan& plan_;
  RunObservers observers_;
  LiveView* const live_;
  bool clean_ = true;
  absl::Status recorded_;
  nlohmann::ordered_json results_ = nlohmann::ordered_json::array();
  nlohmann::ordered_json reported_ = nlohmann::ordered_json::array();
};

ExitCode Run(const ReplayFlags& flags) {
  const absl::StatusOr<Plan> plan = PlanOf(flags);
  if (!plan.ok()) return BadInput(plan.status());
  RunObservers observers;
  std::optional<PerfettoTrace> perfetto;
  if (!flags.perfetto.empty()) observers.Add(&perfetto.emplace(flags.perfetto));
  std::optional<LiveView> live;
  if (flags.live) observers.Add(&live.emplace());
  ReplayRun run(flags, *plan, observers, live.has_value() ? &*live : nullptr);
  const ExitCode code = run.Play();
  std::vector<absl::Status> written = run.Write();
  if (perfetto.has_value()) written.push_back(perfetto->Finish());
  return AfterWriting(code, written);
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
