#include "tests/benchmark/bench.h"

#include <fnmatch.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <map>
#include <optional>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "benchmark/benchmark.h"
#include "nlohmann/json.hpp"
#include "tests/benchmark/figures.h"
#include "tests/benchmark/rows.h"
#include "twostep/cli/json_text.h"
#include "twostep/cli/nearest.h"
#include "twostep/cli/outputs.h"
#include "twostep/cli/terminal_text.h"

namespace twostep {
namespace {

using Json = nlohmann::ordered_json;

constexpr double kSecondsARepetition = .1;
// Of rows whose iterations are not fixed, under valgrind.
constexpr int64_t kCountedIterations = 1024;

// What a row came to: the values of each figure, a repetition each.
struct Outcome {
  std::map<std::string, std::vector<double>> values;
  std::string skipped;  // why
  std::string failed;   // why
};

// Keeps what Google Benchmark reports of one row.
class Keeper final : public benchmark::BenchmarkReporter {
 public:
  bool ReportContext(const Context&) override { return true; }
  void ReportRuns(const std::vector<Run>& runs) override {
    for (const Run& run : runs) {
      if (run.run_type != Run::RT_Iteration) continue;
      if (run.error_occurred) {
        outcome.failed = run.error_message;
        continue;
      }
      for (const auto& [name, counter] : run.counters) {
        outcome.values[name].push_back(counter.value);
      }
      if (run.counters.count("value") == 0) {
        outcome.values["value"].push_back(run.GetAdjustedCPUTime());
      }
    }
  }

