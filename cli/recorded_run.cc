#include "twostep/cli/recorded_run.h"

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"

namespace twostep {
namespace {

using Json = nlohmann::json;

// Throw what nlohmann throws where a field has another type.
uint64_t Number(const Json& json, const char* key) {
  const auto found = json.find(key);
  return found == json.end() ? 0 : found->get<uint64_t>();
}

std::string Text(const Json& json, const char* key) {
  const auto found = json.find(key);
  return found == json.end() ? "" : found->get<std::string>();
}

std::vector<uint64_t> Numbers(const Json& json, const char* key) {
  const auto found = json.find(key);
  return found == json.end() ? std::vector<uint64_t>()
                             : found->get<std::vector<uint64_t>>();
}

RecordedLine Parse(const Json& json) {
  RecordedLine line;
  line.time_ns = Number(json, "time_ns");
  line.frame = Number(json, "frame");
  line.submission = Number(json, "submission");
  line.event = Text(json, "event");
  line.bo = Number(json, "bo");
  line.trace_bo = Number(json, "trace_bo");
  line.bytes = Number(json, "bytes");
  line.client = Text(json, "client");
  line.for_bo = Number(json, "for_bo");
  line.limit = Text(json, "limit");
  line.of = Text(json, "of");
  line.pass = Number(json, "pass");
  line.from = Text(json, "from");
  line.to = Text(json, "to");
  line.timeline = Text(json, line.event == "job" ? "queue" : "timeline");
  line.point = Number(json, "point");
  line.waited_ns = Number(json, "waited_ns");
  line.pinned_bytes = Number(json, "pinned_bytes");
  line.error = Text(json, "error");
  line.starts_ns = Number(json, "starts_ns");
  line.ends_ns = Number(json, "ends_ns");
  line.reads = Numbers(json, "reads");
  line.writes = Numbers(json, "writes");
  const auto skipped = json.find("skipped");
  if (skipped != json.end()) {
    line.skipped.reserved = Number(*skipped, "reserved");
    line.skipped.mine = Number(*skipped, "mine");
    line.skipped.stuck = Number(*skipped, "stuck");
    line.skipped.protected_bos = Number(*skipped, "protected");
    line.skipped.unhelpful = Number(*skipped, "unhelpful");
  }
  return line;
}

}  // namespace

absl::Status RecordedRun::Bad(const std::string& why) const {
  return absl::InvalidArgumentError(absl::StrCat(path_, ":", line_, ": ", why));
}

absl::StatusOr<Json> RecordedRun::NextJson() {
  std::string text;
  if (!std::getline(file_, text)) {
    return Bad(
        "the run ends here, without the line that says so: it was not "
        "recorded to its end, or the file was cut off");
  }
  ++line_;
  // The last newline may be missing only where the end of the line is, too.
  Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded() && file_.eof()) {
    return Bad("the file is cut off within this line");
  }
  if (!json.is_object()) return Bad("is no JSON object");
  return json;
}

absl::StatusOr<std::unique_ptr<RecordedRun>> RecordedRun::Open(
    const std::string& path) {
  errno = 0;
  std::unique_ptr<RecordedRun> run(new RecordedRun(path));
  if (!run->file_) {
    return absl::NotFoundError(absl::StrCat(
        path, ": ", errno == 0 ? "cannot be read" : std::strerror(errno)));
  }
  const absl::Status no_run = absl::InvalidArgumentError(absl::StrCat(
      path, ": is no recorded run: make one with twostep replay --record"));
  auto head = run->NextJson();
  if (!head.ok() || !head->contains("twostep_run")) return no_run;
  if ((*head)["twostep_run"] != 1) {
    return absl::InvalidArgumentError(absl::StrCat(
        path, ": was recorded in a format that this program does not know"));
  }
  run->head_ = *std::move(head);
  return run;
}

bool RecordedRun::IsOne(const std::string& path) {
  std::ifstream file(path);
  std::string text;
  std::getline(file, text);
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  return json.is_object() && json.contains("twostep_run");
}

absl::StatusOr<bool> RecordedRun::Next(RecordedLine* out) {
  auto json = NextJson();
  if (!json.ok()) return json.status();
  try {
    *out = Parse(*json);
    if (out->event != "end") {
      return out->event.empty() ? absl::StatusOr<bool>(Bad("has no event"))
                                : true;
    }
    if (Number(*json, "lines") != line_) return Bad("lines are missing");
    if (json->contains("figures")) figures_ = (*json)["figures"];
    error_ = Text(*json, "error");
  } catch (const Json::exception& error) {
    return Bad(error.what());
  }
  return false;
}

}  // namespace twostep
