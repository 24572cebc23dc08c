#include "tests/script/script.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace twostep {
namespace {

using Form = StepField::Form;

constexpr absl::string_view kHead = "twostep script 1";
constexpr const char* kMachineWords[] = {"bare-metal", "iommu", "swiotlb",
                                         "non-coherent"};
static_assert(std::size(kMachineWords) == std::size(kAllMachines));
constexpr const char* kPlaceWords[] = {
    "system",        "vram",           "vram-whole", "tt-none",
    "tt-dynamic",    "tt-coherent",    "tt-cma",     "high-none",
    "high-dynamic",  "high-coherent",  "high-cma",   "bound-none",
    "bound-dynamic", "bound-coherent", "bound-cma"};
static_assert(std::size(kPlaceWords) == kPlaces);

constexpr uint32_t kAnyValue = ~uint32_t{0};
constexpr StepField Number(const char* name, uint32_t Step::*value,
                           uint32_t max) {
  return {name, value, max, Form::kNumber, {}};
}
constexpr StepField Set(const char* name, uint32_t Step::*value) {
  return {name, value, (1u << kScriptBos) - 1, Form::kSet, {}};
}
StepField PlaceField(const char* name, uint32_t Step::*value) {
  return {name, value, kPlaces - 1, Form::kWord, kPlaceWords};
}

const StepField kBo = Number("bo", &Step::bo, kScriptBos - 1);
const StepField kDevice = Number("device", &Step::device, kScriptDevices - 1);
const StepField kPage = Number("page", &Step::page, kScriptMaxPages - 1);
const StepField kValue = Number("value", &Step::value, kAnyValue);
const StepField kFollows = Number("follows", &Step::follows, 1);
const StepField kHasty = Number("hasty", &Step::hasty, 1);
// Frames, of the host's own or that bos may have.
const StepField kFrames = Number("pages", &Step::pages, 255);

struct VerbRow {
  const char* name;
  std::vector<StepField> fields;
};

const std::vector<VerbRow>& Rows() {
  static const auto* const rows = new std::vector<VerbRow>{
      {"create",
       {kBo, Number("pages", &Step::pages, kScriptMaxPages),
        Number("client", &Step::client, kScriptClients - 1)}},
      {"drop", {kBo}},
      {"cpu-write", {kBo, kPage, kValue}},
      {"cpu-read", {kBo, kPage}},
      {"cpu-unmap", {kBo}},
      {"kernel-write", {kBo, kPage, kValue}},
      {"submit",
       {kDevice, Set("bos", &Step::bos), Set("writes", &Step::writes),
        PlaceField("first", &Step::first), PlaceField("second", &Step::second),
        kPage, kValue, kHasty}},
      {"validate",
       {kDevice, kBo, PlaceField("first", &Step::first),
        PlaceField("second", &Step::second), kHasty}},
      {"give-up-addresses", {kDevice, kBo}},
      {"discard", {kDevice, kBo}},
      {"pin", {kBo}},
      {"unpin", {kBo}},
      {"offer", {kBo}},
      {"reclaim", {kBo}},
      {"attach", {kBo, kDevice, kFollows}},
      {"detach", {kBo}},
      {"map", {kBo}},
      {"unmap", {kBo}},
      {"importer-read", {kBo, kPage}},
      {"importer-write", {kBo, kPage, kValue}},
      {"begin-cpu", {kBo}},
      {"end-cpu", {kBo}},
      {"fail-copies", {Number("after", &Step::value, 3)}},
      {"host-takes", {kFrames}},
      {"host-gives", {}},
      {"page-limit", {kFrames}},
      {"shrink", {kFrames}},
      {"suspend", {kDevice}},
      {"resume", {kDevice}},
      {"wait", {kBo}},
      {"reap", {}},
  };
  return *rows;
}

void AppendValue(const StepField& field, uint32_t value, std::string* text) {
  switch (field.form) {
    case Form::kNumber:
      absl::StrAppend(text, value);
      break;
    case Form::kWord:
      absl::StrAppend(text, field.words[value]);
      break;
    case Form::kSet: {
      const char* separator = "";
      for (uint32_t i = 0; i < kScriptBos; ++i) {
        if ((value >> i & 1) == 0) continue;
        absl::StrAppend(text, separator, i);
        separator = ",";
      }
      break;
    }
  }
}

// False where `text` is no such value.
bool ParseValue(const StepField& field, absl::string_view text,
                uint32_t* value) {
  switch (field.form) {
    case Form::kNumber:
      return absl::SimpleAtoi(text, value) && *value <= field.max;
    case Form::kWord:
      for (size_t i = 0; i < field.words.size(); ++i) {
        if (text != field.words[i]) continue;
        *value = static_cast<uint32_t>(i);
        return true;
      }
      return false;
    case Form::kSet: {
      for (const absl::string_view part : absl::StrSplit(text, ',')) {
        uint32_t bit = 0;
        if (!absl::SimpleAtoi(part, &bit) || bit >= kScriptBos) return false;
        *value |= 1u << bit;
      }
      return true;
    }
  }
  return false;
}

absl::Status Bad(int line, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat("line ", line, ": ", why));
}