  Outcome outcome;
};

std::string RowOf(const Figure& figure) {
  const std::string name = figure.row;
  return name.substr(0, name.find(':'));
}

uint64_t AvailableBytes() {
  std::ifstream file("/proc/meminfo");
  std::string key, unit;
  uint64_t kib = 0;
  while (file >> key >> kib) {
    std::getline(file, unit);
    if (key == "MemAvailable:") return kib << 10;
  }
  return 0;
}

std::vector<Row> AllRows() {
  std::vector<Row> rows;
  for (std::vector<Row> (*some)() :
       {&BoRows, &AllocatorRows, &PolicyRows, &FloorRows, &DmaRows, &FaultRows,
        &CopyRows, &CrowdRows, &ThreadRows, &ReplayRows, &MemoryRows}) {
    for (Row& row : some()) rows.push_back(std::move(row));
  }
  // Those of one group together, those beside nobody last.
  std::map<std::string, size_t> places;
  for (const FigureGroup& group : FigureGroups()) {
    for (const Figure& figure : group.figures) {
      places.try_emplace(RowOf(figure), places.size());
    }
  }
  const auto place = [&](const Row& row) {
    const auto found = places.find(row.name);
    return found == places.end() ? places.size() : found->second;
  };
  std::stable_sort(rows.begin(), rows.end(), [&](const Row& a, const Row& b) {
    return place(a) < place(b);
  });
  return rows;
}

Outcome RunRow(const Row& row, const BenchOptions& options) {
  if (!options.quick && row.needs_bytes > AvailableBytes()) {
    Outcome outcome;
    outcome.skipped =
        absl::StrFormat("needs %.1f GiB of memory, and %.1f are available",
                        static_cast<double>(row.needs_bytes) / (1 << 30),
                        static_cast<double>(AvailableBytes()) / (1 << 30));
    return outcome;
  }
  auto* bench = benchmark::RegisterBenchmark(row.name.c_str(), row.run);
  bench->Args({options.quick ? std::min(row.size, kQuickSize) : row.size,
               options.quick});
  const int64_t repetitions =
      options.quick ? 1
      : row.repetitions != 0
          ? std::min<int64_t>(row.repetitions, options.repetitions)
          : options.repetitions;
  bench->Repetitions(static_cast<int>(repetitions));
  if (options.quick || row.iterations == 1) {
    bench->Iterations(1);
  } else if (options.iterations != 0) {
    bench->Iterations(options.iterations);
  } else if (row.iterations != 0) {
    bench->Iterations(row.iterations);
  } else {
    bench->MinTime(kSecondsARepetition);
  }
  if (row.real_time) bench->UseRealTime();
  Keeper keeper;
  benchmark::RunSpecifiedBenchmarks(&keeper);
  benchmark::ClearRegisteredBenchmarks();
  if (keeper.outcome.values.empty() && keeper.outcome.failed.empty()) {
    keeper.outcome.failed = "it reported nothing";
  }
  return std::move(keeper.outcome);
}

// Instructions an iteration of what a row measures, by a second run of this
// program; nothing where it could not be had.
std::optional<double> Instructions(const Row& row) {
  const int64_t iterations =
      row.iterations != 0 ? row.iterations : kCountedIterations;
  const std::string command = absl::StrCat(
      "valgrind --tool=callgrind --callgrind-out-file=/dev/null "
      "--toggle-collect='*MeasuredLoop*' /proc/",
      getpid(), "/exe bench --repetitions 1 --iterations ", iterations, " '",
      row.name, "' 2>&1");
  std::FILE* const pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) return std::nullopt;
  std::optional<double> found;
  char line[1024];
  while (std::fgets(line, sizeof(line), pipe) != nullptr) {
    unsigned long long collected = 0;
    if (std::sscanf(line, "==%*d== Collected : %llu", &collected) == 1 &&
        collected != 0) {
      found = static_cast<double>(collected) / static_cast<double>(iterations);
    }
  }
  pclose(pipe);
  return found;
}

bool MatchesAny(const std::string& name,
                const std::vector<std::string>& globs) {
  return globs.empty() ||
         std::any_of(globs.begin(), globs.end(), [&](const std::string& glob) {
           return fnmatch(glob.c_str(), name.c_str(), 0) == 0;
         });
}

absl::StatusOr<std::vector<Row>> Chosen(std::vector<Row> rows,
                                        const std::vector<std::string>& globs) {
  for (const std::string& glob : globs) {
    if (std::any_of(rows.begin(), rows.end(), [&](const Row& row) {
          return MatchesAny(row.name, {glob});
        })) {
      continue;
    }
    std::vector<std::string> names;
    for (const Row& row : rows) names.push_back(row.name);
    std::string letters = glob;
    letters.erase(std::remove_if(letters.begin(), letters.end(),
                                 [](char c) { return c == '*' || c == '?'; }),
                  letters.end());
    return absl::NotFoundError(absl::StrCat(
        "bench: no row is called '", glob, "'", NearToIt(letters, names),
        "; `./twostep bench --list` names all"));
  }
  rows.erase(std::remove_if(
                 rows.begin(), rows.end(),
                 [&](const Row& row) { return !MatchesAny(row.name, globs); }),
             rows.end());
  return rows;
}

// Medians by figure, of an earlier run's JSON.
absl::StatusOr<std::map<std::string, double>> ReadBaseline(
    const std::string& path) {
  std::map<std::string, double> medians;
  if (path.empty()) return medians;
  std::ifstream file(path);
  if (!file) {
    return absl::NotFoundError(absl::StrCat("--baseline: cannot read ", path));
  }
  std::stringstream text;
  text << file.rdbuf();
  const Json json = Json::parse(text.str(), nullptr, false);
  const absl::Status wrong = absl::InvalidArgumentError(absl::StrCat(
      "--baseline: ", path, " is not what `twostep bench --json` writes"));
  if (!json.is_object() || !json.contains("figures") ||
      !json["figures"].is_array()) {
    return wrong;
  }
  for (const Json& figure : json["figures"]) {
    if (!figure.is_object() || !figure.contains("figure") ||
        !figure["figure"].is_string() || !figure.contains("median") ||
        !figure["median"].is_number()) {
      return wrong;
    }
    medians[figure["figure"].get<std::string>()] =
        figure["median"].get<double>();
  }
  return medians;
}

// Three digits that count, or whole.
std::string Digits(double value) {
  return value < 1000 ? absl::StrFormat("%.3g", value)
                      : absl::StrFormat("%.0f", value);
}

std::string PeerText(const Figure& figure) {
  if (*figure.peer == '\0') return "";
  const std::string best = Digits(figure.peer_best);
  const std::string median = Digits(figure.peer_median);
  return best == median ? best : absl::StrCat(best, " / ", median);
}

std::string GoalText(const Figure& figure) {
  return figure.goal == kNoGoal ? "" : Digits(figure.goal);
}

// Without the spaces of columns that are empty.
void PrintLine(std::string line) {
  line.erase(line.find_last_not_of(' ') + 1);
  absl::PrintF("%s\n", line);
  std::fflush(stdout);
}

void PrintList(const std::vector<Row>& rows) {
  const auto line = [](const std::string& row, const std::string& unit,
                       const std::string& peer, const std::string& goal,
                       const std::string& who) {
    PrintLine(absl::StrFormat("  %-55s %-8s %-11s %-6s %s", row, unit, peer,
                              goal, who));
  };
  const auto is_of = [&](const Figure& figure) {
    const std::string row = RowOf(figure);
    return std::any_of(rows.begin(), rows.end(),
                       [&](const Row& one) { return one.name == row; });
  };
  for (const FigureGroup& group : FigureGroups()) {
    if (std::none_of(group.figures.begin(), group.figures.end(), is_of)) {
      continue;
    }
    PrintLine(group.title);
    line("row", "unit", "peer", "goal", "who");
    for (const Figure& figure : group.figures) {
      if (!is_of(figure)) continue;
      line(figure.row, figure.unit, PeerText(figure), GoalText(figure),
           figure.peer);
    }
  }
  bool head = false;
  for (const Row& row : rows) {
    if (FigureOf(row.name) != nullptr) continue;
    if (!std::exchange(head, true)) PrintLine("Beside nobody");
    PrintLine(absl::StrCat("  ", row.name));
  }
}

double MedianOf(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t half = values.size() / 2;
  return values.size() % 2 != 0 ? values[half]
                                : (values[half - 1] + values[half]) / 2;
}

// One figure, of all repetitions.
struct Result {
  std::string name;
  std::string row;
  std::string group;
  const Figure* figure = nullptr;  // null: nothing to compare with
  std::vector<double> values;      // sorted
  double allocations = -1;
  std::map<std::string, double> counters;  // medians of all else
  std::optional<double> instructions;
  std::optional<double> baseline;

