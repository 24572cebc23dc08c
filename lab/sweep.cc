#include "twostep/lab/sweep.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "twostep/eviction/policy_registry.h"
#include "twostep/lab/byte_bound.h"
#include "twostep/lab/cache_model.h"
#include "twostep/lab/replay.h"
#include "twostep/lab/use_sequence.h"
#include "twostep/machine/sync.h"
#include "twostep/placement/placement_registry.h"

namespace twostep {
namespace {

using Mode = SweepOptions::Mode;

constexpr auto kBetweenProgress = std::chrono::milliseconds(100);
constexpr uint64_t kNoCell = ~uint64_t{0};

const char* NameOf(DmaType type) {
  static constexpr const char* kNames[] = {"none", "dynamic", "coherent",
                                           "cma"};
  return kNames[static_cast<size_t>(type)];
}

// What cells of one trace have in common.
struct TraceFacts {
  TraceHistory history;  // kTwoStep
  UseSequence requests;  // kCacheOnly
  // What capacities in percent are of.
  uint64_t whole_bytes = 0;
};

// Worked out by the first cell that asks: cells differ in their policies only.
struct Bound {
  Mutex mutex;
  std::optional<uint64_t> bytes ABSL_GUARDED_BY(mutex);
};

struct Cell {
  size_t trace = 0;
  const Capacity* capacity = nullptr;
  SweepRow row;
};

uint64_t BytesOf(const Capacity& capacity, uint64_t whole_bytes) {
  if (capacity.percent == 0) return capacity.bytes;
  return static_cast<uint64_t>(static_cast<double>(whole_bytes) *
                               capacity.percent / 100);
}

std::vector<std::string> WithBelady(std::vector<std::string> evictions) {
  if (std::find(evictions.begin(), evictions.end(), kBelady) ==
      evictions.end()) {
    evictions.push_back(kBelady);
  }
  return evictions;
}

absl::Status CheckPolicies(const SweepOptions& options) {
  for (const std::string& eviction : options.evictions) {
    if (eviction == kBelady) continue;
    auto policy = ParseEvictionPolicy(eviction);
    if (!policy.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat("--policies: ", policy.status().message(), ", belady"));
    }
  }
  if (options.mode == Mode::kCacheOnly) return absl::OkStatus();
  for (const std::string& placement : options.placements) {
    auto policy = ParsePlacementPolicy(placement);
    if (!policy.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat("--placement: ", policy.status().message()));
    }
  }
  return absl::OkStatus();
}

// Runs this shard's cells.
class Sweep {
 public:
  explicit Sweep(const SweepOptions& options)
      : options_(options),
        facts_(options.traces.size()),
        bounds_(options.traces.size() * options.capacities.size()) {}

  absl::StatusOr<SweepResult> Run();

 private:
  bool two_step() const { return options_.mode == Mode::kTwoStep; }
  void ListCells();
  absl::Status ReadTraces();
  void RunCells();
  void RunCell(Cell* cell);
  uint64_t LeastBytes(const Cell& cell);
  void RunTwoStep(const TraceFacts& facts, SweepRow* row);
  void RunCacheOnly(const TraceFacts& facts, SweepRow* row) const;
  ReplayOptions ReplayOptionsFor(const TraceFacts& facts,
                                 const SweepRow& row) const;

  const SweepOptions& options_;
  uint64_t all_cells_ = 0;
  std::vector<Cell> cells_;  // this shard's
  std::vector<TraceFacts> facts_;
  std::vector<Bound> bounds_;  // by trace, then by capacity
  // Of the cells that are being run.
  static constexpr uint64_t kPartsOfCell = 1024;
  Atomic<uint64_t> parts_done_{0};
};

void Sweep::ListCells() {
  const std::vector<std::string> placements =
      two_step() ? options_.placements : std::vector<std::string>{""};
  for (size_t trace = 0; trace < options_.traces.size(); ++trace) {
    for (const std::string& placement : placements) {
      for (const Capacity& capacity : options_.capacities) {
        for (const std::string& eviction : WithBelady(options_.evictions)) {
          const uint64_t number = all_cells_++;
          if (number % options_.shards != options_.shard) continue;
          Cell cell;
          cell.trace = trace;
          cell.capacity = &capacity;
          cell.row.cell = number;
          cell.row.trace = options_.traces[trace];
          cell.row.placement = placement;
          cell.row.capacity = capacity.text;
          cell.row.eviction = eviction;
          cells_.push_back(std::move(cell));
        }
      }
    }
  }
}

