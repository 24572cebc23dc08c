#ifndef CLI_RUN_RECORDER_H_
#define CLI_RUN_RECORDER_H_

// Writes a run down, a JSON object a line: docs/events.md has the format.
// RecordedRun reads it.

#include <array>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "nlohmann/json.hpp"
#include "twostep/cli/outputs.h"
#include "twostep/lab/run_observer.h"
#include "twostep/machine/sync.h"

namespace twostep {

class RunRecorder : public RunObserver {
 public:
  // `head`: whatever is to be known of the run beforehand.
  RunRecorder(const std::string& path, const nlohmann::ordered_json& head);

  void Began(Host& host, Device& device) override;
  void Happened(const Event& event) override;
  void Submitted(const Job& job) override;
  void Named(uint64_t bo, uint64_t trace_bo) override;
  void FrameEnded() override;
  void Ending() override;

  // The last line: what the run came to, or, under "error", why it did not.
  // kInvalidArgument when not all could be written.
  absl::Status Finish(const nlohmann::ordered_json& figures);
  absl::Status Finish(const absl::Status& error);

 private:
  absl::Status FinishWith(const char* key, const nlohmann::ordered_json& value);
  // Begins a line; End ends it.
  void Begin(uint64_t time_ns, uint32_t submission, const char* what)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Add(absl::string_view key, uint64_t value)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Texts as they stand in JSON; nothing where they are empty.
  void AddText(absl::string_view key, const std::string& quoted)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void AddSearch(const Event& event) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void End() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  const std::string& Place(uint8_t number)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  Host* host_ = nullptr;
  bool ending_ = false;
  Mutex mutex_;
  OutputFile file_ ABSL_GUARDED_BY(mutex_);
  std::string line_ ABSL_GUARDED_BY(mutex_);
  uint64_t lines_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t frame_ ABSL_GUARDED_BY(mutex_) = 0;
  // Quoted, as they were asked for.
  std::array<std::string, 256> places_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace twostep

#endif  // CLI_RUN_RECORDER_H_
