// twostep stress: scenarios that evict, and a verdict.

#include <fnmatch.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "twostep/cli/command.h"
#include "twostep/cli/fault_spec.h"
#include "twostep/cli/html_report.h"
#include "twostep/cli/json_text.h"
#include "twostep/cli/live_view.h"
#include "twostep/cli/machine_file.h"
#include "twostep/cli/nearest.h"
#include "twostep/cli/number_option.h"
#include "twostep/cli/outputs.h"
#include "twostep/cli/perfetto_trace.h"
#include "twostep/cli/play_guard.h"
#include "twostep/cli/progress.h"
#include "twostep/cli/run_histories.h"
#include "twostep/cli/soak.h"
#include "twostep/cli/stress_report.h"

namespace twostep {
namespace {

// Of a timeline: about 300 MB, which viewers still open.
constexpr uint64_t kMaxTimelineEvents = 2'000'000;

// More than can be played in a life, and no sum of them is too large.
constexpr uint64_t kMostSeeds = 1'000'000'000;

struct StressFlags {
  std::vector<std::string> names;
  bool list = false;
  uint64_t seed = 0;
  uint64_t seeds = 1;
  double duration_s = 0;
  double soak_s = 0;
  int threads = 0;
  bool unbacked = false;
  std::string machine;
  std::string faults;
  std::string json;
  std::string report;
  std::string perfetto;
  bool live = false;

  std::vector<NamedFile> Outputs() const {
    return {{"--json", json}, {"--report", report}, {"--perfetto", perfetto}};
  }
};

void AddFlags(CLI::App* stress, StressFlags* flags) {
  stress->add_option(
      "NAME", flags->names,
      "'family/name' or 'name', with * and ?; none: all there are");
  stress->add_flag("--list", flags->list, "name them and stop");
  stress->add_option("--seed", flags->seed, "the first seed")
      ->transform(WholeNumber(0))
      ->type_name("N")
      ->capture_default_str();
  stress->add_option("--seeds", flags->seeds, "how many, counting up")
      ->transform(WholeNumber(1, kMostSeeds))
      ->type_name("N")
      ->capture_default_str();
  stress
      ->add_option("--duration", flags->duration_s,
                   "of each scenario at least, with further seeds")
      ->check(Seconds())
      ->type_name("SECONDS")
      ->capture_default_str();
  stress
      ->add_option("--soak", flags->soak_s,
                   "rounds of all; fail if memory grows (default: one round)")
      ->check(Seconds())
      ->type_name("SECONDS")
      ->excludes("--duration");
  stress
      ->add_option("--threads", flags->threads,
                   "1 to 64 (default: what each scenario says)")
      ->transform(WholeNumber(1, 64))
      ->type_name("N");
  stress->add_flag("--unbacked", flags->unbacked,
                   "real sizes, accounts only: checks no bytes");
  stress
      ->add_option("--machine", flags->machine,
                   "TOML; sizes follow from its VRAM; see "
                   "docs/machine-files.md (default: 32 MiB of VRAM)")
      ->type_name("FILE");
  stress
      ->add_option("--faults", flags->faults,
                   "KIND:every, KIND:N, KIND:P%, with commas (default: none); "
                   "KIND: frame, iova, slot, cma, coherent, table, backoff, "
                   "fence, copy, swap, lost, all; see docs/stress.md")
      ->type_name("SPEC");
  stress
      ->add_option("--json", flags->json, "write the figures; '-': print them")
      ->type_name("FILE");
  stress
      ->add_option("--perfetto", flags->perfetto,
                   "write a timeline, for ui.perfetto.dev; it ends after "
                   "2,000,000 events")
      ->type_name("FILE");
  stress
      ->add_option("--report", flags->report,
                   "write a page with plots; see docs/reports.md")
      ->type_name("FILE");
  stress->add_flag("--live", flags->live,
                   "show what happens while it does, on the terminal");
  stress->footer("Example: twostep stress 'dma-*-exhaust' --seeds 20");
}

bool Matches(const Scenario& scenario, const std::string& glob) {
  return fnmatch(glob.c_str(), scenario.full_name().c_str(), 0) == 0 ||
         fnmatch(glob.c_str(), scenario.name.c_str(), 0) == 0;
}

absl::Status NoSuch(const std::vector<Scenario>& scenarios,
                    const std::string& name) {
  const bool with_family = name.find('/') != std::string::npos;
  std::vector<std::string> names;
  for (const Scenario& scenario : scenarios) {
    names.push_back(with_family ? scenario.full_name() : scenario.name);
  }
  return absl::NotFoundError(
      absl::StrCat("no scenario is called '", name, "'", NearToIt(name, names),
                   "; `twostep stress --list` names all"));
}

absl::StatusOr<std::vector<Scenario>> Chosen(
    const std::vector<Scenario>& scenarios,
    const std::vector<std::string>& names) {
  if (names.empty()) return scenarios;
  for (const std::string& name : names) {
    if (std::none_of(scenarios.begin(), scenarios.end(),
                     [&](const Scenario& one) { return Matches(one, name); })) {
      return NoSuch(scenarios, name);
    }
  }
  std::vector<Scenario> chosen;
  for (const Scenario& scenario : scenarios) {
    if (std::any_of(names.begin(), names.end(), [&](const std::string& name) {
          return Matches(scenario, name);
        })) {
      chosen.push_back(scenario);
    }
  }
  return chosen;
}

absl::StatusOr<StressOptions> OptionsOf(const StressFlags& flags) {
  StressOptions options = StressOptions::Default(
      flags.unbacked ? Backing::kUnbacked : Backing::kBacked);
  options.threads = flags.threads;
  if (flags.machine.empty()) return options;
  auto machine = ReadMachineFile(flags.machine);
  if (!machine.ok()) return machine.status();
  options.machine = machine->machine;
  options.gpu = machine->gpu;
  if (options.gpu.vram_bytes == 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        flags.machine, ": scenarios need a GPU with VRAM; set [gpu] vram"));
  }
  return options;
}

