#include "twostep/cli/sweep_report.h"

#include <cstddef>
#include <optional>
#include <tuple>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "twostep/cli/figures.h"
#include "twostep/cli/terminal_text.h"

namespace twostep {
namespace {

using Json = nlohmann::ordered_json;
using Mode = SweepOptions::Mode;

// A merge of more cells than this is a mistake, or hostile.
constexpr uint64_t kMostCells = 10'000'000;

const char* NameOf(Mode mode) {
  return mode == Mode::kTwoStep ? "two-step" : "cache-only";
}

std::string Simulated(const SweepResult& result) {
  if (result.mode == Mode::kCacheOnly) {
    return "a cache of whole objects, one request at a time; no machine, no "
           "time";
  }
  return absl::StrCat(
      "replays through the two steps on machine '", result.machine,
      "' with DMA type ", result.dma_type,
      result.dma_exhaustion == NameOf(DmaExhaustion::kEvict)
          ? ""
          : absl::StrCat(", on DMA exhaustion ", result.dma_exhaustion),
      ", in virtual time; pages and accounts, no bytes");
}

// Null where a cell did not run, or its mode knows no such figure.
Json FigureOrNull(bool known, uint64_t figure) {
  return known ? Json(figure) : Json(nullptr);
}

template <typename T>
Json OrNull(const std::optional<T>& value) {
  return value.has_value() ? Json(*value) : Json(nullptr);
}

Json RowJson(const SweepRow& row, Mode mode) {
  const bool ran = row.error.empty();
  const bool two_step = ran && mode == Mode::kTwoStep;
  return {
      {"cell", row.cell},
      {"trace", row.trace},
      {"placement",
       mode == Mode::kTwoStep ? Json(row.placement) : Json(nullptr)},
      {"capacity", row.capacity},
      {"capacity_bytes", row.capacity_bytes},
      {"eviction", row.eviction},
      {"status", ran ? "ok" : "error"},
      {"error", ran ? Json(nullptr) : Json(row.error)},
      {"records", FigureOrNull(ran, row.records)},
      {"requests", FigureOrNull(ran, row.requests)},
      {"misses", FigureOrNull(ran, row.misses)},
      {"miss_bytes", FigureOrNull(ran, row.miss_bytes)},
      {"bytes_moved", FigureOrNull(two_step, row.bytes_moved)},
      {"least_bytes", OrNull(row.least_bytes)},
      {"regret", OrNull(row.regret)},
      {"bus_bytes", FigureOrNull(two_step, row.bus_bytes)},
      {"dma_evictions", FigureOrNull(two_step, row.dma_evictions)},
      {"gpu_evictions", FigureOrNull(two_step, row.gpu_evictions)},
      {"stall_ns", FigureOrNull(two_step, row.stall_ns)},
      {"simulated_ns", FigureOrNull(two_step, row.simulated_ns)},
      {"rule_violations", FigureOrNull(two_step, row.rule_violations)},
      {"records_per_second",
       ran ? Json(row.records_per_second) : Json(nullptr)},
  };
}

std::string Group(const SweepResult& result, const SweepRow& row) {
  std::string text = ForTerminal(row.trace);
  if (result.mode == Mode::kTwoStep)
    absl::StrAppend(&text, ", ", row.placement);
  absl::StrAppend(&text, ", ", row.capacity);
  if (row.capacity.back() == '%') {
    absl::StrAppend(&text, " = ", BytesFigure(row.capacity_bytes));
  }
  return text;
}

// Left-aligned first column, the others to the right.
std::string Aligned(const std::vector<std::vector<std::string>>& lines) {
  std::vector<size_t> widths;
  for (const auto& line : lines) {
    widths.resize(std::max(widths.size(), line.size()), 0);
    // The last of a line that is shorter than others may run on.
    for (size_t i = 0; i < line.size(); ++i) {
      if (line.size() == lines[0].size()) {
        widths[i] = std::max(widths[i], line[i].size());
      }
    }
  }
  std::string text;
  for (const auto& line : lines) {
    absl::StrAppendFormat(&text, "  %-*s", static_cast<int>(widths[0]),
                          line[0]);
    for (size_t i = 1; i < line.size(); ++i) {
      absl::StrAppendFormat(&text, "  %*s", static_cast<int>(widths[i]),
                            line[i]);
    }
    absl::StrAppend(&text, "\n");
  }
  return text;
}

std::string Percent(const std::optional<double>& regret) {
  return regret.has_value() ? absl::StrFormat("%+.1f %%", *regret * 100) : "-";
}

std::vector<std::string> Line(const SweepRow& row, Mode mode) {
  if (!row.error.empty()) {
    return {row.eviction,
            absl::StrCat("did not run: ", ForTerminal(row.error))};
  }
  const std::string speed =
      GroupedFigure(static_cast<uint64_t>(row.records_per_second));
  const std::string least =
      row.least_bytes.has_value() ? BytesFigure(*row.least_bytes) : "-";
  if (mode == Mode::kCacheOnly) {
    return {
        row.eviction, GroupedFigure(row.misses), BytesFigure(row.miss_bytes),
        least,        Percent(row.regret),       speed};
  }
  return {row.eviction,
          GroupedFigure(row.misses),
          BytesFigure(row.bytes_moved),
          least,
          Percent(row.regret),
          GroupedFigure(row.dma_evictions),
          DurationFigure(row.stall_ns),
          DurationFigure(row.simulated_ns),
          BytesFigure(row.bus_bytes),
          speed};
}

std::vector<std::string> HeadLine(Mode mode) {
  if (mode == Mode::kCacheOnly) {
    return {"eviction", "misses", "missed", "least", "regret", "records/s"};
  }
  return {"eviction", "misses",  "moved", "least",        "regret",
          "DMA ev.",  "stalled", "of",    "over the bus", "records/s"};
}

std::string CsvField(const Json& value) {
  if (value.is_null()) return "";
  if (!value.is_string()) return value.dump();
  const std::string text = value.get<std::string>();
  if (text.find_first_of(",\"\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? "\"\"" : std::string(1, c);
  return quoted + "\"";
}

// Takes rows apart again; remembers the first key that is not as it must be.
class RowReader {
 public:
  RowReader(const Json& row, absl::Status* status)
      : row_(row), status_(*status) {}

  void Read(const char* key, uint64_t* value) {
    const Json& json = At(key);
    if (json.is_number_unsigned()) {
      *value = json.get<uint64_t>();
    } else if (!json.is_null()) {
      Bad(key);
    }
  }
  void Read(const char* key, std::string* value) {
    const Json& json = At(key);
    if (json.is_string()) {
      *value = json.get<std::string>();
    } else if (!json.is_null()) {
      Bad(key);
    }
  }
  void Read(const char* key, double* value) {
    const Json& json = At(key);
    if (json.is_number()) {
      *value = json.get<double>();
    } else if (!json.is_null()) {
      Bad(key);
    }
  }

 private:
  const Json& At(const char* key) {
    static const Json kNull;
    auto it = row_.find(key);
    if (it != row_.end()) return *it;
    Bad(key);
    return kNull;
  }
  void Bad(const char* key) {
    if (status_.ok()) {
      status_ = absl::InvalidArgumentError(
          absl::StrCat("'", key, "' is missing or of the wrong kind"));
    }
  }

  const Json& row_;
  absl::Status& status_;
};

absl::StatusOr<SweepRow> ParseRow(const Json& json) {
  if (!json.is_object()) return absl::InvalidArgumentError("not an object");
  absl::Status status;
  RowReader reader(json, &status);
  SweepRow row;
  reader.Read("cell", &row.cell);
  reader.Read("trace", &row.trace);
  reader.Read("placement", &row.placement);
  reader.Read("capacity", &row.capacity);
  reader.Read("capacity_bytes", &row.capacity_bytes);
  reader.Read("eviction", &row.eviction);
  reader.Read("error", &row.error);
  reader.Read("records", &row.records);
  reader.Read("requests", &row.requests);
  reader.Read("misses", &row.misses);
  reader.Read("miss_bytes", &row.miss_bytes);
  reader.Read("bytes_moved", &row.bytes_moved);
  reader.Read("bus_bytes", &row.bus_bytes);
  reader.Read("dma_evictions", &row.dma_evictions);
  reader.Read("gpu_evictions", &row.gpu_evictions);
  reader.Read("stall_ns", &row.stall_ns);
  reader.Read("simulated_ns", &row.simulated_ns);
  reader.Read("rule_violations", &row.rule_violations);
  reader.Read("records_per_second", &row.records_per_second);
  if (status.ok() && !json["least_bytes"].is_null()) {
    uint64_t least = 0;
    reader.Read("least_bytes", &least);
    row.least_bytes = least;
  }
  if (status.ok() && row.capacity.empty()) {
    return absl::InvalidArgumentError("'capacity' is empty");
  }
  if (!status.ok()) return status;
  return row;
}

}  // namespace

std::string SweepTable(const SweepResult& result) {
  std::string text = absl::StrCat("simulated: ", Simulated(result), "\n");
  for (size_t at = 0; at < result.rows.size();) {
    const std::string group = Group(result, result.rows[at]);
    std::vector<std::vector<std::string>> lines = {HeadLine(result.mode)};
    std::string requests;
    for (; at < result.rows.size() && Group(result, result.rows[at]) == group;
         ++at) {
      const SweepRow& row = result.rows[at];
      lines.push_back(Line(row, result.mode));
      if (row.error.empty()) {
        requests = absl::StrCat(": ", GroupedFigure(row.requests), " requests");
      }
    }
    absl::StrAppend(&text, "\n", group, requests, "\n", Aligned(lines));
  }
  return text;
}

Json SweepJson(const SweepResult& result) {
  Json rows = Json::array();
  for (const SweepRow& row : result.rows) {
    rows.push_back(RowJson(row, result.mode));
  }
  const bool two_step = result.mode == Mode::kTwoStep;
  return {
      {"simulated", Simulated(result)},
      {"mode", NameOf(result.mode)},
      {"machine", two_step ? Json(result.machine) : Json(nullptr)},
      {"dma_type", two_step ? Json(result.dma_type) : Json(nullptr)},
      {"dma_exhaustion",
       two_step ? Json(result.dma_exhaustion) : Json(nullptr)},
      {"shard", result.shard},
      {"shards", result.shards},
      {"cells", result.cells},
      {"rows", std::move(rows)},
  };
}

std::string SweepCsv(const SweepResult& result) {
  const Json head = RowJson(SweepRow{}, result.mode);
  std::vector<std::string> names;
  for (const auto& [name, value] : head.items()) names.push_back(name);
  std::string text = absl::StrCat(absl::StrJoin(names, ","), "\n");
  for (const SweepRow& row : result.rows) {
    std::vector<std::string> fields;
    for (const auto& value : RowJson(row, result.mode)) {
      fields.push_back(CsvField(value));
    }
    absl::StrAppend(&text, absl::StrJoin(fields, ","), "\n");
  }
  return text;
}

absl::StatusOr<SweepResult> ParseSweep(const std::string& json) {
  const Json object = Json::parse(json, nullptr, /*allow_exceptions=*/false);
  if (!object.is_object() || !object.contains("rows") ||
      !object["rows"].is_array()) {
    return absl::InvalidArgumentError(
        "is no JSON of twostep compare: an object with 'rows'");
  }
  absl::Status status;
  RowReader reader(object, &status);
  SweepResult result;
  std::string mode;
  uint64_t shard = 0;
  uint64_t shards = 0;
  reader.Read("mode", &mode);
  reader.Read("machine", &result.machine);
  reader.Read("dma_type", &result.dma_type);
  reader.Read("dma_exhaustion", &result.dma_exhaustion);
  reader.Read("shard", &shard);
  reader.Read("shards", &shards);
  reader.Read("cells", &result.cells);
  if (!status.ok()) return status;
  if (mode != NameOf(Mode::kTwoStep) && mode != NameOf(Mode::kCacheOnly)) {
    return absl::InvalidArgumentError(absl::StrCat("mode '", mode, "'"));
  }
  if (shards == 0 || shards > kMostCells || shard >= shards ||
      result.cells > kMostCells) {
    return absl::InvalidArgumentError(absl::StrCat("shard ", shard, "/", shards,
                                                   " of ", result.cells,
                                                   " cells cannot be"));
  }
  result.mode =
      mode == NameOf(Mode::kTwoStep) ? Mode::kTwoStep : Mode::kCacheOnly;
  result.shard = static_cast<uint32_t>(shard);
  result.shards = static_cast<uint32_t>(shards);
  for (size_t i = 0; i < object["rows"].size(); ++i) {
    auto row = ParseRow(object["rows"][i]);
    if (!row.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat("row ", i, ": ", row.status().message()));
    }
    result.rows.push_back(*std::move(row));
  }
  FillRegret(&result);
  return result;
}

}  // namespace twostep