  bool more() const {
    return figure != nullptr && figure->better == Better::kMore;
  }
  double best() const { return more() ? values.back() : values.front(); }
  double median() const { return MedianOf(values); }
  const char* unit() const { return figure == nullptr ? "ns" : figure->unit; }
  bool has_peer() const { return figure != nullptr && *figure->peer != '\0'; }
  std::optional<double> ratio() const {
    if (!has_peer() || figure->peer_median == 0) return std::nullopt;
    return median() / figure->peer_median;
  }
  std::optional<bool> reached() const {
    if (figure == nullptr || figure->goal == kNoGoal) return std::nullopt;
    return more() ? median() >= figure->goal : median() <= figure->goal;
  }
};

std::vector<Result> ResultsOf(const Row& row, const Outcome& outcome,
                              const std::map<std::string, double>& baseline) {
  std::vector<Result> results;
  const auto add = [&](const std::string& name, const Figure* figure,
                       const std::vector<double>& values,
                       const std::string& group) {
    Result result{.name = name, .row = row.name, .group = group};
    result.figure = figure;
    result.values = values;
    std::sort(result.values.begin(), result.values.end());
    if (const auto old = baseline.find(name); old != baseline.end()) {
      result.baseline = old->second;
    }
    results.push_back(std::move(result));
  };
  for (const FigureGroup& group : FigureGroups()) {
    for (const Figure& figure : group.figures) {
      const std::string name = figure.row;
      const size_t colon = name.find(':');
      if (name.substr(0, colon) != row.name) continue;
      const std::string counter =
          colon == std::string::npos ? "value" : name.substr(colon + 1);
      const auto found = outcome.values.find(counter);
      if (found == outcome.values.end()) continue;
      add(name, &figure, found->second, group.name);
    }
  }
  if (FigureOf(row.name) == nullptr) {
    add(row.name, nullptr, outcome.values.at("value"), "other");
  }
  for (const auto& [name, values] : outcome.values) {
    if (name == "allocations") {
      results.front().allocations = MedianOf(values);
    } else if (name != "value" &&
               FigureOf(absl::StrCat(row.name, ":", name)) == nullptr) {
      results.front().counters[name] = MedianOf(values);
    }
  }
  return results;
}

// A table whose head is repeated for each group.
class Table {
 public:
  Table(bool with_instructions, bool with_baseline)
      : with_instructions_(with_instructions), with_baseline_(with_baseline) {}

  void Print(const Result& result) {
    if (group_ != result.group) Head(result.group);
    const Figure none{};
    const Figure& figure = result.figure == nullptr ? none : *result.figure;
    std::string line = absl::StrFormat(
        "  %-54s %7s %7s %-7s %10s %6s %5s %-3s", result.name,
        Digits(result.best()), Digits(result.median()), result.unit(),
        PeerText(figure),
        result.ratio().has_value() ? Digits(*result.ratio()) : "",
        GoalText(figure),
        !result.reached().has_value() ? ""
        : *result.reached()           ? "yes"
                                      : "no");
    absl::StrAppendFormat(
        &line, " %6s",
        result.allocations < 0 ? "" : Digits(result.allocations));
    if (with_instructions_) {
      absl::StrAppendFormat(
          &line, " %8s",
          result.instructions.has_value() ? Digits(*result.instructions) : "");
    }
    if (with_baseline_) {
      absl::StrAppendFormat(&line, " %8s",
                            result.baseline.value_or(0) != 0
                                ? Digits(result.median() / *result.baseline)
                                : "");
    }
    PrintLine(std::move(line));
  }
  void Say(const std::string& row, const std::string& what) {
    PrintLine(absl::StrFormat("  %-54s %s", row, ForTerminal(what)));
  }

