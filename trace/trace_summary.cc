#include "twostep/trace/trace_summary.h"

#include <algorithm>
#include <memory>
#include <vector>

#include "twostep/machine/types.h"
#include "twostep/trace/trace_reader.h"

namespace twostep {
namespace {

uint64_t AddUpTo64Bits(uint64_t a, uint64_t b) {
  uint64_t sum;
  return __builtin_add_overflow(a, b, &sum) ? ~uint64_t{0} : sum;
}

// Sums of the same bos, as recorded and in whole pages. The reader bounds live
// bos, but nothing bounds those that come and go within a frame.
struct Sum {
  uint64_t bytes = 0;
  uint64_t paged_bytes = 0;

  void Add(uint64_t bo_bytes) {
    bytes = AddUpTo64Bits(bytes, bo_bytes);
    paged_bytes =
        AddUpTo64Bits(paged_bytes, PagesToBytes(BytesToPages(bo_bytes)));
  }
  void Subtract(uint64_t bo_bytes) {
    bytes -= bo_bytes;
    paged_bytes -= PagesToBytes(BytesToPages(bo_bytes));
  }
  void Raise(const Sum& other) {
    bytes = std::max(bytes, other.bytes);
    paged_bytes = std::max(paged_bytes, other.paged_bytes);
  }
};

class Summarizer {
 public:
  explicit Summarizer(TraceSummary* summary) : summary_(*summary) {}

  void Add(const TraceRecord& record) {
    ++summary_.records;
    switch (record.kind) {
      case TraceRecord::Kind::kCreate:
        Create(record);
        break;
      case TraceRecord::Kind::kDestroy:
        live_.Subtract(record.bytes);
        --live_bos_;
        break;
      case TraceRecord::Kind::kSubmit:
        Submit(record);
        break;
      case TraceRecord::Kind::kFrameEnd:
        ++summary_.frames;
        largest_frame_.Raise(frame_);
        frame_ = Sum{};
        break;
      case TraceRecord::Kind::kWrite:
      case TraceRecord::Kind::kRead:
        break;
    }
  }

  void Finish() {
    summary_.peak_live_bytes = peak_.bytes;
    summary_.largest_frame_bytes = largest_frame_.bytes;
    summary_.largest_submission_bytes = largest_submission_.bytes;
    const Sum& whole = summary_.frames == 0 ? peak_ : largest_frame_;
    const uint64_t half = PagesToBytes(BytesToPages(whole.paged_bytes / 2));
    summary_.default_vram_bytes =
        std::max({half, largest_submission_.paged_bytes, kPageSize});
  }

 private:
  struct Bo {
    uint64_t bytes = 0;
    uint64_t used_in_frame = 0;  // the number of the frame, from 1
  };

  void Create(const TraceRecord& record) {
    ++summary_.bos;
    if (record.slot >= bos_.size()) bos_.resize(record.slot + size_t{1});
    bos_[record.slot] = Bo{.bytes = record.bytes};
    live_.Add(record.bytes);
    peak_.Raise(live_);
    ++live_bos_;
    summary_.peak_live_bos = std::max(summary_.peak_live_bos, live_bos_);
  }

  void Submit(const TraceRecord& record) {
    ++summary_.submissions;
    summary_.contexts =
        std::max(summary_.contexts, uint64_t{record.context_index} + 1);
    const uint64_t frame = summary_.frames + 1;
    Sum submission;
    for (const TraceUse& use : record.uses) {
      Bo& bo = bos_[use.slot];
      submission.Add(bo.bytes);
      if (bo.used_in_frame != frame) frame_.Add(bo.bytes);
      bo.used_in_frame = frame;
    }
    largest_submission_.Raise(submission);
  }

  TraceSummary& summary_;
  std::vector<Bo> bos_;  // by slot
  uint64_t live_bos_ = 0;
  Sum live_;
  Sum peak_;
  Sum frame_;
  Sum largest_frame_;
  Sum largest_submission_;
};

}  // namespace

absl::StatusOr<TraceSummary> Summarize(const std::string& path) {
  absl::StatusOr<std::unique_ptr<TraceReader>> reader = TraceReader::Open(path);
  if (!reader.ok()) return reader.status();
  TraceSummary summary;
  summary.program = (*reader)->program();
  summary.scene = (*reader)->scene();
  Summarizer summarizer(&summary);
  TraceRecord record;
  while (true) {
    absl::StatusOr<bool> more = (*reader)->Next(&record);
    if (!more.ok()) return more.status();
    if (!*more) break;
    summarizer.Add(record);
  }
  summarizer.Finish();
  return summary;
}

}  // namespace twostep