std::string RepeatCommand(const StressFlags& flags, const Scenario& scenario,
                          uint64_t seed, const std::string& faults) {
  std::string command =
      absl::StrCat("./twostep stress ", scenario.full_name(), " --seed ", seed);
  if (flags.threads != 0)
    absl::StrAppend(&command, " --threads ", flags.threads);
  if (flags.unbacked) absl::StrAppend(&command, " --unbacked");
  if (!flags.machine.empty()) {
    absl::StrAppend(&command, " --machine '", flags.machine, "'");
  }
  if (!faults.empty()) absl::StrAppend(&command, " --faults ", faults);
  return command;
}

// Further seeds. Ends with the first that goes wrong, for good.
void Play(const Scenario& scenario, const StressFlags& flags,
          const FaultPlan& faults, StressOptions options,
          absl::FunctionRef<void(const std::string&)> show, PlayGuard* guard,
          StressRow* row) {
  const uint64_t end = row->seeds + flags.seeds;
  while (row->sum.clean() &&
         (row->seeds < end || row->sum.seconds < flags.duration_s)) {
    options.seed = flags.seed + row->seeds;
    std::string repeat;
    const auto next = [&](const std::string& spec) {
      repeat = RepeatCommand(flags, scenario, options.seed, spec);
      guard->Playing(repeat);
      if (options.observer == nullptr) return;
      options.observer->Next(absl::StrCat(row->scenario, " seed ", options.seed,
                                          spec.empty() ? "" : " ", spec));
    };
    if (faults.empty()) {
      next("");
      row->sum.Add(PlayScenario(scenario, options));
    } else {
      FaultOutcome outcome = PlayUnderFaults(scenario, options, faults,
                                             [&](const std::string& spec) {
                                               show(spec);
                                               next(spec);
                                             });
      row->sum.Add(outcome.sum);
      row->runs += outcome.runs;
      if (row->thinned.empty()) row->thinned = std::move(outcome.thinned);
    }
    ++row->seeds;
    if (!row->sum.clean()) row->repeat = repeat;
  }
}