 private:
  void Head(const std::string& group) {
    group_ = group;
    std::string title = "Beside nobody";
    for (const FigureGroup& one : FigureGroups()) {
      if (one.name == group) title = one.title;
    }
    PrintLine(title);
    std::string head = absl::StrFormat(
        "  %-54s %7s %7s %-7s %10s %6s %5s %-3s %6s", "row", "best", "median",
        "", "peer", "ratio", "goal", "", "allocs");
    if (with_instructions_) absl::StrAppendFormat(&head, " %8s", "instr");
    if (with_baseline_) absl::StrAppendFormat(&head, " %8s", "to base");
    PrintLine(std::move(head));
  }
  const bool with_instructions_;
  const bool with_baseline_;
  std::string group_;
};

Json ToJson(const Result& result) {
  Json json;
  json["row"] = result.row;
  json["figure"] = result.name;
  json["group"] = result.group;
  json["unit"] = result.unit();
  json["better"] = result.more() ? "more" : "less";
  json["best"] = result.best();
  json["median"] = result.median();
  json["values"] = result.values;
  if (result.has_peer()) {
    json["peer"] = result.figure->peer;
    json["peer_best"] = result.figure->peer_best;
    json["peer_median"] = result.figure->peer_median;
  }
  if (result.ratio().has_value()) json["ratio"] = *result.ratio();
  if (result.reached().has_value()) {
    json["goal"] = result.figure->goal;
    json["reached"] = *result.reached();
  }
  if (result.allocations >= 0) json["allocations"] = result.allocations;
  if (result.instructions.has_value()) {
    json["instructions"] = *result.instructions;
  }
  if (result.baseline.has_value()) json["baseline"] = *result.baseline;
  if (!result.counters.empty()) json["counters"] = result.counters;
  return json;
}

// How far it is, on a terminal's standard error, where the table goes
// elsewhere or has not got to the row yet.
void ShowProgress(size_t done, size_t all, const std::string& row) {
  if (isatty(STDERR_FILENO) == 0) return;
  absl::FPrintF(stderr, "\r\033[K");
  if (done < all) absl::FPrintF(stderr, "%d of %d: %s", done + 1, all, row);
  std::fflush(stderr);
}

}  // namespace

ExitCode RunBenchmarks(const BenchOptions& options) {
  absl::StatusOr<std::vector<Row>> rows = Chosen(AllRows(), options.rows);
  if (!rows.ok()) return BadInput(rows.status());
  if (options.list) {
    PrintList(*rows);
    return kExitClean;
  }
  const auto baseline = ReadBaseline(options.baseline);
  if (!baseline.ok()) return BadInput(baseline.status());
  const NamedFile output{"--json", options.json};
  if (absl::Status status =
          CheckOutputs({output}, {{"--baseline", options.baseline}});
      !status.ok()) {
    return BadInput(status);
  }
  const bool table_shown = !TakesStdout({output});
  Table table(options.instructions, !options.baseline.empty());
  Json json{{"quick", options.quick},
            {"repetitions", options.repetitions},
            {"figures", Json::array()},
            {"skipped", Json::array()},
            {"failed", Json::array()}};
  for (size_t i = 0; i < rows->size(); ++i) {
    const Row& row = (*rows)[i];
    ShowProgress(i, rows->size(), row.name);
    const Outcome outcome = RunRow(row, options);
    ShowProgress(rows->size(), rows->size(), "");
    for (const auto& [list, why] : {std::pair{"skipped", &outcome.skipped},
                                    std::pair{"failed", &outcome.failed}}) {
      if (why->empty()) continue;
      json[list].push_back({{"row", row.name}, {"why", *why}});
      if (table_shown) table.Say(row.name, absl::StrCat(list, ": ", *why));
    }
    if (!outcome.skipped.empty() || !outcome.failed.empty()) continue;
    std::vector<Result> results = ResultsOf(row, outcome, *baseline);
    if (options.instructions) results.front().instructions = Instructions(row);
    for (const Result& result : results) {
      json["figures"].push_back(ToJson(result));
      if (table_shown && !options.quick) table.Print(result);
    }
    if (table_shown && options.quick) table.Say(row.name, "works");
  }
  const ExitCode code = json["failed"].empty() ? kExitClean : kExitWrong;
  return AfterWriting(code, {WriteFile(output, JsonFile(json))});
}

}  // namespace twostep
