#ifndef CLI_PERFETTO_TRACE_H_
#define CLI_PERFETTO_TRACE_H_

// Writes a run down as Chrome trace events in JSON, which ui.perfetto.dev and
// chrome://tracing show: docs/events.md says what is on which track.

#include <fstream>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "twostep/lab/run_observer.h"
#include "twostep/machine/sync.h"

namespace twostep {

class PerfettoTrace : public RunObserver {
 public:
  explicit PerfettoTrace(const std::string& path);

  // Each time this is called the tracks begin anew, as those of another
  // machine.
  void Began(Host& host, Device& device) override;
  void Happened(const Event& event) override;
  void Submitted(const Job& job) override;
  void Named(uint64_t, uint64_t) override {}
  void FrameEnded() override;
  void Ending() override;

  // Completes the file. kInvalidArgument when not all could be written.
  absl::Status Finish();

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
  // The track of that name, named when it is first asked for.
  int Track(Group group, const std::string& name)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Sample(uint64_t time_ns) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
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

  const std::string path_;
  Mutex mutex_;
  std::ofstream file_ ABSL_GUARDED_BY(mutex_);
  bool first_ ABSL_GUARDED_BY(mutex_) = true;
  int machines_ ABSL_GUARDED_BY(mutex_) = 0;      // begun
  Host* host_ ABSL_GUARDED_BY(mutex_) = nullptr;  // null: it has ended
  Device* device_ ABSL_GUARDED_BY(mutex_) = nullptr;
  uint64_t frame_ ABSL_GUARDED_BY(mutex_) = 0;
  std::map<std::pair<int, std::string>, int> tracks_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, uint64_t> counters_ ABSL_GUARDED_BY(mutex_);
  // Evictions whose submission has no slice yet, by its number.
  std::map<uint32_t, std::vector<Event>> waiting_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace twostep

#endif  // CLI_PERFETTO_TRACE_H_
