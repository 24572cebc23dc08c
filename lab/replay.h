#ifndef LAB_REPLAY_H_
#define LAB_REPLAY_H_

// Replays what a program did with its bos on a machine: creates, writes, reads
// and submits as recorded, through the two steps. Backed, every byte the CPU
// and the GPU read is compared with what the trace says must be there; on
// unbacked machines only accounts and virtual time are kept.

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "twostep/bo/audit.h"
#include "twostep/dma_types/bind_outcome.h"
#include "twostep/lab/run_observer.h"
#include "twostep/lab/use_sequence.h"
#include "twostep/machine/machine_config.h"
#include "twostep/machine/memory.h"
#include "twostep/placement/placement.h"

namespace twostep {

// "evict", "purge" or "fail".
const char* NameOf(DmaExhaustion what);

// The eviction policy that knows the trace beforehand: lab/foresight.h.
inline constexpr char kBelady[] = "belady";

struct ReplayOptions {
  MachineConfig machine;
  GpuConfig gpu;
  Backing backing = Backing::kBacked;
  DmaType dma_type = DmaType::kDynamic;
  DmaExhaustion dma_exhaustion = DmaExhaustion::kEvict;
  std::string placement = "vram-tt";  // see PlacementPolicies()
  std::string eviction = "adaptive";  // see EvictionPolicies(), or kBelady
  // For kBelady, which knows the trace beforehand: read if it is null.
  const TraceHistory* history = nullptr;
  uint64_t seed = 1;  // of the contents
  // Check the rules every so many records, and at the end; 0: only then.
  uint64_t audit_every = 0;
  // Told of the run, if not null; it must outlive that.
  RunObserver* observer = nullptr;
  // Called now and then with how much of the trace has been read, 0 to 1.
  std::function<void(double)> progress;
};

// What a replay did. Counts are the same on every run with the same options;
// only wall_seconds and peak_rss_bytes depend on the machine underneath.
struct ReplayResult {
  std::string trace;
  std::string machine;
  std::string mode;  // "backed" or "unbacked"
  std::string dma_type;
  std::string dma_exhaustion;  // "evict", "purge" or "fail"
  std::string placement;
  std::string eviction;
  uint64_t seed = 0;
  uint64_t vram_bytes = 0;

  uint64_t records = 0;
  uint64_t submissions = 0;
  uint64_t frames = 0;
  uint64_t validates = 0;
  uint64_t validate_hits = 0;
  uint64_t missed_bytes = 0;  // of bos validated that were not in place
  uint64_t bus_bytes = 0;     // of bos used by jobs outside of VRAM
  std::map<std::string, uint64_t> dma_binds;      // by DMA type
  std::map<std::string, uint64_t> dma_evictions;  // by DMA type
  std::map<std::string, uint64_t> gpu_evictions;  // by memory type
  uint64_t to_vram_bytes = 0;
  uint64_t from_vram_bytes = 0;
  uint64_t dma_evict_copy_bytes = 0;
  uint64_t bounce_bytes = 0;
  uint64_t swap_out_bytes = 0;
  uint64_t swap_in_bytes = 0;
  uint64_t pages_synced_for_device = 0;
  uint64_t pages_synced_for_cpu = 0;
  uint64_t cpu_faults = 0;
  uint64_t bytes_checked = 0;
  uint64_t bytes_wrong = 0;
  uint64_t gpu_faults = 0;
  std::vector<Violation> violations;  // the first few
  uint64_t rule_violations = 0;
  // How long the GPU had nothing to do while a submission waited for its bos.
  uint64_t stall_ns = 0;
  uint64_t simulated_ns = 0;
  double wall_seconds = 0;
  uint64_t peak_rss_bytes = 0;

  bool clean() const { return bytes_wrong == 0 && rule_violations == 0; }
};

// An error is kInvalidArgument or kNotFound: `FILE:LINE: reason` for the trace
// itself and for what the machine cannot hold, or which option is wrong.
absl::StatusOr<ReplayResult> Replay(const std::string& trace,
                                    const ReplayOptions& options);

}  // namespace twostep

#endif  // LAB_REPLAY_H_
