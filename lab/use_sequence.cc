#include "twostep/lab/use_sequence.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <memory>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "twostep/machine/types.h"
#include "twostep/trace/byte_source.h"
#include "twostep/trace/trace_reader.h"

namespace twostep {
namespace {

constexpr size_t kRecordBytes = 24;
constexpr absl::string_view kBotrace = "#botrace";

absl::Status TooMany(const std::string& path) {
  return absl::InvalidArgumentError(
      absl::StrCat(path, ": more than 2^32 - 1 objects or submissions"));
}

uint64_t LittleEndian(const char* from, int bytes) {
  uint64_t value = 0;
  for (int i = bytes; i-- > 0;) {
    value = value << 8 | static_cast<unsigned char>(from[i]);
  }
  return value;
}

class HistoryReader {
 public:
  explicit HistoryReader(TraceHistory* history) : history_(*history) {
    history_.uses.step_begin.push_back(0);
  }

  // False when there are too many.
  bool Add(const TraceRecord& record) {
    ++history_.records;
    switch (record.kind) {
      case TraceRecord::Kind::kCreate:
        return Create(record);
      case TraceRecord::Kind::kWrite:
      case TraceRecord::Kind::kRead:
        if (!used_[bo_at_[record.slot]]) {
          history_.contents_first[bo_at_[record.slot]] = true;
        }
        return true;
      case TraceRecord::Kind::kSubmit:
        return Submit(record);
      case TraceRecord::Kind::kDestroy:
        live_bytes_ -= record.bytes;
        history_.destroyed_before[bo_at_[record.slot]] =
            static_cast<uint32_t>(history_.uses.steps());
        return true;
      case TraceRecord::Kind::kFrameEnd:
        return true;
    }
    return true;
  }

  void Finish() {
    const auto end = static_cast<uint32_t>(history_.uses.steps());
    for (uint32_t& step : history_.destroyed_before) step = std::min(step, end);
  }

 private:
  static constexpr uint32_t kMost = std::numeric_limits<uint32_t>::max();

  bool Create(const TraceRecord& record) {
    if (history_.uses.bytes.size() == kMost) return false;
    if (record.slot >= bo_at_.size()) bo_at_.resize(record.slot + size_t{1});
    bo_at_[record.slot] = static_cast<uint32_t>(history_.uses.bytes.size());
    history_.uses.bytes.push_back(PagesToBytes(BytesToPages(record.bytes)));
    history_.contents_first.push_back(false);
    history_.destroyed_before.push_back(kMost);
    used_.push_back(false);
    live_bytes_ += record.bytes;
    history_.peak_live_bytes = std::max(history_.peak_live_bytes, live_bytes_);
    return true;
  }

  bool Submit(const TraceRecord& record) {
    UseSequence& uses = history_.uses;
    if (uses.steps() + 1 == kMost) return false;
    uint64_t bytes = 0;
    for (const TraceUse& use : record.uses) {
      const uint32_t bo = bo_at_[use.slot];
      uses.objects.push_back(bo);
      used_[bo] = true;
      bytes += uses.bytes[bo];
    }
    uses.step_begin.push_back(uses.objects.size());
    history_.largest_submission_bytes =
        std::max(history_.largest_submission_bytes, bytes);
    return true;
  }

  TraceHistory& history_;
  std::vector<uint32_t> bo_at_;  // by slot
  std::vector<bool> used_;
  uint64_t live_bytes_ = 0;
};

absl::StatusOr<UseSequence> RequestsOfBotrace(const std::string& path) {
  auto reader = TraceReader::Open(path);
  if (!reader.ok()) return reader.status();
  UseSequence uses;
  std::vector<uint32_t> bo_at;  // by slot
  TraceRecord record;
  for (;;) {
    absl::StatusOr<bool> more = (*reader)->Next(&record);
    if (!more.ok()) return more.status();
    if (!*more) return uses;
    if (record.kind == TraceRecord::Kind::kCreate) {
      if (uses.bytes.size() == std::numeric_limits<uint32_t>::max()) {
        return TooMany(path);
      }
      if (record.slot >= bo_at.size()) bo_at.resize(record.slot + size_t{1});
      bo_at[record.slot] = static_cast<uint32_t>(uses.bytes.size());
      uses.bytes.push_back(record.bytes);
    }
    for (const TraceUse& use : record.uses) {
      uses.objects.push_back(bo_at[use.slot]);
    }
  }
}

absl::StatusOr<UseSequence> RequestsOfOracleGeneral(const std::string& path,
                                                    ByteSource& source) {
  UseSequence uses;
  absl::flat_hash_map<uint64_t, uint32_t> index_of;
  std::vector<char> buffer(kRecordBytes * 4096);
  size_t held = 0;
  uint64_t offset = 0;  // of buffer[0]
  for (;;) {
    absl::StatusOr<size_t> read =
        source.Read(buffer.data() + held, buffer.size() - held);
    if (!read.ok()) {
      return absl::InvalidArgumentError(absl::StrCat(
          path, ": at byte ", offset + held, ": ", read.status().message()));
    }
    held += *read;
    const size_t whole = held / kRecordBytes * kRecordBytes;
    for (size_t at = 0; at < whole; at += kRecordBytes) {
      const uint64_t object = LittleEndian(&buffer[at + 4], 8);
      const uint64_t bytes = LittleEndian(&buffer[at + 12], 4);
      if (bytes == 0) continue;
      auto [it, fresh] = index_of.try_emplace(
          object, static_cast<uint32_t>(uses.bytes.size()));
      if (fresh) uses.bytes.push_back(bytes);
      if (uses.bytes.size() > std::numeric_limits<uint32_t>::max()) {
        return TooMany(path);
      }
      uses.objects.push_back(it->second);
    }
    offset += whole;
    held -= whole;
    std::memmove(buffer.data(), buffer.data() + whole, held);
    if (*read != 0) continue;
    if (held != 0 || uses.objects.empty()) {
      return absl::InvalidArgumentError(absl::StrCat(
          path, ": neither a botrace (no '#botrace 1' in its first line) nor ",
          "oracleGeneral (", offset + held, " bytes, not records of ",
          kRecordBytes, ")"));
    }
    return uses;
  }
}

}  // namespace

absl::StatusOr<TraceHistory> ReadTraceHistory(const std::string& path) {
  auto reader = TraceReader::Open(path);
  if (!reader.ok()) return reader.status();
  TraceHistory history;
  HistoryReader history_reader(&history);
  TraceRecord record;
  for (;;) {
    absl::StatusOr<bool> more = (*reader)->Next(&record);
    if (!more.ok()) return more.status();
    if (!*more) break;
    if (!history_reader.Add(record)) return TooMany(path);
  }
  history_reader.Finish();
  return history;
}

absl::StatusOr<UseSequence> ReadCacheRequests(const std::string& path) {
  auto source = ByteSource::Open(path);
  if (!source.ok()) {
    return absl::Status(source.status().code(),
                        absl::StrCat(path, ": ", source.status().message()));
  }
  std::string head(kBotrace.size(), '\0');
  absl::StatusOr<size_t> read = (*source)->Read(head.data(), head.size());
  if (read.ok() && head == kBotrace) return RequestsOfBotrace(path);
  source = ByteSource::Open(path);  // from its start again
  if (!source.ok()) return source.status();
  return RequestsOfOracleGeneral(path, **source);
}

}  // namespace twostep
