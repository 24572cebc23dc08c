#include "twostep/cli/run_recorder.h"

#include "absl/strings/str_cat.h"
#include "twostep/bo/error.h"
#include "twostep/cli/json_text.h"

namespace twostep {
namespace {

using Json = nlohmann::ordered_json;

// As bo/error.h names the kinds.
const char* NameOf(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kNone:
      return "other";
    case ErrorKind::kCannotFit:
      return "cannot-fit";
    case ErrorKind::kNeverFits:
      return "never-fits";
    case ErrorKind::kBusy:
      return "busy";
    case ErrorKind::kContended:
      return "contended";
    case ErrorKind::kTimeUp:
      return "time-up";
    case ErrorKind::kInterrupted:
      return "interrupted";
    case ErrorKind::kWrongPlace:
      return "wrong-place";
    case ErrorKind::kPinned:
      return "pinned";
    case ErrorKind::kMisuse:
      return "misuse";
    case ErrorKind::kAbsent:
      return "absent";
    case ErrorKind::kOverLimit:
      return "over-limit";
    case ErrorKind::kDeviceLost:
      return "device-lost";
  }
  return "?";
}

std::string Quoted(const std::string& text) {
  return text.empty() ? "" : JsonLine(text);
}

}  // namespace

RunRecorder::RunRecorder(const std::string& path, const Json& head)
    : file_({"--record", path}) {
  Json line = {{"twostep_run", 1}};
  line.update(head);
  MutexLock lock(mutex_);
  line_ = JsonLine(line);
  line_.pop_back();
  End();
}

void RunRecorder::Began(Host& host, Device&) { host_ = &host; }

const std::string& RunRecorder::Place(uint8_t number) {
  std::string& name = places_[number];
  if (name.empty()) name = Quoted(host_->events()->PlaceOf(number).name);
  return name;
}

void RunRecorder::Begin(uint64_t time_ns, uint32_t submission,
                        const char* what) {
  line_ = absl::StrCat("{\"time_ns\":", time_ns, ",\"frame\":", frame_);
  if (submission != 0) Add("submission", submission);
  absl::StrAppend(&line_, ",\"event\":\"", what, "\"");
}

void RunRecorder::Add(absl::string_view key, uint64_t value) {
  absl::StrAppend(&line_, ",\"", key, "\":", value);
}

void RunRecorder::AddText(absl::string_view key, const std::string& quoted) {
  if (quoted.empty()) return;
  absl::StrAppend(&line_, ",\"", key, "\":", quoted);
}

void RunRecorder::End() {
  absl::StrAppend(&line_, "}\n");
  file_.stream() << line_;
  ++lines_;
}

void RunRecorder::AddSearch(const Event& event) {
  Add("pinned_bytes", PagesToBytes(event.pinned_pages));
  const EventSkips& skipped = event.skipped;
  absl::StrAppend(&line_, ",\"skipped\":{\"reserved\":", skipped.reserved,
                  ",\"mine\":", skipped.mine, ",\"stuck\":", skipped.stuck,
                  ",\"protected\":", skipped.protected_bos,
                  ",\"unhelpful\":", skipped.unhelpful, "}");
}

void RunRecorder::Happened(const Event& event) {
  MutexLock lock(mutex_);
  if (ending_) return;
  Begin(event.time_ns, event.submission, NameOf(event.kind));
  if (event.bo != 0) Add("bo", event.bo);
  Add("bytes", event.bytes());
  AddText("client", Quoted(host_->events()->ClientName(event.client)));
  if (event.for_bo != 0) Add("for_bo", event.for_bo);
  if (event.limit != EventLimit::kNone) {
    AddText("limit", absl::StrCat("\"", NameOf(event.limit), "\""));
    const bool of_client = event.limit == EventLimit::kClientHost ||
                           event.limit == EventLimit::kClientDma ||
                           event.limit == EventLimit::kClientDevice;
    AddText("of", of_client
                      ? Quoted(host_->events()->ClientName(event.limit_of))
                      : Place(static_cast<uint8_t>(event.limit_of)));
  }
  if (event.pass != 0) Add("pass", event.pass);
  AddText("from", Place(event.from));
  AddText("to", Place(event.to));
  if (event.fence_timeline != 0) {
    const Timeline* timeline = host_->machine().timeline(event.fence_timeline);
    AddText("timeline", Quoted(timeline->name()));
    Add("point", event.fence_point);
  }
  if (event.waited_ns != 0) Add("waited_ns", event.waited_ns);
  const bool failed = event.kind == EventKind::kFailure;
  if (event.kind == EventKind::kEvict ||
      (failed && event.limit != EventLimit::kNone)) {
    AddSearch(event);
  }
  if (failed) {
    AddText(
        "error",
        absl::StrCat("\"", NameOf(static_cast<ErrorKind>(event.error)), "\""));
  }
  End();
}

void RunRecorder::Submitted(const Job& job) {
  MutexLock lock(mutex_);
  Begin(host_->machine().clock().now_ns(), job.submission, "job");
  AddText("queue", Quoted(job.fence.timeline->name()));
  Add("point", job.fence.point);
  Add("asked_ns", job.asked_ns);
  Add("starts_ns", job.starts_ns);
  Add("ends_ns", job.ends_ns);
  for (const bool written : {false, true}) {
    absl::StrAppend(&line_, written ? ",\"writes\":[" : ",\"reads\":[");
    const char* between = "";
    for (const Use& use : job.uses) {
      if (use.written != written) continue;
      absl::StrAppend(&line_, between, use.bo);
      between = ",";
    }
    absl::StrAppend(&line_, "]");
  }
  End();
}

void RunRecorder::Named(uint64_t bo, uint64_t trace_bo) {
  MutexLock lock(mutex_);
  Begin(host_->machine().clock().now_ns(), 0, "name");
  Add("bo", bo);
  Add("trace_bo", trace_bo);
  End();
}

void RunRecorder::FrameEnded() {
  MutexLock lock(mutex_);
  Begin(host_->machine().clock().now_ns(), 0, "frame");
  End();
  ++frame_;
}

void RunRecorder::Ending() {
  MutexLock lock(mutex_);
  ending_ = true;
}

absl::Status RunRecorder::FinishWith(const char* key, const Json& value) {
  MutexLock lock(mutex_);
  const Json line = {{"event", "end"}, {"lines", lines_ + 1}, {key, value}};
  line_ = JsonLine(line);
  line_.pop_back();
  End();
  return file_.Close();
}

absl::Status RunRecorder::Finish(const Json& figures) {
  return FinishWith("figures", figures);
}

absl::Status RunRecorder::Finish(const absl::Status& error) {
  return FinishWith("error", std::string(error.message()));
}

}  // namespace twostep
