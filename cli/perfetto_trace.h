#ifndef CLI_PERFETTO_TRACE_H_
#define CLI_PERFETTO_TRACE_H_

// Writes a run down as Chrome trace events in JSON, which ui.perfetto.dev and
// chrome://tracing show: docs/events.md says what is on which track.

#include <cstdint>
#include <map>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "twostep/cli/outputs.h"
#include "twostep/lab/run_observer.h"
#include "twostep/machine/sync.h"

namespace twostep {

class PerfettoTrace : public RunObserver {
 public:
  // The file ends after so many events, within a run or between two.
  static constexpr uint64_t kNoEnd = UINT64_MAX;
  explicit PerfettoTrace(const std::string& path, uint64_t max_events = kNoEnd);

  void Next(const std::string& name) override;
  // Each time this is called the tracks begin anew, as those of another
  // machine, with a clock that begins at 0.
  void Began(Host& host, Device& device) override;
  void Added(Device& device) override;
  void Leaving(Device& device) override;
  void Happened(const Event& event) override;
  void Submitted(const Job& job) override;
  void Named(uint64_t bo, uint64_t trace_bo) override;
  void FrameEnded() override;
  void Ending() override;

  // Completes the file. kInvalidArgument when not all could be written.
  absl::Status Finish();
  // What the run is called at whose events the file ended early; empty: it has
  // all of them.
  std::string EndedAt();

 private:
  // What the tracks of a machine are grouped by; each is shown as a process.
  enum Group : int { kProgram, kQueues, kCopies, kBinders, kMemory, kClients };
  static constexpr int kGroups = kClients + 1;

  // `fields` are JSON, from a comma on.
  void Write(char phase, Group group, int track, uint64_t time_ns,
             const std::string& name, const std::string& fields)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Slice(Group group, int track, uint64_t from_ns, uint64_t to_ns,
             const std::string& name, const std::string& fields)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Line(const std::string& json) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Whether to say nothing: before and after runs, and past the end.
  bool Silent() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The track of that name, named when it is first asked for.
  int Track(Group group, const std::string& name)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // One of those for submissions, so that those of several threads at a time
  // lie beside each other.
  int LaneFrom(uint64_t from_ns, uint64_t to_ns)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::string NameOf(uint8_t place) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::string BoName(uint64_t bo) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::string Arrow(uint32_t submission) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void AddDevice(Device& device) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Sample(uint64_t time_ns) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void SampleDevice(Device& device, uint64_t time_ns)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void SampleBinder(const std::string& name, DmaBinder& binder,
                    uint64_t time_ns) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Counter(Group group, const std::string& name, uint64_t time_ns,
               uint64_t value) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Copied(const Event& event) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // With an arrow from the submission that it was for, whose slice must be
  // written by then.
  void Evicted(const Event& event, bool arrow)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  int Process(Group group) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return machines_ * kGroups + group;
  }

  const uint64_t max_events_;
  Mutex mutex_;
  OutputFile file_ ABSL_GUARDED_BY(mutex_);
  uint64_t lines_ ABSL_GUARDED_BY(mutex_) = 0;
  std::string ended_at_ ABSL_GUARDED_BY(mutex_);
  std::string run_ ABSL_GUARDED_BY(mutex_);
  int machines_ ABSL_GUARDED_BY(mutex_) = 0;  // begun
  int machines_of_run_ ABSL_GUARDED_BY(mutex_) = 0;
  Host* host_ ABSL_GUARDED_BY(mutex_) = nullptr;  // null: it has ended
  std::vector<Device*> devices_ ABSL_GUARDED_BY(mutex_);
  // The first one's, whose types have no other name.
  std::string first_device_ ABSL_GUARDED_BY(mutex_);
  uint64_t began_ns_ ABSL_GUARDED_BY(mutex_) = 0;
  std::vector<uint64_t> lane_ends_ns_ ABSL_GUARDED_BY(mutex_);
  uint64_t frame_ ABSL_GUARDED_BY(mutex_) = 0;
  std::map<std::pair<int, std::string>, int> tracks_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, uint64_t> counters_ ABSL_GUARDED_BY(mutex_);
  // Evictions whose submission has no slice yet, by its number.
  std::map<uint32_t, std::vector<Event>> waiting_ ABSL_GUARDED_BY(mutex_);
  // Of bos that have another number there.
  std::unordered_map<uint64_t, uint64_t> trace_bos_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace twostep

#endif  // CLI_PERFETTO_TRACE_H_
