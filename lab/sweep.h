#ifndef LAB_SWEEP_H_
#define LAB_SWEEP_H_

// Every trace with every placement, capacity and eviction policy: each
// combination is a cell, run by itself, the same on every run but for how long
// it took. Cells run on several threads; a shard runs every N-th, so that
// several processes or machines share a sweep.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "twostep/lab/replay.h"
#include "twostep/machine/machine_config.h"
#include "twostep/placement/placement.h"

namespace twostep {

// Of VRAM, or of the cache: a part of the trace's bytes, or bytes.
struct Capacity {
  std::string text;    // as it was given: "25%", "64 MiB"
  double percent = 0;  // 0: `bytes` counts
  uint64_t bytes = 0;
};

struct SweepOptions {
  enum class Mode : uint8_t {
    kTwoStep,    // replays on a machine
    kCacheOnly,  // requests to a cache, one at a time
  };

  Mode mode = Mode::kTwoStep;
  std::vector<std::string> traces;
  // kBelady, which regret is measured against, is added if it is missing.
  std::vector<std::string> evictions;
  std::vector<std::string> placements;  // kTwoStep
  std::vector<Capacity> capacities;
  // Empty: MachineConfig{}, with host memory and an aperture of twice what each
  // trace needs.
  std::optional<MachineConfig> machine;
  GpuConfig gpu;
  DmaType dma_type = DmaType::kDynamic;
  DmaExhaustion dma_exhaustion = DmaExhaustion::kEvict;
  uint32_t shard = 0;  // of shards
  uint32_t shards = 1;
  int threads = 1;
  // Called on the thread that called RunSweep, about ten times a second, with
  // the part that is done, and the cells done and all of this shard.
  std::function<void(double, size_t, size_t)> progress;
};

// What a cell came to. Counts of cells that could not run are 0.
struct SweepRow {
  uint64_t cell = 0;  // its number in the whole sweep
  std::string trace;
  std::string placement;
  std::string capacity;
  std::string eviction;
  uint64_t capacity_bytes = 0;
  std::string error;  // empty: it ran
  uint64_t records = 0;
  uint64_t requests = 0;  // uses of bos by submissions
  uint64_t misses = 0;    // of those, the ones that were not in place
  uint64_t miss_bytes = 0;
  // What follows is of kTwoStep.
  uint64_t bytes_moved = 0;  // into VRAM and out of it
  uint64_t bus_bytes = 0;
  uint64_t dma_evictions = 0;
  uint64_t gpu_evictions = 0;
  uint64_t stall_ns = 0;
  uint64_t simulated_ns = 0;
  uint64_t rule_violations = 0;
  // No policy does with less, see lab/byte_bound.h: of bytes_moved where every
  // use took place in VRAM, and of miss_bytes.
  std::optional<uint64_t> least_bytes;
  // bytes_moved, or miss_bytes, beyond belady's, as a part of belady's.
  std::optional<double> regret;
  double records_per_second = 0;
};

struct SweepResult {
  SweepOptions::Mode mode = SweepOptions::Mode::kTwoStep;
  std::string machine;
  std::string dma_type;
  std::string dma_exhaustion;  // see ReplayResult
  uint32_t shard = 0;
  uint32_t shards = 1;
  uint64_t cells = 0;          // of the whole sweep
  std::vector<SweepRow> rows;  // by cell; a shard's own
};

// Cells that cannot run have their error in their row. An error is bad input
// before any ran: a trace that cannot be read (`FILE:LINE: reason`), an unknown
// policy.
absl::StatusOr<SweepResult> RunSweep(const SweepOptions& options);

// Fills in regret, for every row whose belady is there.
void FillRegret(SweepResult* result);

// One result out of all the shards of a sweep, in any order. kInvalidArgument,
// with the index of the one that does not fit in, and why.
absl::StatusOr<SweepResult> MergeShards(std::vector<SweepResult> shards,
                                        size_t* culprit);

}  // namespace twostep

#endif  // LAB_SWEEP_H_
