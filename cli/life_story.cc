#include "twostep/cli/life_story.h"

#include <algorithm>
#include <iterator>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "twostep/cli/figures.h"
#include "twostep/cli/recorded_run.h"

namespace twostep {
namespace {

struct KnownBo {
  uint64_t bytes = 0;
  uint64_t trace_bo = 0;
};
using KnownBos = absl::flat_hash_map<uint64_t, KnownBo>;

std::string Pages(uint64_t bytes) {
  const uint64_t pages = bytes / 4096;
  return absl::StrCat(GroupedFigure(pages), pages == 1 ? " page" : " pages");
}

std::string BoText(uint64_t bo, const KnownBos& known) {
  const auto found = known.find(bo);
  if (bo == 0) return "nobody in particular";
  if (found == known.end()) return absl::StrCat("bo ", bo);
  const uint64_t trace_bo = found->second.trace_bo;
  return absl::StrCat("bo ", bo, " (",
                      trace_bo == 0 || trace_bo == bo
                          ? ""
                          : absl::StrCat("trace ", trace_bo, ", "),
                      BytesFigure(found->second.bytes), ")");
}

std::string LimitedText(const RecordedLine& line) {
  const std::string what = line.limit == "client-host"  ? "host memory"
                           : line.limit == "client-dma" ? "DMA resources"
                                                        : "device memory";
  return absl::StrCat("because client ", line.of, " was at its limit of ",
                      what);
}

// Of a failure: what could not be had; empty where it was not for that.
std::string ForWantOf(const RecordedLine& line) {
  if (line.limit.empty()) return "";
  if (line.limit == "memory-type") {
    return absl::StrCat(", for want of room in ", line.of);
  }
  if (line.limit == "dma-type") {
    return absl::StrCat(", for want of room in what ", line.of, " has");
  }
  if (line.limit == "iova") {
    return absl::StrCat(", for want of addresses by which ", line.of,
                        " could bind it");
  }
  if (line.limit == "frames") return ", for want of page frames";
  return absl::StrCat(", ", LimitedText(line));
}

// What room was made for; empty where it was not.
std::string Because(const RecordedLine& line, const KnownBos& known) {
  if (line.event == "failure") return "";
  const std::string whom = BoText(line.for_bo, known);
  if (line.limit == "memory-type") {
    return absl::StrCat("to make room in ", line.of, " for ", whom);
  }
  if (line.limit == "dma-type") {
    return absl::StrCat("to make room in what ", line.of, " has, for ", whom);
  }
  if (line.limit == "iova") {
    return absl::StrCat("to free addresses for ", whom, ", which ", line.of,
                        " was to bind");
  }
  if (line.limit == "frames") {
    return absl::StrCat("because page frames were short for ", whom);
  }
  if (line.limit == "reclaim") return "because the host wanted frames back";
  if (line.limit == "device") return "because its device went";
  if (line.limit.empty()) return "";
  return absl::StrCat(LimitedText(line), " with ", whom);
}

std::string SkippedText(const RecordedLine& line) {
  const RecordedLine::Skipped& skipped = line.skipped;
  std::vector<std::string> parts;
  const auto add = [&](uint64_t count, const char* why) {
    if (count != 0) parts.push_back(absl::StrCat(GroupedFigure(count), why));
  };
  add(skipped.reserved, " reserved by other threads");
  add(skipped.mine, " of the same submission");
  add(skipped.stuck, " that could not go");
  add(skipped.protected_bos, " of protected clients");
  add(skipped.unhelpful, " whose going would not have helped");
  std::string text;
  if (!parts.empty()) {
    text = absl::StrCat(". Passed over: ", absl::StrJoin(parts, ", "));
  }
  if (line.pinned_bytes != 0) {
    absl::StrAppend(&text, ". ", BytesFigure(line.pinned_bytes), " of ",
                    line.event == "failure" ? line.of : line.from,
                    " were pinned");
  }
  return text;
}

// What happened to the bo, as a clause.
std::string Clause(const RecordedLine& line) {
  const std::string bytes = BytesFigure(line.bytes);
  if (line.event == "create") return absl::StrCat("created, ", bytes);
  if (line.event == "destroy") return "destroyed";
  if (line.event == "dma-bind") return absl::StrCat("bound by ", line.to);
  if (line.event == "dma-unbind") {
    return absl::StrCat("no longer bound by ", line.from);
  }
  if (line.event == "gpu-bind") return absl::StrCat("shown in ", line.to);
  if (line.event == "gpu-unbind") {
    return absl::StrCat("no longer shown in ", line.from);
  }
  if (line.event == "move") {
    return absl::StrCat("copied from ", line.from, " to ", line.to, ", ",
                        bytes);
  }
  if (line.event == "clear") {
    return absl::StrCat("given room in ", line.to, ", filled with zeros");
  }
  if (line.event == "drop") {
    return line.from.empty() ? "contents given up"
                             : absl::StrCat("contents given up in ", line.from);
  }
  if (line.event == "swap-out") return "swapped out";
  if (line.event == "swap-in") return "swapped in";
  if (line.event == "sync-for-device") {
    return absl::StrCat(Pages(line.bytes), " handed to the device");
  }
  if (line.event == "sync-for-cpu") {
    return absl::StrCat(Pages(line.bytes), " handed to the CPU");
  }
  if (line.event == "wait") {
    return absl::StrCat("waited for ", DurationFigure(line.waited_ns),
                        line.timeline.empty() ? "" : " until ", line.timeline,
                        line.timeline.empty()
                            ? ""
                            : absl::StrCat(" was done with ", line.point));
  }
  if (line.event == "failure") {
    return absl::StrCat("failed: ", line.error, ForWantOf(line),
                        SkippedText(line));
  }
  return line.event;
}

bool Moves(const RecordedLine& line) {
  static constexpr const char* kMoves[] = {
      "dma-bind", "dma-unbind", "gpu-bind", "gpu-unbind", "move",
      "clear",    "drop",       "swap-out", "swap-in",    "evict"};
  return std::find(std::begin(kMoves), std::end(kMoves), line.event) !=
         std::end(kMoves);
}

// Where a bo is, followed from line to line.
class Whereabouts {
 public:
  void Follow(const RecordedLine& line) {
    if (line.event == "dma-bind") {
      bound_ = line.to;
      if (contents_.empty()) contents_ = kFrames;
    } else if (line.event == "dma-unbind") {
      bound_.clear();
    } else if (line.event == "gpu-bind") {
      shown_ = line.to;
    } else if (line.event == "gpu-unbind") {
      shown_.clear();
    } else if (line.event == "move" || line.event == "clear") {
      contents_ = line.to == bound_ ? kFrames : line.to;
    } else if (line.event == "swap-out") {
      contents_ = line.to;
    } else if (line.event == "swap-in" ||
               (line.event == "cpu-fault" && contents_.empty())) {
      contents_ = kFrames;
    } else if (line.event == "drop") {
      contents_.clear();
    }
  }
  std::string Text() const {
    if (!shown_.empty()) {
      return absl::StrCat("in ", shown_, ", bound by ", bound_);
    }
    if (!bound_.empty()) {
      return absl::StrCat("bound by ", bound_, ", and the GPU does not see it");
    }
    if (contents_.empty()) return "nowhere, having no contents";
    if (contents_ == kFrames) return "in page frames, bound to nothing";
    return absl::StrCat("in ", contents_);
  }