absl::Status Sweep::ReadTraces() {
  std::vector<bool> wanted(facts_.size(), false);
  for (const Cell& cell : cells_) wanted[cell.trace] = true;
  for (size_t trace = 0; trace < facts_.size(); ++trace) {
    if (!wanted[trace]) continue;
    TraceFacts& facts = facts_[trace];
    if (two_step()) {
      auto history = ReadTraceHistory(options_.traces[trace]);
      if (!history.ok()) return history.status();
      facts.history = *std::move(history);
      facts.whole_bytes = facts.history.peak_live_bytes;
    } else {
      auto requests = ReadCacheRequests(options_.traces[trace]);
      if (!requests.ok()) return requests.status();
      facts.requests = *std::move(requests);
      for (const uint64_t bytes : facts.requests.bytes) {
        facts.whole_bytes += bytes;
      }
    }
  }
  return absl::OkStatus();
}

ReplayOptions Sweep::ReplayOptionsFor(const TraceFacts& facts,
                                      const SweepRow& row) const {
  ReplayOptions replay;
  replay.gpu = options_.gpu;
  if (options_.machine.has_value()) {
    replay.machine = *options_.machine;
  } else {
    // So that nothing but VRAM is short.
    uint64_t& normal = replay.machine.normal_bytes;
    normal =
        std::max(normal, PagesToBytes(BytesToPages(2 * facts.whole_bytes)));
    uint64_t& aperture = replay.gpu.aperture_bytes;
    aperture =
        std::max(aperture, PagesToBytes(BytesToPages(2 * facts.whole_bytes)));
  }
  replay.gpu.vram_bytes = row.capacity_bytes;
  if (replay.gpu.vram_visible_bytes > row.capacity_bytes) {
    replay.gpu.vram_visible_bytes = GpuConfig::kAllOfIt;
  }
  replay.backing = Backing::kUnbacked;
  replay.dma_type = options_.dma_type;
  replay.dma_exhaustion = options_.dma_exhaustion;
  replay.placement = row.placement;
  replay.eviction = row.eviction;
  replay.history = &facts.history;
  return replay;
}

void Sweep::RunTwoStep(const TraceFacts& facts, SweepRow* row) {
  row->capacity_bytes = std::max<uint64_t>(
      PagesToBytes(BytesToPages(row->capacity_bytes)), kPageSize);
  ReplayOptions options = ReplayOptionsFor(facts, *row);
  uint64_t shown = 0;
  options.progress = [&](double part) {
    const auto parts = static_cast<uint64_t>(part * kPartsOfCell);
    parts_done_ += parts - shown;
    shown = parts;
  };
  const auto replay = Replay(row->trace, options);
  parts_done_ -= shown;
  if (!replay.ok()) {
    row->error = std::string(replay.status().message());
    return;
  }
  row->records = replay->records;
  row->requests = replay->validates;
  row->misses = replay->validates - replay->validate_hits;
  row->miss_bytes = replay->missed_bytes;
  row->bytes_moved = replay->to_vram_bytes + replay->from_vram_bytes;
  row->bus_bytes = replay->bus_bytes;
  for (const auto& [type, count] : replay->dma_evictions) {
    row->dma_evictions += count;
  }
  for (const auto& [type, count] : replay->gpu_evictions) {
    row->gpu_evictions += count;
  }
  row->stall_ns = replay->stall_ns;
  row->simulated_ns = replay->simulated_ns;
  row->rule_violations = replay->rule_violations;
  row->records_per_second = static_cast<double>(replay->records) /
                            std::max(replay->wall_seconds, 1e-9);
}

void Sweep::RunCacheOnly(const TraceFacts& facts, SweepRow* row) const {
  const CacheRequests requests{facts.requests.objects, facts.requests.bytes};
  const auto started = std::chrono::steady_clock::now();
  const CacheCounts counts = row->eviction == kBelady
                                 ? RunBelady(requests, row->capacity_bytes)
                                 : RunCache(*MakeEvictionPolicy(row->eviction),
                                            requests, row->capacity_bytes);
  const std::chrono::duration<double> took =
      std::chrono::steady_clock::now() - started;
  row->records = row->requests = counts.requests;
  row->misses = counts.misses;
  row->miss_bytes = counts.miss_bytes;
  row->records_per_second =
      static_cast<double>(counts.requests) / std::max(took.count(), 1e-9);
}

void Sweep::RunCell(Cell* cell) {
  const TraceFacts& facts = facts_[cell->trace];
  SweepRow& row = cell->row;
  row.capacity_bytes = BytesOf(*cell->capacity, facts.whole_bytes);
  if (two_step()) {
    RunTwoStep(facts, &row);
  } else {
    RunCacheOnly(facts, &row);
  }
  if (row.error.empty() && row.bus_bytes == 0) {
    row.least_bytes = LeastBytes(*cell);
  }
}

uint64_t Sweep::LeastBytes(const Cell& cell) {
  const auto capacity =
      static_cast<size_t>(cell.capacity - options_.capacities.data());
  Bound& bound = bounds_[cell.trace * options_.capacities.size() + capacity];
  const TraceFacts& facts = facts_[cell.trace];
  MutexLock lock(bound.mutex);
  if (!bound.bytes.has_value()) {
    bound.bytes = two_step()
                      ? LeastMovedBytes(facts.history, cell.row.capacity_bytes)
                      : LeastMissBytes(facts.requests, cell.row.capacity_bytes);
  }
  return *bound.bytes;
}

