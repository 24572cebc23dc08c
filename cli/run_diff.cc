#include "twostep/cli/run_diff.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <fstream>
#include <limits>
#include <map>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "nlohmann/json.hpp"
#include "twostep/cli/figures.h"
#include "twostep/cli/recorded_run.h"

namespace twostep {
namespace {

using Json = nlohmann::json;

// The leaves of a JSON value by their path, "bytes_moved.to_vram".
struct Leaves {
  std::map<std::string, double> figures;
  std::map<std::string, std::string> texts;
  std::set<std::string> rows;  // the paths of tables' rows
};

// What tells a row of a table from the others.
std::string RowName(const Json& row, size_t index) {
  const bool cell = row.is_object() && row.contains("cell");
  std::string name;
  for (const char* key : {"trace", "placement", "capacity", "eviction"}) {
    if (!row.is_object() || !row.contains(key) || !row[key].is_string()) {
      continue;
    }
    // Of replays the trace is what they have in common.
    if (!cell && std::strcmp(key, "trace") != 0) continue;
    absl::StrAppend(&name, name.empty() ? "" : ", ",
                    row[key].get<std::string>());
  }
  return name.empty() ? absl::StrCat(index) : name;
}

void Flatten(const std::string& path, const Json& json, Leaves* leaves) {
  const std::string at = path.empty() ? "" : absl::StrCat(path, ".");
  if (json.is_object()) {
    for (const auto& [key, value] : json.items()) {
      Flatten(at + key, value, leaves);
    }
  } else if (json.is_array()) {
    for (size_t i = 0; i < json.size(); ++i) {
      const std::string name = absl::StrCat("[", RowName(json[i], i), "]");
      if (json[i].is_object()) leaves->rows.insert(path + name);
      Flatten(path + name, json[i], leaves);
    }
  } else if (json.is_number()) {
    leaves->figures[path] = json.get<double>();
  } else if (json.is_string()) {
    leaves->texts[path] = json.get<std::string>();
  } else if (json.is_boolean()) {
    leaves->texts[path] = json.get<bool>() ? "true" : "false";
  }
}

// Lower matters more.
int Rank(const std::string& path) {
  const std::vector<std::vector<const char*>> ranks = {
      {"bytes_wrong", "rule_violations", "gpu_faults"},
      {"stall_ns", "simulated_ns", "regret"},
      {"bytes_moved", "missed_bytes", "miss_bytes", "bus_bytes", "misses"},
      {"evictions", "binds", "faults", "syncs", "hits"}};
  for (const char* host :
       {"wall_seconds", "peak_rss_bytes", "records_per_second"}) {
    if (absl::StrContains(path, host)) return 6;
  }
  for (size_t rank = 0; rank < ranks.size(); ++rank) {
    for (const char* word : ranks[rank]) {
      if (absl::StrContains(path, word)) return static_cast<int>(rank);
    }
  }
  return 5;
}

struct Change {
  std::string path;
  double before = 0;
  double after = 0;
  bool had = true;
  bool has = true;

