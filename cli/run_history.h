#ifndef CLI_RUN_HISTORY_H_
#define CLI_RUN_HISTORY_H_

// What a report shows of a run beside its figures: how much was where and when,
// who was evicted for whom, the worst stalls, how address spaces filled, of all
// devices. Its size is bounded, however long the run is; the largest is kept,
// and what is left out is counted.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "nlohmann/json.hpp"
#include "twostep/cli/eviction_tally.h"
#include "twostep/cli/observed_device.h"
#include "twostep/cli/space_map.h"
#include "twostep/cli/time_bins.h"
#include "twostep/lab/run_observer.h"
#include "twostep/machine/machine.h"
#include "twostep/machine/sync.h"

namespace twostep {

struct HistoryOptions {
  // How much is kept at most.
  size_t bins;     // even
  size_t columns;  // of address spaces; even
  EvictionTally::Limits evictions;
  size_t stalls;
  // The run is looked at when it begins and ends, at each job, and if so at
  // each eviction that is for no submission.
  bool at_evictions;
};
// Of one run, and of each of hundreds that one page has, some without a job.
inline constexpr HistoryOptions kReplayHistory = {
    1000, 512, {300, 24}, 20, false};
inline constexpr HistoryOptions kScenarioHistory = {64, 32, {40, 12}, 10, true};

class RunHistory : public RunObserver {
 public:
  explicit RunHistory(const HistoryOptions& options) : options_(options) {}

  void Began(Host& host, Device& device) override;
  void Added(Device& device) override;
  void Leaving(Device& device) override;
  void Happened(const Event& event) override;
  void Submitted(const Job& job) override;
  void Named(uint64_t bo, uint64_t trace_bo) override;
  void FrameEnded() override;
  void Ending() override;

  // Of two runs, which one has more to show: that with more evictions, or with
  // as many and more samples.
  bool ShowsMoreThan(const RunHistory& other) const;
  // Whether there is anything to show: a run may fail before its machine is up.
  bool began() const;
  // REQUIRES: began(), and it has ended. docs/reports.md has the keys.
  nlohmann::ordered_json ToJson() const;

 private:
  struct Count {
    uint64_t evictions = 0;
    uint64_t bytes = 0;
  };
  struct Stall {
    uint64_t stall_ns = 0;
    uint64_t asked_ns = 0;
    uint64_t frame = 0;
    uint32_t submission = 0;
    Count evicted;
    uint64_t moved_bytes = 0;
  };

  // What a submission that is not told of yet has done.
  struct Work {
    Count evicted;
    uint64_t moved_bytes = 0;
  };
  // A memory type or a DMA type, and what was seen of it last.
  struct Part {
    bool is_memory = false;
    const Device* of = nullptr;  // null: the host's
    // One of them; none: the device is gone.
    MemoryManager* manager = nullptr;
    DmaBinder* binder = nullptr;
    uint64_t bytes = 0;
    uint64_t largest_hole = 0;
    uint64_t evictions = 0;
    uint64_t copied_back_bytes = 0;
    uint64_t bounced_bytes = 0;
  };
  struct Space {
    SpaceMap map;
    Device* of = nullptr;              // null: gone
    MemoryManager* manager = nullptr;  // null: the device's IOVAs
  };

  void AddDevice(Device& device) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  static void LookAt(Part& part);
  // From when the run began.
  uint64_t NowNs() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return host_->machine().clock().now_ns() - began_ns_;
  }
  // What is sampled, in the order of the series.
  std::vector<uint64_t> Values() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::pair<uint64_t, uint64_t> Weight() const;
  void Sample() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void LookAt(Space& space, uint64_t time_ns)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void NoteStall(const Stall& stall) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  nlohmann::ordered_json StallsJson() const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const HistoryOptions options_;
  mutable Mutex mutex_;
  Host* host_ ABSL_GUARDED_BY(mutex_) = nullptr;  // null: not begun, or ended
  // Of a virtual clock 0: it begins with the machine.
  uint64_t began_ns_ ABSL_GUARDED_BY(mutex_) = 0;
  bool virtual_time_ ABSL_GUARDED_BY(mutex_) = true;
  std::string first_device_ ABSL_GUARDED_BY(mutex_);
  uint64_t frame_ ABSL_GUARDED_BY(mutex_) = 0;
  std::optional<TimeBins> bins_ ABSL_GUARDED_BY(mutex_);
  std::vector<Part> parts_ ABSL_GUARDED_BY(mutex_);
  std::vector<Space> spaces_ ABSL_GUARDED_BY(mutex_);
  EvictionTally evictions_ ABSL_GUARDED_BY(mutex_);
  // Of evictions_, by number; asked for while the device is there.
  std::map<uint8_t, std::string> places_ ABSL_GUARDED_BY(mutex_);
  QueueStalls stalls_before_ ABSL_GUARDED_BY(mutex_);
  uint64_t all_bytes_ ABSL_GUARDED_BY(mutex_) = 0;      // of the bos there are
  uint64_t stall_ns_ ABSL_GUARDED_BY(mutex_) = 0;       // of all submissions
  uint64_t last_stall_ns_ ABSL_GUARDED_BY(mutex_) = 0;  // of the latest
  std::unordered_map<uint32_t, Work> under_way_ ABSL_GUARDED_BY(mutex_);
  std::vector<Stall> stalls_ ABSL_GUARDED_BY(mutex_);  // the longest first
  uint64_t stalled_ ABSL_GUARDED_BY(mutex_) = 0;       // submissions
};

}  // namespace twostep

#endif  // CLI_RUN_HISTORY_H_
