#ifndef TRACE_TRACE_READER_H_
#define TRACE_TRACE_READER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "twostep/trace/line_source.h"
#include "twostep/trace/used_ids.h"

namespace twostep {

// What a bo is for, as its creator said: a set of these.
enum TraceUsage : uint8_t {
  kUsageVertex = 1 << 0,        // v
  kUsageIndex = 1 << 1,         // i
  kUsageUniform = 1 << 2,       // u
  kUsageTexture = 1 << 3,       // t
  kUsageRenderTarget = 1 << 4,  // r
  kUsageStorage = 1 << 5,       // s: storage or staging
  kUsageOther = 1 << 6,         // o
};

// A bo in a submission. `slot` is as in TraceRecord.
struct TraceUse {
  uint64_t bo = 0;
  uint32_t slot = 0;
  bool written = false;
};

// One line of a trace. Fields that its kind does not name are 0 or empty.
struct TraceRecord {
  enum class Kind : uint8_t {
    kCreate,    // bo, slot, bytes, usage
    kWrite,     // bo, slot, offset, bytes
    kRead,      // bo, slot, offset, bytes
    kSubmit,    // context, context_index, uses
    kFrameEnd,  //
    kDestroy,   // bo, slot, bytes (the bo's size)
  };

  Kind kind = Kind::kFrameEnd;
  uint8_t usage = 0;  // of TraceUsage
  // A live bo's place in an array: below the largest number of bos that were
  // alive at once so far; given to another bo after the destroy.
  uint32_t slot = 0;
  // Contexts numbered from 0 by their first submission.
  uint32_t context_index = 0;
  uint64_t context = 0;
  uint64_t line = 0;
  uint64_t bo = 0;
  uint64_t offset = 0;
  uint64_t bytes = 0;
  // Distinct bos in the order of their first mention; each is written if any
  // mention of it was marked.
  std::vector<TraceUse> uses;
};

// Reads a botrace 1 file, plain or zstd (told by its content), and checks all
// of it: the grammar, that bos are created once, used while they live, and
// within their size. Holds the live bos, one line, and the ranges of ids used
// so far (see UsedIds); never the file. After the first error it is at its end.
// Thread-compatible.
//
// Where the format leaves room: numbers have neither sign nor leading zeros; a
// submission names at least one bo, and may name one twice (merged, see
// TraceRecord::uses); a comment has a key and a colon, and its text is UTF-8
// without control characters; a line ends with '\n', which the last may lack.
class TraceReader {
 public:
  static constexpr uint64_t kMaxBoBytes = uint64_t{1} << 40;  // 1 TiB
  static constexpr uint32_t kMaxLiveBos = uint32_t{1} << 20;
  static constexpr uint32_t kMaxContexts = uint32_t{1} << 16;

  // Reads the first line and the comments at the head. kNotFound if the file
  // cannot be opened (`PATH: reason`), else as Next().
  static absl::StatusOr<std::unique_ptr<TraceReader>> Open(
      const std::string& path);

  // True: *out is the next record. False: the trace has ended. An error is
  // kInvalidArgument, `PATH:LINE: reason`, and comes again at the next call;
  // nothing of the bad line has been applied, and *out is unspecified. Reusing
  // one record keeps its vector's memory.
  absl::StatusOr<bool> Next(TraceRecord* out);

  // From the comments before the first record; empty if they do not say. The
  // first mention counts.
  const std::string& program() const { return program_; }
  const std::string& scene() const { return scene_; }

  // Live bos now; slots in use or free.
  size_t live_bos() const { return slot_of_.size(); }
  size_t slots() const { return bos_.size(); }

  // For a progress bar: LineSource::part.
  double part() const { return lines_->part(); }

 private:
  struct Bo {
    uint64_t bytes = 0;
    // The last submission that named it, by number, and where in its uses.
    uint64_t submission = 0;
    uint32_t use = 0;
  };

  explicit TraceReader(std::unique_ptr<LineSource> lines);

  absl::Status ReadHead();
  // These return false after an error, which is in status_ then.
  bool ParseComment(absl::string_view line, bool head);
  bool ParseRecord(absl::string_view line, TraceRecord* out);
  bool ParseCreate(TraceRecord* out);
  bool ParseTransfer(TraceRecord* out);
  bool ParseSubmit(TraceRecord* out);
  bool ParseUse(TraceRecord* out);
  bool ParseDestroy(TraceRecord* out);
  bool ParseUsage(uint8_t* usage);
  bool Number(const char* what, uint64_t* value);
  bool LiveBo(uint64_t* bo, uint32_t* slot);
  bool Context(TraceRecord* out);
  bool AtEnd();

  bool Bad(absl::string_view reason);
  bool BadForm(absl::string_view reason);  // says the form a line must have
  bool BadNumber(const char* what, const char* field);
  bool BadBo(uint64_t bo);
  bool BadRange(const TraceRecord& record, uint64_t bo_bytes);

  const std::unique_ptr<LineSource> lines_;
  absl::Status status_;
  std::string program_;
  std::string scene_;

  // The rest of the line being parsed, and the form it must have.
  const char* at_ = nullptr;
  const char* end_ = nullptr;
  const char* form_ = "";

  UsedIds used_ids_;
  absl::flat_hash_map<uint64_t, uint32_t> slot_of_;
  std::vector<Bo> bos_;  // by slot
  std::vector<uint32_t> free_slots_;
  uint64_t submissions_ = 0;
  absl::flat_hash_map<uint64_t, uint32_t> index_of_context_;
  uint64_t last_context_ = 0;
  uint32_t last_context_index_ = 0;
};

}  // namespace twostep

#endif  // TRACE_TRACE_READER_H_