absl::StatusOr<Step> ParseStep(absl::string_view text, int line) {
  const std::vector<absl::string_view> words =
      absl::StrSplit(text, ' ', absl::SkipEmpty());
  const std::vector<VerbRow>& rows = Rows();
  const auto row =
      std::find_if(rows.begin(), rows.end(),
                   [&](const VerbRow& is) { return words.front() == is.name; });
  if (row == rows.end()) return Bad(line, "no such operation");
  Step step;
  step.verb = static_cast<Verb>(row - rows.begin());
  for (size_t i = 1; i < words.size(); ++i) {
    const std::pair<absl::string_view, absl::string_view> parts =
        absl::StrSplit(words[i], absl::MaxSplits('=', 1));
    const auto field = std::find_if(
        row->fields.begin(), row->fields.end(),
        [&](const StepField& is) { return parts.first == is.name; });
    if (field == row->fields.end()) {
      return Bad(line, absl::StrCat(row->name, " has no such field"));
    }
    uint32_t value = 0;
    if (!ParseValue(*field, parts.second, &value)) {
      return Bad(line, absl::StrCat("no value for ", field->name));
    }
    step.*(field->value) = value;
  }
  return step;
}

}  // namespace

const char* NameOf(Verb verb) { return Rows()[static_cast<int>(verb)].name; }

absl::Span<const StepField> FieldsOf(Verb verb) {
  return Rows()[static_cast<int>(verb)].fields;
}

std::string Print(const Step& step) {
  std::string text = NameOf(step.verb);
  for (const StepField& field : FieldsOf(step.verb)) {
    const uint32_t value = step.*(field.value);
    // Words are told even where they are the first: it is a place like others.
    if (value == 0 && field.form != Form::kWord) continue;
    absl::StrAppend(&text, " ", field.name, "=");
    AppendValue(field, value, &text);
  }
  return text;
}

std::string Print(const Script& script) {
  std::string text =
      absl::StrCat(kHead, "\nmachine ",
                   kMachineWords[static_cast<int>(script.machine)], "\n");
  for (const Step& step : script.steps) {
    absl::StrAppend(&text, Print(step), "\n");
  }
  return text;
}

absl::StatusOr<Script> ParseScript(absl::string_view text) {
  if (text.size() > kMaxScriptBytes) return Bad(1, "the script is too long");
  Script script;
  int line = 0;
  int told = 0;  // lines that were not empty
  for (absl::string_view row : absl::StrSplit(text, '\n')) {
    ++line;
    row = absl::StripAsciiWhitespace(row);
    if (row.empty() || row.front() == '#') continue;
    if (++told == 1) {
      if (row != kHead) return Bad(line, "this is no script");
    } else if (told == 2) {
      if (!absl::ConsumePrefix(&row, "machine ")) {
        return Bad(line, "no machine is named");
      }
      const auto* const word =
          std::find(std::begin(kMachineWords), std::end(kMachineWords), row);
      if (word == std::end(kMachineWords)) return Bad(line, "no such machine");
      script.machine = kAllMachines[word - kMachineWords];
    } else {
      absl::StatusOr<Step> step = ParseStep(row, line);
      if (!step.ok()) return step.status();
      script.steps.push_back(*step);
    }
  }
  if (told < 2) return Bad(line, "the script ends before its machine");
  return script;
}

}  // namespace twostep
