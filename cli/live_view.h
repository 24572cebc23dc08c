#ifndef CLI_LIVE_VIEW_H_
#define CLI_LIVE_VIEW_H_

// What a run is doing, while it goes: a few lines that are drawn again and
// again on a terminal, or a line every few seconds where there is none. Reads
// counters from a thread of its own; the run only tells it of submissions.

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <deque>
#include <string>
#include <vector>

#include "twostep/cli/live_frame.h"
#include "twostep/cli/observed_device.h"
#include "twostep/lab/run_observer.h"
#include "twostep/machine/sync.h"

namespace twostep {

class LiveView : public RunObserver {
 public:
  // Draws on `to`, a terminal unless it is none or TERM is "dumb" or not set.
  // On a terminal a signal that ends the process, or stops it, leaves it as it
  // was. One at a time.
  explicit LiveView(
      std::FILE* to = stderr,
      std::chrono::milliseconds between_lines = std::chrono::seconds(2));
  // Leaves nothing on a terminal; elsewhere ends with a line.
  ~LiveView() override;
  LiveView(const LiveView&) = delete;
  LiveView& operator=(const LiveView&) = delete;

  // How much of all work is done, 0 to 1.
  void Show(double part) { part_.store(part, std::memory_order_relaxed); }
  // Takes off the terminal what is drawn, for others to print; the next run
  // brings it back.
  void Clear();

  void Next(const std::string& name) override;
  void Began(Host& host, Device& device) override;
  void Added(Device& device) override;
  void Leaving(Device& device) override;
  void Happened(const Event& event) override;
  void Submitted(const Job& job) override;
  void Named(uint64_t, uint64_t) override {}
  void FrameEnded() override;
  void Ending() override;

 private:
  using Time = std::chrono::steady_clock::time_point;
  struct Sample {
    Time at;
    uint64_t submissions = 0;
    uint64_t evictions = 0;
    uint64_t moved_bytes = 0;
  };

  void Run();
  LiveState Look() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Draw() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Put(const std::string& text) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  std::FILE* const to_;
  const bool terminal_;
  const std::chrono::milliseconds between_;
  const Time began_;
  Atomic<double> part_{0};
  Atomic<uint64_t> submissions_{0};
  Atomic<uint64_t> frames_{0};
  Atomic<uint64_t> failures_{0};
  // Held for longer by who draws; by the run only where machines come and go.
  Mutex mutex_;
  CondVar changed_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  bool drawn_ ABSL_GUARDED_BY(mutex_) = false;
  std::string run_ ABSL_GUARDED_BY(mutex_);
  Host* host_ ABSL_GUARDED_BY(mutex_) = nullptr;  // null: between runs
  std::vector<Device*> devices_ ABSL_GUARDED_BY(mutex_);
  std::deque<Sample> samples_ ABSL_GUARDED_BY(mutex_);
  LiveState last_ ABSL_GUARDED_BY(mutex_);
  SpinLock stalls_lock_;
  std::vector<LiveStall> stalls_ ABSL_GUARDED_BY(stalls_lock_);
  QueueStalls stalls_before_ ABSL_GUARDED_BY(stalls_lock_);
  Thread thread_;  // last: it uses all of the above
};

}  // namespace twostep

#endif  // CLI_LIVE_VIEW_H_