 private:
  static constexpr char kFrames[] = "system";
  std::string contents_;
  std::string bound_;
  std::string shown_;
};

// Clauses that belong together: of one frame, one submission, one reason.
class Teller {
 public:
  Teller(uint64_t bo, std::optional<uint64_t> frame) : bo_(bo), at_(frame) {}

  void Add(const RecordedLine& line);
  absl::StatusOr<std::string> Story(const std::string& path,
                                    const RecordedRun& run);

 private:
  struct Sentence {
    uint64_t frame = 0;
    uint64_t submission = 0;
    uint64_t time_ns = 0;
    std::string why;
    std::string lead;  // what it comes to, where that is more than the clauses
    std::string tail;
    std::vector<std::string> clauses;
    bool moves = false;  // the bo is elsewhere, or found elsewhere, after it
    bool open = false;
  };

  void Close();
  Sentence& Open(const RecordedLine& line, const std::string& why);
  void AddUse(const RecordedLine& line);
  void CloseUses();
  void Say(const Sentence& sentence);

  const uint64_t bo_;
  const std::optional<uint64_t> at_;
  KnownBos known_;
  KnownBo mine_;
  std::string client_;
  bool found_ = false;
  bool gone_ = false;
  uint64_t named_so_ = 0;  // the bo that has bo_ as its number in the trace
  uint64_t most_ = 0;      // the highest id
  uint64_t frames_ = 0;    // begun
  Whereabouts where_;
  std::string where_then_;
  std::string last_move_;
  Sentence now_;
  RecordedLine first_use_;
  uint64_t last_use_ = 0;
  uint64_t uses_ = 0;
  uint64_t writes_ = 0;
  std::vector<std::string> lines_;
};

std::string When(uint64_t frame, uint64_t time_ns) {
  return absl::StrCat("frame ", GroupedFigure(frame), ", ",
                      DurationFigure(time_ns));
}

void Teller::Say(const Sentence& sentence) {
  std::string text = absl::StrCat(When(sentence.frame, sentence.time_ns));
  if (sentence.submission != 0) {
    absl::StrAppend(&text, ", submission ", GroupedFigure(sentence.submission));
  }
  absl::StrAppend(&text, ": ", sentence.lead);
  if (!sentence.why.empty()) {
    absl::StrAppend(&text, sentence.lead.empty() ? "" : " ", sentence.why);
  }
  if (!sentence.clauses.empty()) {
    absl::StrAppend(&text,
                    sentence.lead.empty() && sentence.why.empty() ? "" : ": ",
                    absl::StrJoin(sentence.clauses, "; "));
  }
  absl::StrAppend(&text, sentence.tail, ".");
  if (at_.has_value() && sentence.frame < *at_) {
    if (sentence.moves) last_move_ = text;
    return;
  }
  if (!at_.has_value() || sentence.frame == *at_) lines_.push_back(text);
}

void Teller::Close() {
  if (std::exchange(now_.open, false)) Say(now_);
}

Teller::Sentence& Teller::Open(const RecordedLine& line,
                               const std::string& why) {
  CloseUses();
  if (now_.open && (now_.frame != line.frame || now_.why != why ||
                    now_.submission != line.submission || !now_.lead.empty())) {
    Close();
  }
  if (!now_.open) {
    now_ = Sentence{.frame = line.frame,
                    .submission = line.submission,
                    .time_ns = line.time_ns,
                    .why = why,
                    .open = true};
  }
  return now_;
}

void Teller::AddUse(const RecordedLine& line) {
  const auto among = [&](const std::vector<uint64_t>& bos) {
    return std::find(bos.begin(), bos.end(), bo_) != bos.end();
  };
  const bool written = among(line.writes);
  if (!written && !among(line.reads)) return;
  Close();
  if (at_.has_value() && uses_ != 0 && first_use_.frame != line.frame) {
    CloseUses();
  }
  if (uses_++ == 0) first_use_ = line;
  last_use_ = line.submission;
  writes_ += written;
}

void Teller::CloseUses() {
  if (uses_ == 0) return;
  Sentence sentence{.frame = first_use_.frame, .time_ns = first_use_.time_ns};
  std::string text =
      uses_ == 1
          ? absl::StrCat("used by submission ",
                         GroupedFigure(first_use_.submission))
          : absl::StrCat("used by ", GroupedFigure(uses_), " submissions, ",
                         GroupedFigure(first_use_.submission), " to ",
                         GroupedFigure(last_use_), ", where it was");
  if (writes_ != 0) {
    absl::StrAppend(&text, uses_ == 1 ? ", which writes it"
                                      : absl::StrCat(", and written by ",
                                                     GroupedFigure(writes_)));
  }
  uses_ = writes_ = 0;
  sentence.tail = text;
  Say(sentence);
}

void Teller::Add(const RecordedLine& line) {
  frames_ = std::max(frames_, line.frame + (line.event == "frame" ? 1 : 0));
  if (line.event == "create") {
    known_[line.bo].bytes = line.bytes;
    most_ = std::max(most_, line.bo);
  }
  if (line.event == "name") {
    known_[line.bo].trace_bo = line.trace_bo;
    if (line.trace_bo == bo_) named_so_ = line.bo;
  }
  if (at_.has_value() && line.frame >= *at_ && where_then_.empty()) {
    Close();
    CloseUses();
    where_then_ = !found_ ? "not there yet" : gone_ ? "gone" : where_.Text();
  }
  if (line.event == "job") return AddUse(line);
  if (line.event == "evict" && line.for_bo == bo_) {
    // Amid its own eviction it is one of the things that happen then.
    const bool amid = now_.open && now_.frame == line.frame &&
                      now_.submission == line.submission && now_.lead.empty();
    Open(line, amid ? now_.why : "")
        .clauses.push_back(
            absl::StrCat(BoText(line.bo, known_), " evicted for it, from ",
                         line.from, line.to.empty() ? "" : " to ", line.to));
    return;
  }
  if (line.bo != bo_ || line.event == "frame") return;
  if (line.event == "name") {
    mine_.trace_bo = line.trace_bo;
    return;
  }
  if (line.event == "create") {
    found_ = true;
    mine_.bytes = line.bytes;
    client_ = line.client;
  }
  where_.Follow(line);
  const std::string why = Because(line, known_);
  Sentence& sentence = Open(line, why);
  sentence.moves |= Moves(line);
  if (line.event == "evict") {
    sentence.lead = absl::StrCat(
        "evicted from ", line.from, ", ",
        line.to.empty() ? "contents and all" : absl::StrCat("to ", line.to),
        line.pass == 1 ? ", in the first pass" : "", ",");
    sentence.tail = SkippedText(line);
  } else if (line.event == "cpu-fault") {
    // Page by page, mostly.
    static constexpr char kTouched[] = "touched by the CPU";
    if (sentence.clauses.empty() || sentence.clauses.back() != kTouched) {
      sentence.clauses.push_back(kTouched);
    }
  } else if (line.event == "sync-for-cpu" && !sentence.clauses.empty() &&
             line.bytes == 4096) {
    // Of that fault.
  } else {
    sentence.clauses.push_back(Clause(line));
  }
  if (line.event == "destroy") {
    gone_ = true;
    known_.erase(line.bo);
  }
}

absl::StatusOr<std::string> Teller::Story(const std::string& path,
                                          const RecordedRun& run) {
  Close();
  CloseUses();
  if (!found_) {
    return absl::NotFoundError(absl::StrCat(
        path, ": has no bo ", bo_,
        most_ == 0 ? std::string(": no bo was made")
                   : absl::StrCat(": its bos are 1 to ", most_),
        named_so_ == 0
            ? ""
            : absl::StrCat("; the trace's ", bo_, " is --bo ", named_so_)));
  }
  if (at_.has_value() && *at_ >= std::max<uint64_t>(frames_, 1)) {
    return absl::NotFoundError(
        absl::StrCat(path, ": has no frame ", *at_, ": its frames are 0 to ",
                     std::max<uint64_t>(frames_, 1) - 1));
  }
  std::string text = absl::StrCat("bo ", bo_);
  if (mine_.trace_bo != 0 && mine_.trace_bo != bo_) {
    absl::StrAppend(&text, " (trace ", mine_.trace_bo, ")");
  }
  absl::StrAppend(&text, ", ", BytesFigure(mine_.bytes),
                  client_.empty() ? "" : ", of client ", client_, "\n");
  if (at_.has_value()) {
    absl::StrAppend(&text, "When frame ", *at_, " begins it is ", where_then_,
                    ".\n");
    if (!last_move_.empty()) {
      absl::StrAppend(&text, "Last moved in ", last_move_, "\n");
    }
    if (lines_.empty()) absl::StrAppend(&text, "Nothing happens to it.\n");
  }
  for (const std::string& line : lines_) absl::StrAppend(&text, line, "\n");
  if (!run.error().empty()) {
    absl::StrAppend(&text, "The run failed: ", run.error(), "\n");
  } else if (!at_.has_value() && !gone_) {
    absl::StrAppend(&text, "At the end it is ", where_.Text(), ".\n");
  }
  return text;
}

}  // namespace

absl::StatusOr<std::string> LifeStory(const std::string& run, uint64_t bo,
                                      std::optional<uint64_t> frame) {
  auto recorded = RecordedRun::Open(run);
  if (!recorded.ok()) return recorded.status();
  Teller teller(bo, frame);
  RecordedLine line;
  for (;;) {
    auto more = (*recorded)->Next(&line);
    if (!more.ok()) return more.status();
    if (!*more) return teller.Story(run, **recorded);
    teller.Add(line);
  }
}

}  // namespace twostep
