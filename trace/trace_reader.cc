#include "twostep/trace/trace_reader.h"

#include <array>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "twostep/trace/trace_text.h"

namespace twostep {
namespace {

constexpr absl::string_view kFirstLine = "#botrace 1";

constexpr std::array<uint8_t, 256> kUsageOf = [] {
  std::array<uint8_t, 256> usage = {};
  usage['v'] = kUsageVertex;
  usage['i'] = kUsageIndex;
  usage['u'] = kUsageUniform;
  usage['t'] = kUsageTexture;
  usage['r'] = kUsageRenderTarget;
  usage['s'] = kUsageStorage;
  usage['o'] = kUsageOther;
  return usage;
}();

// The digits at *at. False if there are none, if they begin with a needless
// zero, or if the number takes more than 64 bits.
inline bool Digits(const char** at, const char* end, uint64_t* value) {
  const char* const begin = *at;
  const char* p = begin;
  uint64_t v = 0;
  for (; p != end; ++p) {
    const unsigned digit = static_cast<unsigned char>(*p) - unsigned{'0'};
    if (digit > 9) break;
    v = v * 10 + digit;
  }
  *at = p;
  *value = v;
  const auto length = p - begin;
  if (length < 20) return length == 1 || (length > 1 && *begin != '0');
  // Of the numbers of 20 digits, those that wrapped around 2^64 are below
  // 10^19 now, or begin with more than a 1.
  return length == 20 && *begin == '1' && v >= 10'000'000'000'000'000'000u;
}

const char* FieldEnd(const char* field, const char* end) {
  while (field != end && *field != ' ') ++field;
  return field;
}

absl::string_view Between(const char* begin, const char* end) {
  return absl::string_view(begin, static_cast<size_t>(end - begin));
}

}  // namespace

TraceReader::TraceReader(std::unique_ptr<LineSource> lines)
    : lines_(std::move(lines)) {}

absl::StatusOr<std::unique_ptr<TraceReader>> TraceReader::Open(
    const std::string& path) {
  absl::StatusOr<std::unique_ptr<LineSource>> lines = LineSource::Open(path);
  if (!lines.ok()) return lines.status();
  std::unique_ptr<TraceReader> reader(new TraceReader(*std::move(lines)));
  absl::Status head = reader->ReadHead();
  if (!head.ok()) return head;
  return reader;
}

absl::Status TraceReader::ReadHead() {
  absl::string_view line;
  const LineSource::Result first = lines_->Next(&line);
  if (first == LineSource::Result::kError) return lines_->status();
  if (first == LineSource::Result::kEnd) {
    line = "";
  } else if (line == kFirstLine) {
    while (lines_->Next(&line) == LineSource::Result::kLine) {
      if (!absl::StartsWith(line, "#")) {
        lines_->PutBack();
        break;
      }
      if (!ParseComment(line, /*head=*/true)) return status_;
    }
    return lines_->status();
  }
  Bad(absl::StrCat("the first line is ", QuoteForError(line), ", expected ",
                   QuoteForError(kFirstLine), ": not a trace of this format"));
  return status_;
}

absl::StatusOr<bool> TraceReader::Next(TraceRecord* out) {
  absl::string_view line;
  while (status_.ok()) {
    const LineSource::Result result = lines_->Next(&line);
    if (result == LineSource::Result::kEnd) return false;
    if (result == LineSource::Result::kError) {
      status_ = lines_->status();
    } else if (!line.empty() && line[0] == '#') {
      ParseComment(line, /*head=*/false);
    } else if (ParseRecord(line, out)) {
      return true;
    }
  }
  return status_;
}

bool TraceReader::ParseComment(absl::string_view line, bool head) {
  const size_t colon = line.find(':');
  if (line.size() < 3 || line[1] != ' ' || line[2] == ' ' || line[2] == ':' ||
      colon == absl::string_view::npos) {
    form_ = "# key: value";
    return BadForm(absl::StrCat(QuoteForError(line), " is no comment"));
  }
  if (!IsPlainText(line)) {
    return Bad(absl::StrCat("the comment ", QuoteForError(line),
                            " holds control characters or is no UTF-8"));
  }
  if (!head) return true;
  const absl::string_view key = line.substr(2, colon - 2);
  absl::string_view value = line.substr(colon + 1);
  absl::ConsumePrefix(&value, " ");
  if (key == "program" && program_.empty()) program_ = std::string(value);
  if (key == "scene" && scene_.empty()) scene_ = std::string(value);
  return true;
}

bool TraceReader::ParseRecord(absl::string_view line, TraceRecord* out) {
  at_ = line.data();
  end_ = at_ + line.size();
  out->usage = 0;
  out->slot = 0;
  out->context_index = 0;
  out->context = 0;
  out->line = lines_->line_number();
  out->bo = 0;
  out->offset = 0;
  out->bytes = 0;
  out->uses.clear();
  const char kind = at_ == end_ ? '\0' : *at_++;
  switch (kind) {
    case 'c':
      return ParseCreate(out);
    case 'w':
      out->kind = TraceRecord::Kind::kWrite;
      form_ = "w BO OFFSET BYTES";
      return ParseTransfer(out);
    case 'r':
      out->kind = TraceRecord::Kind::kRead;
      form_ = "r BO OFFSET BYTES";
      return ParseTransfer(out);
    case 'g':
      return ParseSubmit(out);
    case 'f':
      out->kind = TraceRecord::Kind::kFrameEnd;
      form_ = "f";
      return AtEnd();
    case 'd':
      return ParseDestroy(out);
    default:
      form_ = "c, w, r, g, f, d or #";
      if (line.empty()) return BadForm("the line is empty");
      return BadForm(absl::StrCat(
          "unknown record ",
          QuoteForError(Between(line.data(), FieldEnd(line.data(), end_)))));
  }
}

bool TraceReader::ParseCreate(TraceRecord* out) {
  out->kind = TraceRecord::Kind::kCreate;
  form_ = "c BO BYTES USAGE";
  if (!Number("bo id", &out->bo) || !Number("size of the bo", &out->bytes) ||
      !ParseUsage(&out->usage) || !AtEnd()) {
    return false;
  }
  if (out->bytes == 0 || out->bytes > kMaxBoBytes) {
    return Bad(absl::StrCat("bo ", out->bo, " of ", out->bytes,
                            " bytes: a bo has 1 to ", kMaxBoBytes));
  }
  if (slot_of_.size() == kMaxLiveBos) {
    return Bad(absl::StrCat("bo ", out->bo, " would be one more than ",
                            kMaxLiveBos, " live bos, the limit"));
  }
  const bool forgotten = used_ids_.Forgotten(out->bo);
  if (!used_ids_.Insert(out->bo)) {
    const char* const why =
        slot_of_.contains(out->bo) ? " is alive already: ids are never reused"
        : forgotten ? " comes too late: it was used before, or lies in one of "
                      "more gaps between ids than are kept"
                    : " was destroyed before: ids are never reused";
    return Bad(absl::StrCat("bo ", out->bo, why));
  }
  if (free_slots_.empty()) {
    out->slot = static_cast<uint32_t>(bos_.size());
    bos_.emplace_back();
  } else {
    out->slot = free_slots_.back();
    free_slots_.pop_back();
  }
  bos_[out->slot] = Bo{.bytes = out->bytes};
  slot_of_.emplace(out->bo, out->slot);
  return true;
}

bool TraceReader::ParseTransfer(TraceRecord* out) {
  if (!LiveBo(&out->bo, &out->slot) || !Number("offset", &out->offset) ||
      !Number("number of bytes", &out->bytes) || !AtEnd()) {
    return false;
  }
  const uint64_t size = bos_[out->slot].bytes;
  if (out->bytes == 0 || out->offset > size ||
      out->bytes > size - out->offset) {
    return BadRange(*out, size);
  }
  return true;
}

bool TraceReader::ParseSubmit(TraceRecord* out) {
  out->kind = TraceRecord::Kind::kSubmit;
  form_ = "g CTX BO BO* ...";
  if (!Number("context", &out->context)) return false;
  // A number of its own even for a line that turns out bad: nothing follows.
  ++submissions_;
  do {
    if (!ParseUse(out)) return false;
  } while (at_ != end_);
  return Context(out);
}

bool TraceReader::ParseUse(TraceRecord* out) {
  if (at_ == end_) return BadForm("the submission names no bo");
  if (*at_ != ' ') return AtEnd();
  const char* const field = ++at_;
  TraceUse use;
  const bool is_number = Digits(&at_, end_, &use.bo);
  if (is_number && at_ != end_ && *at_ == '*') {
    use.written = true;
    ++at_;
  }
  if (!is_number || (at_ != end_ && *at_ != ' ')) {
    return BadNumber("bo id (with a * if the GPU writes the bo)", field);
  }
  const auto found = slot_of_.find(use.bo);
  if (found == slot_of_.end()) return BadBo(use.bo);
  use.slot = found->second;
  Bo& bo = bos_[use.slot];
  if (bo.submission == submissions_) {
    out->uses[bo.use].written |= use.written;
    return true;
  }
  bo.submission = submissions_;
  bo.use = static_cast<uint32_t>(out->uses.size());
  out->uses.push_back(use);
  return true;
}

bool TraceReader::Context(TraceRecord* out) {
  if (index_of_context_.empty() || out->context != last_context_) {
    const auto next = static_cast<uint32_t>(index_of_context_.size());
    auto found = index_of_context_.find(out->context);
    if (found == index_of_context_.end()) {
      if (next == kMaxContexts) {
        return Bad(absl::StrCat("context ", out->context,
                                " would be one more than ", kMaxContexts,
                                " contexts, the limit"));
      }
      found = index_of_context_.emplace(out->context, next).first;
    }
    last_context_ = out->context;
    last_context_index_ = found->second;
  }
  out->context_index = last_context_index_;
  return true;
}

bool TraceReader::ParseDestroy(TraceRecord* out) {
  out->kind = TraceRecord::Kind::kDestroy;
  form_ = "d BO";
  if (!LiveBo(&out->bo, &out->slot) || !AtEnd()) return false;
  out->bytes = bos_[out->slot].bytes;
  slot_of_.erase(out->bo);
  free_slots_.push_back(out->slot);
  return true;
}

bool TraceReader::ParseUsage(uint8_t* usage) {
  const char* const field = at_ == end_ ? at_ : at_ + 1;
  const char* const field_end = FieldEnd(field, end_);
  if (at_ == end_ || field == field_end) {
    return BadForm("the usage is missing: any of v i u t r s o");
  }
  if (*at_ != ' ') return AtEnd();
  for (const char* p = field; p != field_end; ++p) {
    const uint8_t bit = kUsageOf[static_cast<unsigned char>(*p)];
    if (bit == 0 || (*usage & bit) != 0) {
      return BadForm(absl::StrCat("usage ",
                                  QuoteForError(Between(field, field_end)),
                                  bit == 0 ? ": expected any of v i u t r s o"
                                           : ": a letter comes twice"));
    }
    *usage |= bit;
  }
  at_ = field_end;
  return true;
}

inline bool TraceReader::Number(const char* what, uint64_t* value) {
  if (at_ == end_) return BadForm(absl::StrCat("the ", what, " is missing"));
  if (*at_ != ' ') return AtEnd();
  const char* const field = ++at_;
  if (!Digits(&at_, end_, value) || (at_ != end_ && *at_ != ' ')) {
    return BadNumber(what, field);
  }
  return true;
}

inline bool TraceReader::LiveBo(uint64_t* bo, uint32_t* slot) {
  if (!Number("bo id", bo)) return false;
  const auto found = slot_of_.find(*bo);
  if (found == slot_of_.end()) return BadBo(*bo);
  *slot = found->second;
  return true;
}

inline bool TraceReader::AtEnd() {
  if (at_ == end_) return true;
  return BadForm(
      absl::StrCat("unexpected ", QuoteForError(Between(at_, end_))));
}

bool TraceReader::Bad(absl::string_view reason) {
  status_ = lines_->Bad(reason);
  return false;
}

bool TraceReader::BadForm(absl::string_view reason) {
  return Bad(absl::StrCat(reason, " (expected: ", form_, ")"));
}

bool TraceReader::BadNumber(const char* what, const char* field) {
  const absl::string_view text = Between(field, FieldEnd(field, end_));
  if (text.empty()) {
    return BadForm(absl::StrCat("the ", what,
                                " is missing after a space: fields ",
                                "are separated by exactly one"));
  }
  return BadForm(absl::StrCat(what, " ", QuoteForError(text),
                              ": not a decimal number from 0 to ", ~uint64_t{0},
                              " without sign or leading zeros"));
}

bool TraceReader::BadBo(uint64_t bo) {
  return Bad(absl::StrCat("bo ", bo,
                          used_ids_.Contains(bo)
                              ? " is used after it was destroyed"
                              : " is used before it was created"));
}

bool TraceReader::BadRange(const TraceRecord& record, uint64_t bo_bytes) {
  if (record.bytes == 0) {
    return Bad(
        absl::StrCat("0 bytes of bo ", record.bo, ": expected 1 or more"));
  }
  return Bad(absl::StrCat(record.bytes, " bytes at offset ", record.offset,
                          " reach past the end of bo ", record.bo,
                          ", which has ", bo_bytes));
}

}  // namespace twostep