// A row each, of one round or of a soak's. `histories`, if any, is among the
// observers.
std::vector<StressRow> PlayAll(const std::vector<Scenario>& scenarios,
                               const StressFlags& flags,
                               const FaultPlan& faults,
                               const StressOptions& options,
                               const RunHistories* histories, Soak* soak,
                               LiveView* live) {
  std::vector<StressRow> rows;
  for (const Scenario& scenario : scenarios) {
    rows.push_back(
        {.scenario = scenario.full_name(), .first_seed = flags.seed});
  }
  Progress progress(/*quiet=*/live != nullptr);
  PlayGuard guard;
  do {
    for (size_t i = 0; i < rows.size(); ++i) {
      const double part =
          flags.soak_s == 0
              ? static_cast<double>(i) / static_cast<double>(rows.size())
              : soak->Part();
      progress.Show(part, rows[i].scenario);
      if (live != nullptr) live->Show(part);
      const auto show = [&](const std::string& words) {
        progress.Show(part, absl::StrCat(rows[i].scenario, " ", words));
      };
      const uint64_t seeds = rows[i].seeds;
      Play(scenarios[i], flags, PlanFor(scenarios[i], faults), options, show,
           &guard, &rows[i]);
      if (histories != nullptr && rows[i].seeds != seeds) {
        rows[i].history = histories->ToJson();
      }
    }
  } while (soak->GoesOn());
  progress.Clear();
  if (live != nullptr) live->Show(1);
  return rows;
}

// The plan; empty without --faults. Leaves those scenarios out that take none
// of it.
absl::StatusOr<FaultPlan> FaultsOf(const StressFlags& flags,
                                   std::vector<Scenario>* scenarios) {
  if (flags.faults.empty()) return FaultPlan{};
  auto plan = ParseFaults(flags.faults);
  if (!plan.ok()) return plan;
  const size_t chosen = scenarios->size();
  scenarios->erase(std::remove_if(scenarios->begin(), scenarios->end(),
                                  [&](const Scenario& scenario) {
                                    return PlanFor(scenario, *plan).empty();
                                  }),
                   scenarios->end());
  if (scenarios->empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--faults ", flags.faults,
        ": what the chosen scenarios demand does not hold under any of these: "
        "see docs/stress.md for those that take them"));
  }
  if (scenarios->size() < chosen) {
    absl::FPrintF(stderr,
                  "%d of %d scenarios are left out: what they demand does not "
                  "hold under these faults\n",
                  chosen - scenarios->size(), chosen);
  }
  return plan;
}

// Who plays on another machine than the one that was asked for.
void TellOfOwnMachines(const StressFlags& flags,
                       const std::vector<Scenario>& scenarios) {
  std::vector<std::string> names;
  for (const Scenario& scenario : scenarios) {
    if (scenario.own_machine) names.push_back(scenario.name);
  }
  if (flags.machine.empty() || names.empty()) return;
  absl::FPrintF(stderr,
                "--machine %s is not for %d of %d scenarios, which play on "
                "machines of their own: %s\n",
                flags.machine, names.size(), scenarios.size(),
                absl::StrJoin(names, ", "));
}

// Of what was to fail, that which never came to it: a clean run says nothing of
// that.
void TellWhatWasNotReached(const FaultPlan& plan,
                           const std::vector<StressRow>& rows) {
  Verdict all;
  for (const StressRow& row : rows) all.Add(row.sum);
  for (const FaultPart& part : plan) {
    const FaultCount& count = all.faults[static_cast<int>(part.kind)];
    if (count.points == 0) {
      absl::FPrintF(stderr,
                    "no point of %s was passed: these scenarios need none of "
                    "it on this machine\n",
                    NameOf(part.kind));
    } else if (count.made == 0) {
      absl::FPrintF(stderr, "%s made nothing fail\n", ToString(part));
    }
  }
}

