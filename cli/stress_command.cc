// twostep stress: scenarios that evict, and a verdict.

#include <fnmatch.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "twostep/cli/command.h"
#include "twostep/cli/html_report.h"
#include "twostep/cli/machine_file.h"
#include "twostep/cli/progress.h"
#include "twostep/cli/soak.h"
#include "twostep/cli/stress_report.h"

namespace twostep {
namespace {

constexpr size_t kNearNames = 3;

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
  std::string json;
  std::string report;
};

void AddFlags(CLI::App* stress, StressFlags* flags) {
  stress->add_option(
      "NAME", flags->names,
      "scenarios: 'family/name' or 'name', with * and ?; none: all of them");
  stress->add_flag("--list", flags->list, "name them and stop");
  stress->add_option("--seed", flags->seed, "the first seed")
      ->capture_default_str();
  stress
      ->add_option("--seeds", flags->seeds,
                   "how many seeds to play each with, counting up")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  stress
      ->add_option("--duration", flags->duration_s,
                   "go on with further seeds until each scenario has had so "
                   "many seconds")
      ->check(CLI::NonNegativeNumber);
  stress
      ->add_option("--soak", flags->soak_s,
                   "play rounds of all, with further seeds, until so many "
                   "seconds are over; fail if memory grows")
      ->check(CLI::NonNegativeNumber)
      ->excludes("--duration");
  stress
      ->add_option("--threads", flags->threads,
                   "of scenarios with threads; otherwise what each says")
      ->check(CLI::Range(1, 64));
  stress->add_flag("--unbacked", flags->unbacked,
                   "the suites' real sizes, accounts only: checks no bytes");
  stress->add_option("--machine", flags->machine,
                     "machine file (TOML); sizes follow from its VRAM. See "
                     "docs/machine-files.md");
  stress->add_option("--json", flags->json, "write the figures to this file");
  stress->add_option("--report", flags->report,
                     "write a page with plots of it to this file; see "
                     "docs/reports.md");
}

bool Matches(const Scenario& scenario, const std::string& glob) {
  return fnmatch(glob.c_str(), scenario.full_name().c_str(), 0) == 0 ||
         fnmatch(glob.c_str(), scenario.name.c_str(), 0) == 0;
}

// How many letters to add, take away or change.
size_t Distance(const std::string& a, const std::string& b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i);
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t change = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({change, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row[b.size()];
}

absl::Status NoSuch(const std::vector<Scenario>& scenarios,
                    const std::string& name) {
  std::vector<std::pair<size_t, std::string>> near;
  for (const Scenario& scenario : scenarios) {
    near.emplace_back(std::min(Distance(name, scenario.name),
                               Distance(name, scenario.full_name())),
                      scenario.full_name());
  }
  std::sort(near.begin(), near.end());
  near.resize(std::min(near.size(), kNearNames));
  return absl::NotFoundError(
      absl::StrCat("no scenario is called '", name, "'; near to it: ",
                   absl::StrJoin(near, ", ",
                                 [](std::string* out, const auto& one) {
                                   absl::StrAppend(out, one.second);
                                 }),
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
                          uint64_t seed) {
  std::string command =
      absl::StrCat("./twostep stress ", scenario.full_name(), " --seed ", seed);
  if (flags.threads != 0)
    absl::StrAppend(&command, " --threads ", flags.threads);
  if (flags.unbacked) absl::StrAppend(&command, " --unbacked");
  if (!flags.machine.empty()) {
    absl::StrAppend(&command, " --machine '", flags.machine, "'");
  }
  return command;
}

// Further seeds. Ends with the first that goes wrong, for good.
void Play(const Scenario& scenario, const StressFlags& flags,
          StressOptions options, StressRow* row) {
  const uint64_t end = row->seeds + flags.seeds;
  while (row->sum.clean() &&
         (row->seeds < end || row->sum.seconds < flags.duration_s)) {
    options.seed = flags.seed + row->seeds;
    row->sum.Add(PlayScenario(scenario, options));
    ++row->seeds;
    if (!row->sum.clean()) {
      row->repeat = RepeatCommand(flags, scenario, options.seed);
    }
  }
}

// A row each, of one round or of a soak's.
std::vector<StressRow> PlayAll(const std::vector<Scenario>& scenarios,
                               const StressFlags& flags,
                               const StressOptions& options, Soak* soak) {
  std::vector<StressRow> rows;
  for (const Scenario& scenario : scenarios) {
    rows.push_back(
        {.scenario = scenario.full_name(), .first_seed = flags.seed});
  }
  Progress progress(/*quiet=*/false);
  do {
    for (size_t i = 0; i < rows.size(); ++i) {
      const double part =
          static_cast<double>(i) / static_cast<double>(rows.size());
      progress.Show(flags.soak_s == 0 ? part : soak->Part(), rows[i].scenario);
      Play(scenarios[i], flags, options, &rows[i]);
    }
  } while (soak->GoesOn());
  progress.Clear();
  return rows;
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
  Soak soak(flags.soak_s);
  const std::vector<StressRow> rows =
      PlayAll(*scenarios, flags, *options, &soak);
  absl::PrintF("%s%s", StressTable(rows), soak.Text());
  const nlohmann::ordered_json figures = StressJson(rows, soak);
  if (!flags.json.empty()) {
    absl::Status written =
        WriteFile("--json", flags.json, figures.dump(2) + "\n");
    if (!written.ok()) return BadInput(written);
  }
  absl::Status written =
      WriteHtmlReport(flags.report, {{"kind", "stress"}, {"figures", figures}});
  if (!written.ok()) return BadInput(written);
  return figures["clean"] ? kExitClean : kExitWrong;
}

}  // namespace

void AddStress(CLI::App& app, std::vector<Scenario> scenarios, ExitCode* code) {
  CLI::App* stress = app.add_subcommand(
      "stress", "Play eviction stress scenarios, checking every byte and rule");
  auto flags = std::make_shared<StressFlags>();
  AddFlags(stress, flags.get());
  stress->callback([flags, scenarios = std::move(scenarios), code] {
    *code = RunStress(scenarios, *flags);
  });
}

}  // namespace twostep
