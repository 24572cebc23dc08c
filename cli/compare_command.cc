// twostep compare: policies against one another; twostep merge: the shards of a
// comparison made one again.

#include <sched.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "twostep/cli/command.h"
#include "twostep/cli/dma_type_option.h"
#include "twostep/cli/html_report.h"
#include "twostep/cli/json_text.h"
#include "twostep/cli/machine_file.h"
#include "twostep/cli/number_option.h"
#include "twostep/cli/outputs.h"
#include "twostep/cli/policy_name.h"
#include "twostep/cli/progress.h"
#include "twostep/cli/size.h"
#include "twostep/cli/sweep_report.h"
#include "twostep/eviction/policy_registry.h"
#include "twostep/eviction/policy_table.h"
#include "twostep/lab/sweep.h"
#include "twostep/placement/placement_registry.h"

namespace twostep {
namespace {

struct OutputFlags {
  std::string json;
  std::string csv;
  std::string report;

  std::vector<NamedFile> Files() const {
    return {{"--json", json}, {"--csv", csv}, {"--report", report}};
  }
};

struct CompareFlags {
  std::vector<std::string> traces;
  std::string policies;
  std::string placements = "ttm-like";
  std::string capacities = "10%,25%,50%,75%";
  std::string machine;
  std::string dma_type = "dynamic";
  std::string dma_exhaustion = "evict";
  std::string shard = "0/1";
  bool cache_only = false;
  int jobs = 0;
  OutputFlags output;
  bool quiet = false;
};

void AddOutput(CLI::App* command, OutputFlags* flags) {
  command
      ->add_option("--json", flags->json,
                   "write the figures; no FILE, or '-': print them")
      ->type_name("[FILE]")
      ->expected(0, 1)
      ->default_str(kStdout);
  command->add_option("--csv", flags->csv, "the same, a line a cell")
      ->type_name("[FILE]")
      ->expected(0, 1)
      ->default_str(kStdout);
  command
      ->add_option("--report", flags->report,
                   "write a page with plots; see docs/reports.md")
      ->type_name("FILE");
}

absl::Status Bad(absl::string_view option, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat(option, ": ", why));
}

// An option without a value can have taken the name of a trace for it: what
// does not look like the output of an earlier run is not overwritten.
absl::Status CheckIsEarlier(const NamedFile& output, absl::string_view head) {
  // Nothing is lost in others, and reading a pipe would wait.
  std::error_code ignored;
  if (output.path == kStdout ||
      !std::filesystem::is_regular_file(output.path, ignored)) {
    return absl::OkStatus();
  }
  std::ifstream file(output.path);
  if (!file) return absl::OkStatus();
  std::string is(head.size(), '\0');
  file.read(is.data(), static_cast<std::streamsize>(is.size()));
  if (file.gcount() == 0 || is == head) return absl::OkStatus();
  return Bad(output.option, absl::StrCat(output.path,
                                         " is there and is not the output of "
                                         "an earlier run; name another file"));
}

absl::Status CheckFiles(const OutputFlags& flags,
                        const std::vector<NamedFile>& inputs) {
  absl::Status json = CheckIsEarlier({"--json", flags.json}, "{");
  if (!json.ok()) return json;
  absl::Status csv = CheckIsEarlier({"--csv", flags.csv}, "cell,");
  if (!csv.ok()) return csv;
  return CheckOutputs(flags.Files(), inputs);
}

// Says on standard error which cells went wrong.
ExitCode Judge(const SweepResult& result) {
  size_t not_run = 0;
  for (const SweepRow& row : result.rows) {
    if (row.rule_violations != 0) {
      std::fprintf(stderr, "twostep: cell %zu broke a rule\n",
                   static_cast<size_t>(row.cell));
      return kExitWrong;
    }
    not_run += !row.error.empty();
  }
  if (not_run == 0) return kExitClean;
  std::fprintf(stderr, "twostep: %zu of %zu cells could not run\n", not_run,
               result.rows.size());
  return kExitNotAllRan;
}

// Prints and writes what was asked for; the exit code by what the cells say.
ExitCode Report(const SweepResult& result, const OutputFlags& flags,
                bool quiet) {
  if (!quiet && !TakesStdout(flags.Files())) {
    std::printf("%s", SweepTable(result).c_str());
  }
  const nlohmann::ordered_json figures = SweepJson(result);
  return AfterWriting(Judge(result),
                      {WriteFile({"--json", flags.json}, JsonFile(figures)),
                       WriteFile({"--csv", flags.csv}, SweepCsv(result)),
                       WriteHtmlReport(flags.report, {{"kind", "compare"},
                                                      {"figures", figures}})});
}

absl::StatusOr<Capacity> ParseCapacity(const std::string& text) {
  Capacity capacity{.text = text};
  if (!text.empty() && text.back() == '%') {
    if (absl::SimpleAtod(text.substr(0, text.size() - 1), &capacity.percent) &&
        capacity.percent > 0 && capacity.percent <= 10000) {
      return capacity;
    }
    return Bad("--capacity",
               absl::StrCat("'", text, "' is no share above 0 %"));
  }
  auto bytes = ParseSize(text);
  if (!bytes.ok()) return Bad("--capacity", bytes.status().message());
  if (*bytes == 0) return Bad("--capacity", "must not be 0");
  capacity.bytes = *bytes;
  return capacity;
}

absl::Status ParseShard(const std::string& text, SweepOptions* options) {
  const std::vector<std::string> parts = absl::StrSplit(text, '/');
  if (parts.size() == 2 && absl::SimpleAtoi(parts[0], &options->shard) &&
      absl::SimpleAtoi(parts[1], &options->shards) &&
      options->shard < options->shards) {
    return absl::OkStatus();
  }
  return Bad("--shard",
             absl::StrCat("'", text, "' is not I/N with I from 0 to N - 1"));
}

// As many as this process may use, which a job of a cluster's may be told.
int CoresToUse() {
  cpu_set_t cores;
  CPU_ZERO(&cores);
  if (sched_getaffinity(0, sizeof(cores), &cores) != 0) return 1;
  return CPU_COUNT(&cores);
}

absl::StatusOr<SweepOptions> OptionsOf(const CompareFlags& flags) {
  SweepOptions options;
  if (flags.traces.empty()) {
    return Bad("TRACE", "name at least one (did an option take it?)");
  }
  options.traces = flags.traces;
  if (flags.cache_only) options.mode = SweepOptions::Mode::kCacheOnly;
  if (flags.policies.empty()) {
    for (const EvictionPolicyInfo& policy : EvictionPolicies()) {
      options.evictions.push_back(policy.name);
    }
  } else {
    options.evictions = SplitPolicies(flags.policies);
  }
  options.placements = SplitPolicies(flags.placements);
  for (const std::string& text :
       std::vector<std::string>(absl::StrSplit(flags.capacities, ','))) {
    auto capacity = ParseCapacity(text);
    if (!capacity.ok()) return capacity.status();
    options.capacities.push_back(*std::move(capacity));
  }
  if (!flags.machine.empty()) {
    auto machine = ReadMachineFile(flags.machine);
    if (!machine.ok()) return machine.status();
    options.machine = machine->machine;
    options.gpu = machine->gpu;
  }
  options.dma_type = DmaTypeOf(flags.dma_type);
  options.dma_exhaustion = DmaExhaustionOf(flags.dma_exhaustion);
  absl::Status shard = ParseShard(flags.shard, &options);
  if (!shard.ok()) return shard;
  options.threads = flags.jobs > 0 ? flags.jobs : CoresToUse();
  return options;
}

ExitCode Compare(const CompareFlags& flags) {
  absl::StatusOr<SweepOptions> options = OptionsOf(flags);
  if (!options.ok()) return BadInput(options.status());
  std::vector<NamedFile> inputs = {{"--machine", flags.machine}};
  for (const std::string& trace : flags.traces) {
    inputs.push_back({"TRACE", trace});
  }
  absl::Status writable = CheckFiles(flags.output, inputs);
  if (!writable.ok()) return BadInput(writable);
  Progress progress(flags.quiet);
  options->progress = [&](double part, size_t done, size_t all) {
    progress.Show(part, absl::StrCat(done, " of ", all, " cells"));
  };
  auto result = RunSweep(*options);
  progress.Clear();
  if (!result.ok()) return BadInput(result.status());
  return Report(*result, flags.output, flags.quiet);
}

ExitCode Merge(const std::vector<std::string>& paths,
               const OutputFlags& output) {
  std::vector<NamedFile> inputs;
  for (const std::string& path : paths) inputs.push_back({"JSON", path});
  absl::Status writable = CheckFiles(output, inputs);
  if (!writable.ok()) return BadInput(writable);
  std::vector<SweepResult> shards;
  for (const std::string& path : paths) {
    std::ifstream file(path, std::ios::binary);
    if (!file) {
      return BadInput(
          absl::NotFoundError(absl::StrCat(path, ": cannot be read")));
    }
    const std::string text((std::istreambuf_iterator<char>(file)), {});
    auto shard = ParseSweep(text);
    if (!shard.ok()) return BadInput(Bad(path, shard.status().message()));
    shards.push_back(*std::move(shard));
  }
  size_t culprit = 0;
  auto merged = MergeShards(std::move(shards), &culprit);
  if (!merged.ok()) {
    return BadInput(Bad(paths[culprit], merged.status().message()));
  }
  return Report(*merged, output, /*quiet=*/false);
}

}  // namespace

