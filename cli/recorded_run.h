#ifndef CLI_RECORDED_RUN_H_
#define CLI_RECORDED_RUN_H_

// Reads what a RunRecorder wrote, a line at a time: a run may be larger than
// memory.

#include <cstdint>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"

namespace twostep {

// A line between the first and the last. Fields that it lacks are 0 or empty.
struct RecordedLine {
  struct Skipped {
    uint64_t reserved = 0;
    uint64_t mine = 0;
    uint64_t stuck = 0;
    uint64_t protected_bos = 0;
    uint64_t unhelpful = 0;
    friend bool operator==(const Skipped&, const Skipped&) = default;
  };

  uint64_t time_ns = 0;
  uint64_t frame = 0;
  uint64_t submission = 0;
  // The name of an EventKind; or job, name, frame.
  std::string event;
  uint64_t bo = 0;
  uint64_t trace_bo = 0;
  uint64_t bytes = 0;
  std::string client;
  uint64_t for_bo = 0;
  std::string limit;
  std::string of;
  uint64_t pass = 0;
  std::string from;
  std::string to;
  std::string timeline;  // or the queue of a job
  uint64_t point = 0;
  uint64_t waited_ns = 0;
  uint64_t pinned_bytes = 0;
  Skipped skipped;
  std::string error;
  uint64_t starts_ns = 0;
  uint64_t ends_ns = 0;
  std::vector<uint64_t> reads;
  std::vector<uint64_t> writes;
  friend bool operator==(const RecordedLine&, const RecordedLine&) = default;
};

class RecordedRun {
 public:
  // Errors here and below: kNotFound when the file cannot be opened,
  // kInvalidArgument `FILE: ...` when it is no recorded run, `FILE:LINE: ...`
  // for a line that is not well-formed or a file that ends before its end.
  static absl::StatusOr<std::unique_ptr<RecordedRun>> Open(
      const std::string& path);
  // Whether the file says that it is a recorded run.
  static bool IsOne(const std::string& path);

  // False at the end; head() and end() are known then.
  absl::StatusOr<bool> Next(RecordedLine* out);

  const nlohmann::json& head() const { return head_; }
  // What the run came to; null when it failed, as error() says.
  const nlohmann::json& figures() const { return figures_; }
  const std::string& error() const { return error_; }
  // Of the line that was read last, from 1 on.
  uint64_t line() const { return line_; }

 private:
  explicit RecordedRun(const std::string& path) : path_(path), file_(path) {}
  absl::StatusOr<nlohmann::json> NextJson();
  absl::Status Bad(const std::string& why) const;

  const std::string path_;
  std::ifstream file_;
  uint64_t line_ = 0;
  nlohmann::json head_;
  nlohmann::json figures_;
  std::string error_;
};

}  // namespace twostep

#endif  // CLI_RECORDED_RUN_H_