  // How far apart they are, whichever is more.
  double Distance() const {
    if (!had || !has || before == 0 || after == 0) {
      return std::numeric_limits<double>::infinity();
    }
    return std::abs(std::log(std::abs(after / before)));
  }
};

std::string FigureText(double figure) {
  if (figure == std::floor(figure) && figure >= 0 && figure < 1e18) {
    return GroupedFigure(static_cast<uint64_t>(figure));
  }
  return absl::StrFormat("%.4g", figure);
}

std::string RatioText(const Change& change) {
  if (!change.had) return "new";
  if (!change.has) return "gone";
  if (change.before == 0) return "from 0";
  return absl::StrFormat("%.3f", change.after / change.before);
}

std::string FigureTable(const Leaves& before, const Leaves& after) {
  std::vector<Change> changes;
  size_t same = 0;
  for (const auto& [path, figure] : before.figures) {
    const auto found = after.figures.find(path);
    if (found == after.figures.end()) {
      changes.push_back({path, figure, 0, true, false});
    } else if (found->second != figure) {
      changes.push_back({path, figure, found->second});
    } else {
      ++same;
    }
  }
  for (const auto& [path, figure] : after.figures) {
    if (!before.figures.contains(path)) {
      changes.push_back({path, 0, figure, false, true});
    }
  }
  std::stable_sort(changes.begin(), changes.end(),
                   [](const Change& a, const Change& b) {
                     const int ranks[] = {Rank(a.path), Rank(b.path)};
                     return ranks[0] != ranks[1] ? ranks[0] < ranks[1]
                                                 : a.Distance() > b.Distance();
                   });
  const std::string same_text =
      absl::StrCat(GroupedFigure(same),
                   same == 1 ? " figure is" : " figures are", " the same.\n");
  if (changes.empty()) return same_text;
  size_t width = std::strlen("figure");
  for (const Change& change : changes) {
    width = std::max(width, change.path.size());
  }
  std::string text =
      absl::StrFormat("%-*s %18s %18s %8s\n", static_cast<int>(width), "figure",
                      "before", "after", "ratio");
  for (const Change& change : changes) {
    absl::StrAppendFormat(
        &text, "%-*s %18s %18s %8s\n", static_cast<int>(width), change.path,
        change.had ? FigureText(change.before) : "-",
        change.has ? FigureText(change.after) : "-", RatioText(change));
  }
  return text + same_text;
}

// Settings, and verdicts in words.
std::string TextChanges(const Leaves& before, const Leaves& after) {
  std::string text;
  for (const auto& [path, was] : before.texts) {
    const auto found = after.texts.find(path);
    if (found == after.texts.end()) {
      absl::StrAppend(&text, path, ": was ", was, "\n");
    } else if (found->second != was) {
      absl::StrAppend(&text, path, ": ", was, " -> ", found->second, "\n");
    }
  }
  for (const auto& [path, is] : after.texts) {
    if (!before.texts.contains(path)) {
      absl::StrAppend(&text, path, ": now ", is, "\n");
    }
  }
  return text;
}

// Takes the rows that the other one lacks out of it: a line for each.
std::string TakeRows(Leaves* leaves, const Leaves& other, const char* what) {
  std::string text;
  std::string last;
  const auto within = [](const std::string& path, const std::string& row) {
    return path.starts_with(row) &&
           (path.size() == row.size() || path[row.size()] == '.' ||
            path[row.size()] == '[');
  };
  for (const std::string& row : leaves->rows) {
    // Rows come before what is in them.
    if (other.rows.contains(row) || (!last.empty() && within(row, last))) {
      continue;
    }
    last = row;
    absl::StrAppend(&text, row, ": ", what, "\n");
    const auto in_row = [&](const auto& leaf) {
      return within(leaf.first, row);
    };
    std::erase_if(leaves->figures, in_row);
    std::erase_if(leaves->texts, in_row);
  }
  return text;
}

std::string Changes(Leaves before, Leaves after) {
  std::string rows = TakeRows(&before, after, "gone");
  rows += TakeRows(&after, before, "new");
  return rows + TextChanges(before, after) + FigureTable(before, after);
}

absl::StatusOr<Leaves> ReadFigures(const std::string& path) {
  errno = 0;
  std::ifstream file(path);
  if (!file) {
    return absl::NotFoundError(absl::StrCat(
        path, ": ", errno == 0 ? "cannot be read" : std::strerror(errno)));
  }
  const Json json = Json::parse(file, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": is no JSON, or was cut off"));
  }
  Leaves leaves;
  Flatten("", json, &leaves);
  if (leaves.figures.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": has no figures: it is no output of --json"));
  }
  return leaves;
}

std::string Describe(const RecordedLine& line) {
  std::string text = absl::StrCat("frame ", line.frame);
  if (line.submission != 0) {
    absl::StrAppend(&text, ", submission ", line.submission);
  }
  absl::StrAppend(&text, ", ", DurationFigure(line.time_ns), ": ", line.event);
  if (line.bo != 0) absl::StrAppend(&text, " bo ", line.bo);
  if (!line.from.empty()) absl::StrAppend(&text, " from ", line.from);
  if (!line.to.empty()) absl::StrAppend(&text, " to ", line.to);
  if (line.bytes != 0) absl::StrAppend(&text, ", ", BytesFigure(line.bytes));
  if (line.for_bo != 0) absl::StrAppend(&text, ", for bo ", line.for_bo);
  if (line.event == "job") {
    absl::StrAppend(&text, " on ", line.timeline, " from ",
                    DurationFigure(line.starts_ns), " to ",
                    DurationFigure(line.ends_ns));
  }
  return text;
}

// What Describe leaves out.
using Details = std::vector<std::pair<const char*, std::string>>;
Details DetailsOf(const RecordedLine& line) {
  const RecordedLine::Skipped& skipped = line.skipped;
  return {{"limit", absl::StrCat(line.limit, " ", line.of)},
          {"pass", absl::StrCat(line.pass)},
          {"skipped.reserved", absl::StrCat(skipped.reserved)},
          {"skipped.mine", absl::StrCat(skipped.mine)},
          {"skipped.stuck", absl::StrCat(skipped.stuck)},
          {"skipped.protected", absl::StrCat(skipped.protected_bos)},
          {"skipped.unhelpful", absl::StrCat(skipped.unhelpful)},
          {"pinned_bytes", absl::StrCat(line.pinned_bytes)},
          {"waited_ns", absl::StrCat(line.waited_ns)},
          {"fence", absl::StrCat(line.timeline, " ", line.point)},
          {"client", line.client},
          {"trace_bo", absl::StrCat(line.trace_bo)},
          {"error", line.error},
          {"time_ns", absl::StrCat(line.time_ns)},
          {"starts_ns", absl::StrCat(line.starts_ns)},
          {"ends_ns", absl::StrCat(line.ends_ns)},
          {"reads", absl::StrJoin(line.reads, " ")},
          {"writes", absl::StrJoin(line.writes, " ")}};
}