// Ends the timeline, if there is one.
absl::Status Finish(const StressFlags& flags, PerfettoTrace* perfetto) {
  if (perfetto == nullptr) return absl::OkStatus();
  absl::Status written = perfetto->Finish();
  const std::string ended_at = perfetto->EndedAt();
  if (written.ok() && !ended_at.empty()) {
    absl::FPrintF(stderr,
                  "twostep: %s holds the first %d events, and ends within %s: "
                  "name fewer scenarios, or seeds, to see the rest\n",
                  flags.perfetto, kMaxTimelineEvents, ended_at);
  }
  return written;
}

// All that was asked for is known to be possible.
ExitCode RunChosen(const std::vector<Scenario>& scenarios,
                   const StressFlags& flags, const FaultPlan& faults,
                   StressOptions options) {
  RunObservers observers;
  std::optional<PerfettoTrace> perfetto;
  if (!flags.perfetto.empty()) {
    observers.Add(&perfetto.emplace(flags.perfetto, kMaxTimelineEvents));
  }
  std::optional<LiveView> live;
  if (flags.live) observers.Add(&live.emplace());
  std::optional<RunHistories> histories;
  if (!flags.report.empty()) observers.Add(&histories.emplace());
  if (!observers.empty()) options.observer = &observers;
  Soak soak(flags.soak_s);
  const std::vector<StressRow> rows =
      PlayAll(scenarios, flags, faults, options,
              histories.has_value() ? &*histories : nullptr, &soak,
              live.has_value() ? &*live : nullptr);
  live.reset();
  if (!TakesStdout(flags.Outputs())) {
    PrintLines(absl::StrCat(StressTable(rows), soak.Text()));
  }
  TellWhatWasNotReached(faults, rows);
  const nlohmann::ordered_json figures = StressJson(rows, soak);
  return AfterWriting(
      figures["clean"] ? kExitClean : kExitWrong,
      {WriteFile({"--json", flags.json}, JsonFile(figures)),
       WriteHtmlReport(flags.report, StressPageJson(rows, figures)),
       Finish(flags, perfetto.has_value() ? &*perfetto : nullptr)});
}

ExitCode RunStress(const std::vector<Scenario>& all, const StressFlags& flags) {
  auto scenarios = Chosen(all, flags.names);
  if (!scenarios.ok()) return BadInput(scenarios.status());
  if (flags.list) {
    for (const Scenario& scenario : *scenarios) {
      absl::PrintF("%-58s %s\n", scenario.full_name(), scenario.what);
    }
    return kExitClean;
  }
  auto options = OptionsOf(flags);
  if (!options.ok()) return BadInput(options.status());
  auto faults = FaultsOf(flags, &*scenarios);
  if (!faults.ok()) return BadInput(faults.status());
  absl::Status writable =
      CheckOutputs(flags.Outputs(), {{"--machine", flags.machine}});
  if (!writable.ok()) return BadInput(writable);
  TellOfOwnMachines(flags, *scenarios);
  return RunChosen(*scenarios, flags, *faults, *std::move(options));
}

}  // namespace

void AddStress(CLI::App& app, std::vector<Scenario> scenarios, ExitCode* code) {
  CLI::App* stress = app.add_subcommand(
      "stress", "Play eviction stress scenarios, check every byte and rule");
  auto flags = std::make_shared<StressFlags>();
  AddFlags(stress, flags.get());
  stress->callback([flags, scenarios = std::move(scenarios), code] {
    *code = RunStress(scenarios, *flags);
  });
}

}  // namespace twostep