void AddCompare(CLI::App& app, ExitCode* code) {
  CLI::App* compare = app.add_subcommand(
      "compare", "Run traces with every policy named, and say what each cost");
  auto flags = std::make_shared<CompareFlags>();
  compare->add_option("TRACE", flags->traces,
                      "botrace files, plain or .zst; with --cache-only also "
                      "libCacheSim's oracleGeneral");
  compare
      ->add_option("--policies", flags->policies,
                   "eviction policies, like 'lru,s3fifo:small=0.2', and belady "
                   "in any case (default: all there are)")
      ->check(EvictionPolicyNames())
      ->type_name("NAMES");
  compare
      ->add_option("--capacity", flags->capacities,
                   "of VRAM, as shares of what is alive at most (of the cache, "
                   "as shares of all objects), or sizes")
      ->type_name("LIST")
      ->capture_default_str();
  auto* placement =
      compare
          ->add_option("--placement", flags->placements, "see twostep policies")
          ->check(PlacementPolicyNames())
          ->type_name("NAMES")
          ->capture_default_str();
  auto* machine = compare
                      ->add_option("--machine", flags->machine,
                                   "TOML (default: one with room but in VRAM)")
                      ->type_name("FILE");
  auto* dma_type = AddDmaTypeOption(compare, &flags->dma_type);
  auto* exhaustion = AddDmaExhaustionOption(compare, &flags->dma_exhaustion);
  compare
      ->add_flag("--cache-only", flags->cache_only,
                 "a cache of whole objects instead of a machine")
      ->excludes(placement, machine, dma_type, exhaustion);
  compare
      ->add_option("--shard", flags->shard,
                   "every N-th cell from the I-th on, to merge")
      ->type_name("I/N")
      ->capture_default_str();
  compare
      ->add_option("--jobs", flags->jobs,
                   "cells at a time (default: as many as cores)")
      ->transform(WholeNumber(0, 1024))
      ->type_name("N");
  AddOutput(compare, &flags->output);
  compare->add_flag("--quiet", flags->quiet, "no progress, no table");
  compare->footer(
      "Example: twostep compare --policies lru,arc --capacity 25% a.botrace");
  compare->callback([flags, code] { *code = Compare(*flags); });
}

void AddMerge(CLI::App& app, ExitCode* code) {
  CLI::App* merge = app.add_subcommand(
      "merge", "Make the JSON files of a sharded comparison one again");
  struct Flags {
    std::vector<std::string> paths;
    OutputFlags output;
  };
  auto flags = std::make_shared<Flags>();
  merge->add_option("JSON", flags->paths, "files of twostep compare --shard")
      ->required();
  AddOutput(merge, &flags->output);
  merge->footer("Example: twostep merge part0.json part1.json --json all.json");
  merge->callback(
      [flags, code] { *code = Merge(flags->paths, flags->output); });
}

}  // namespace twostep