void Sweep::RunCells() {
  Atomic<size_t> next{0};
  Mutex mutex;
  CondVar one_done;
  size_t done = 0;  // guarded by mutex
  const auto work = [&] {
    for (;;) {
      const size_t cell = next.fetch_add(1);
      if (cell >= cells_.size()) return;
      RunCell(&cells_[cell]);
      MutexLock lock(mutex);
      ++done;
      one_done.NotifyAll();
    }
  };
  std::vector<Thread> threads;
  const size_t count =
      std::min(cells_.size(), static_cast<size_t>(options_.threads));
  for (size_t i = 0; i < count; ++i) threads.emplace_back(work);
  MutexLock lock(mutex);
  while (done < cells_.size()) {
    one_done.WaitUntil(mutex,
                       std::chrono::steady_clock::now() + kBetweenProgress);
    if (!options_.progress) continue;
    const double cells =
        static_cast<double>(done) +
        static_cast<double>(parts_done_.load()) / double{kPartsOfCell};
    options_.progress(cells / static_cast<double>(cells_.size()), done,
                      cells_.size());
  }
}

absl::StatusOr<SweepResult> Sweep::Run() {
  absl::Status known = CheckPolicies(options_);
  if (!known.ok()) return known;
  ListCells();
  absl::Status read = ReadTraces();
  if (!read.ok()) return read;
  RunCells();
  SweepResult result;
  result.mode = options_.mode;
  if (two_step()) {
    result.machine = options_.machine.value_or(MachineConfig{}).name;
    result.dma_type = NameOf(options_.dma_type);
    result.dma_exhaustion = twostep::NameOf(options_.dma_exhaustion);
  }
  result.shard = options_.shard;
  result.shards = options_.shards;
  result.cells = all_cells_;
  for (Cell& cell : cells_) result.rows.push_back(std::move(cell.row));
  FillRegret(&result);
  return result;
}

// What rows must share to be compared.
std::tuple<std::string, std::string, std::string> GroupOf(const SweepRow& row) {
  return {row.trace, row.placement, row.capacity};
}

}  // namespace

absl::StatusOr<SweepResult> RunSweep(const SweepOptions& options) {
  return Sweep(options).Run();
}

void FillRegret(SweepResult* result) {
  const auto cost = [&](const SweepRow& row) {
    return result->mode == Mode::kTwoStep ? row.bytes_moved : row.miss_bytes;
  };
  std::map<std::tuple<std::string, std::string, std::string>, uint64_t> base;
  for (const SweepRow& row : result->rows) {
    if (row.eviction == kBelady && row.error.empty()) {
      base[GroupOf(row)] = cost(row);
    }
  }
  for (SweepRow& row : result->rows) {
    row.regret.reset();
    auto it = base.find(GroupOf(row));
    if (it == base.end() || !row.error.empty()) continue;
    const auto least = static_cast<double>(it->second);
    const auto own = static_cast<double>(cost(row));
    if (least != 0) row.regret = (own - least) / least;
    if (least == 0 && own == 0) row.regret = 0;
  }
}

absl::StatusOr<SweepResult> MergeShards(std::vector<SweepResult> shards,
                                        size_t* culprit) {
  const auto bad = [&](size_t shard, std::string why) {
    *culprit = shard;
    return absl::InvalidArgumentError(why);
  };
  SweepResult merged;
  for (size_t i = 0; i < shards.size(); ++i) {
    SweepResult& shard = shards[i];
    if (i == 0) {
      merged = shard;
      merged.rows.assign(shard.cells, SweepRow{});
      for (SweepRow& row : merged.rows) row.cell = kNoCell;
    }
    if (shard.mode != merged.mode || shard.machine != merged.machine ||
        shard.dma_type != merged.dma_type ||
        shard.dma_exhaustion != merged.dma_exhaustion ||
        shard.cells != merged.cells || shard.shards != merged.shards) {
      return bad(i, "is of another sweep");
    }
    for (SweepRow& row : shard.rows) {
      if (row.cell >= merged.cells || row.cell % shard.shards != shard.shard) {
        return bad(i, absl::StrCat("has cell ", row.cell,
                                   ", which is not of its shard"));
      }
      SweepRow& place = merged.rows[row.cell];
      if (place.cell != kNoCell) {
        return bad(i, absl::StrCat("has cell ", row.cell,
                                   ", which another has as well"));
      }
      place = std::move(row);
    }
  }
  for (size_t cell = 0; cell < merged.rows.size(); ++cell) {
    if (merged.rows[cell].cell == kNoCell) {
      return bad(0, absl::StrCat("and the others lack cell ", cell, ": shard ",
                                 cell % merged.shards, "/", merged.shards,
                                 " is missing or cut short"));
    }
  }
  merged.shard = 0;
  merged.shards = 1;
  FillRegret(&merged);
  return merged;
}

}  // namespace twostep