// Of two lines that are described alike.
std::string WhatDiffers(const RecordedLine& before, const RecordedLine& after) {
  const Details was = DetailsOf(before);
  const Details is = DetailsOf(after);
  std::string text;
  for (size_t i = 0; i < was.size(); ++i) {
    if (was[i] == is[i]) continue;
    absl::StrAppend(&text, "  ", was[i].first, ": ", was[i].second, " -> ",
                    is[i].second, "\n");
  }
  return text;
}

// One of two runs that are read side by side.
struct Side {
  std::unique_ptr<RecordedRun> run;
  RecordedLine line;
  bool more = true;

  absl::Status Next() {
    if (!more) return absl::OkStatus();
    auto next = run->Next(&line);
    if (!next.ok()) return next.status();
    more = *next;
    return absl::OkStatus();
  }
  std::string Text() const {
    return more                   ? Describe(line)
           : run->error().empty() ? "the run has ended"
                                  : absl::StrCat("failed: ", run->error());
  }
  Leaves Known() const {
    Leaves leaves;
    Flatten("", run->figures(), &leaves);
    // The figures repeat them where there are any.
    for (const auto& [key, value] : run->head().items()) {
      if (value.is_string()) leaves.texts[key] = value.get<std::string>();
    }
    return leaves;
  }
};

std::string Failed(const std::string& path, const std::string& error) {
  return absl::StrCat(path, " failed, and has no figures: ", error, "\n");
}

absl::StatusOr<std::string> DiffRecorded(const std::string& before,
                                         const std::string& after) {
  Side sides[2];
  for (int i = 0; i < 2; ++i) {
    auto run = RecordedRun::Open(i == 0 ? before : after);
    if (!run.ok()) return run.status();
    sides[i].run = *std::move(run);
  }
  std::string parting;
  while (sides[0].more || sides[1].more) {
    for (Side& side : sides) {
      absl::Status read = side.Next();
      if (!read.ok()) return read;
    }
    const bool same = sides[0].more == sides[1].more &&
                      (!sides[0].more || sides[0].line == sides[1].line);
    if (!same && parting.empty()) {
      parting = absl::StrCat("They part at line ", sides[0].run->line(),
                             ":\n  before: ", sides[0].Text(),
                             "\n  after:  ", sides[1].Text(), "\n");
      if (sides[0].Text() == sides[1].Text()) {
        parting += WhatDiffers(sides[0].line, sides[1].line);
      }
    }
  }
  const Leaves was = sides[0].Known();
  const Leaves is = sides[1].Known();
  std::string text = TextChanges(was, is);
  absl::StrAppend(&text, parting.empty()
                             ? "The same happens in both, at the same times.\n"
                             : parting);
  for (int i = 0; i < 2; ++i) {
    if (sides[i].run->error().empty()) continue;
    return text + Failed(i == 0 ? before : after, sides[i].run->error());
  }
  return text + FigureTable(was, is);
}

}  // namespace

absl::StatusOr<std::string> RunDiff(const std::string& before,
                                    const std::string& after) {
  const bool recorded[] = {RecordedRun::IsOne(before),
                           RecordedRun::IsOne(after)};
  if (recorded[0] && recorded[1]) return DiffRecorded(before, after);
  auto was = ReadFigures(before);
  if (!recorded[0] && !was.ok()) return was.status();
  auto is = ReadFigures(after);
  if (!recorded[1] && !is.ok()) return is.status();
  if (recorded[0] != recorded[1]) {
    return absl::InvalidArgumentError(
        absl::StrCat(recorded[0] ? before : after, " is a recorded run and ",
                     recorded[0] ? after : before,
                     " is not: give two of --record or two of --json"));
  }
  for (const auto& [path, leaves] :
       {std::pair(before, *was), std::pair(after, *is)}) {
    const auto failed = leaves.texts.find("error");
    if (failed != leaves.texts.end()) {
      return absl::StrCat(TextChanges(*was, *is), Failed(path, failed->second));
    }
  }
  return Changes(*std::move(was), *std::move(is));
}

}  // namespace twostep
