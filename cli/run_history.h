#ifndef CLI_RUN_HISTORY_H_
#define CLI_RUN_HISTORY_H_

// What a report shows of a run beside its figures: how much was where and when,
// who was evicted for whom, the worst stalls, how address spaces filled. Its
// size is bounded, however long the run is; the largest is kept, and what is
// left out is counted.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "nlohmann/json.hpp"
#include "twostep/cli/observed_device.h"
#include "twostep/cli/space_map.h"
#include "twostep/cli/time_bins.h"
#include "twostep/lab/run_observer.h"
#include "twostep/machine/sync.h"

namespace twostep {

class RunHistory : public RunObserver {
 public:
  static constexpr size_t kMostBins = 1000;
  static constexpr size_t kMostPairs = 300;
  static constexpr size_t kMostStalls = 20;

  void Began(Host& host, Device& device) override;
  void Happened(const Event& event) override;
  void Submitted(const Job& job) override;
  void Named(uint64_t bo, uint64_t trace_bo) override;
  void FrameEnded() override;
  void Ending() override;

  // Of a run that has ended. docs/reports.md has the keys.
  nlohmann::ordered_json ToJson() const;

 private:
  // Who was evicted for whom, from where to where, and what was short there.
  struct Pair {
    uint64_t victim = 0;
    uint64_t for_bo = 0;
    uint8_t from = 0;
    uint8_t to = 0;
    EventLimit limit = EventLimit::kNone;
    auto Key() const { return std::tie(victim, for_bo, from, to, limit); }
    bool operator<(const Pair& other) const { return Key() < other.Key(); }
  };
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

  struct Space {
    SpaceMap map;
    MemoryManager* manager = nullptr;  // null: the device's IOVAs
  };

  // What is sampled, and in the same order what it is now.
  std::vector<BinnedSeries> Series() const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::vector<uint64_t> Values() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Sample() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void LookAt(Space& space, uint64_t time_ns)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void NoteStall(const Stall& stall) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  nlohmann::ordered_json BoJson(uint64_t bo) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  nlohmann::ordered_json PairsJson() const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  nlohmann::ordered_json StallsJson() const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  mutable Mutex mutex_;
  Host* host_ ABSL_GUARDED_BY(mutex_) = nullptr;  // null: not begun, or ended
  Device* device_ ABSL_GUARDED_BY(mutex_) = nullptr;
  uint64_t frame_ ABSL_GUARDED_BY(mutex_) = 0;
  std::optional<TimeBins> bins_ ABSL_GUARDED_BY(mutex_);
  std::vector<Space> spaces_ ABSL_GUARDED_BY(mutex_);
  std::map<Pair, Count> pairs_ ABSL_GUARDED_BY(mutex_);
  std::unordered_map<uint64_t, uint64_t> trace_bos_ ABSL_GUARDED_BY(mutex_);
  // Of pairs_, by number; asked for while the device is there.
  std::map<uint8_t, std::string> places_ ABSL_GUARDED_BY(mutex_);
  QueueStalls stalls_before_ ABSL_GUARDED_BY(mutex_);
  uint64_t all_bytes_ ABSL_GUARDED_BY(mutex_) = 0;  // of the bos there are
  uint64_t stall_ns_ ABSL_GUARDED_BY(mutex_) = 0;   // of all submissions
  // Of the latest submission, and since then.
  uint64_t last_stall_ns_ ABSL_GUARDED_BY(mutex_) = 0;
  Count evicted_ ABSL_GUARDED_BY(mutex_);
  uint64_t moved_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  std::vector<Stall> stalls_ ABSL_GUARDED_BY(mutex_);  // the longest first
  uint64_t stalled_ ABSL_GUARDED_BY(mutex_) = 0;       // submissions
};

}  // namespace twostep

#endif  // CLI_RUN_HISTORY_H_
