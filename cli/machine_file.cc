#include "twostep/cli/machine_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <map>
#include <string_view>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "twostep/cli/checked_toml.h"
#include "twostep/cli/machine_fields.h"
#include "twostep/cli/nearest.h"
#include "twostep/cli/size.h"
#include "twostep/machine/types.h"
#include "twostep/trace/trace_text.h"

namespace twostep {
namespace {

using Kind = MachineField::Kind;

constexpr size_t kMaxNameBytes = 64;

absl::string_view View(std::string_view text) {
  return absl::string_view(text.data(), text.size());
}

class Parser {
 public:
  explicit Parser(const std::string& path) : path_(path) {}

  absl::StatusOr<MachineFile> Parse(absl::string_view text);

 private:
  absl::Status Bad(uint64_t line, absl::string_view reason) const {
    return absl::InvalidArgumentError(
        absl::StrCat(path_, ":", std::max(line, uint64_t{1}), ": ", reason));
  }
  // At a key of the file, or, where that was left out, its table.
  absl::Status BadField(absl::string_view table, absl::string_view key,
                        absl::string_view reason) const;

  absl::Status ReadTop(const toml::table& top);
  absl::Status ReadTable(const MachineTable& table, const toml::table& keys);
  absl::Status ReadField(const MachineField& field, const toml::node& node);
  absl::Status ReadSize(const MachineField& field, const toml::node& node);
  absl::Status ReadText(const MachineField& field, const std::string& text);
  absl::Status CheckTogether();

  bool Has(absl::string_view table, absl::string_view key) const {
    return line_of_.contains(FieldName(table, key));
  }

  const std::string& path_;
  MachineFile file_;
  // By FieldName(); a table is there as the field "".
  std::map<std::string, uint64_t> line_of_;
};

absl::Status Parser::BadField(absl::string_view table, absl::string_view key,
                              absl::string_view reason) const {
  auto line = line_of_.find(FieldName(table, key));
  if (line == line_of_.end()) line = line_of_.find(FieldName(table, ""));
  return Bad(line == line_of_.end() ? 1 : line->second,
             absl::StrCat(FieldName(table, key), ": ", reason));
}

absl::StatusOr<MachineFile> Parser::Parse(absl::string_view text) {
  if (text.size() > kMaxMachineFileBytes) {
    return Bad(1, absl::StrCat("the file is longer than the ",
                               FormatSize(kMaxMachineFileBytes),
                               " that a machine file may have"));
  }
  const std::variant<toml::table, TomlError> top = ParseToml(text);
  if (const auto* const error = std::get_if<TomlError>(&top)) {
    return Bad(error->line, error->why);
  }
  absl::Status read = ReadTop(std::get<toml::table>(top));
  if (read.ok()) read = CheckTogether();
  if (!read.ok()) return read;
  return std::move(file_);
}

absl::Status Parser::ReadTop(const toml::table& top) {
  for (const MachineTable& table : MachineTables()) {
    if (*table.name == '\0') continue;
    const toml::node* const node = top.get(table.name);
    if (node == nullptr) {
      if (!table.required) continue;
      return Bad(1, absl::StrCat("[", table.name, "]: the table is missing; ",
                                 "it is required, an empty one will do"));
    }
    line_of_[FieldName(table.name, "")] = node->source().begin.line;
    const toml::table* const keys = node->as_table();
    if (keys == nullptr) {
      return Bad(node->source().begin.line,
                 absl::StrCat("[", table.name, "]: expected a table"));
    }
    absl::Status read = ReadTable(table, *keys);
    if (!read.ok()) return read;
  }
  return ReadTable(MachineTables().front(), top);
}

absl::Status Parser::ReadTable(const MachineTable& table,
                               const toml::table& keys) {
  const bool is_top = *table.name == '\0';
  for (const auto& [key, node] : keys) {
    const absl::string_view name = View(key.str());
    const auto is_table = [&](const MachineTable& other) {
      return *other.name != '\0' && name == other.name;
    };
    const auto& tables = MachineTables();
    if (is_top && std::any_of(tables.begin(), tables.end(), is_table)) continue;

    const MachineField* found = nullptr;
    std::vector<std::string> known;
    for (const MachineField& field : MachineFields()) {
      if (absl::string_view(field.table) != table.name) continue;
      if (name == field.key) found = &field;
      known.emplace_back(field.key);
    }
    const uint64_t line = key.source().begin.line;
    if (found == nullptr) {
      if (is_top) {
        for (const MachineTable& other : tables) {
          if (*other.name == '\0') continue;
          known.push_back(absl::StrCat("[", other.name, "]"));
        }
      }
      return Bad(line, absl::StrCat(
                           is_top ? "" : absl::StrCat("[", table.name, "] "),
                           QuoteForError(name), ": unknown; expected one of ",
                           absl::StrJoin(known, ", "), NearToIt(name, known)));
    }
    line_of_[FieldName(table.name, name)] = line;
    absl::Status read = ReadField(*found, node);
    if (!read.ok()) return read;
  }
  return absl::OkStatus();
}

absl::Status Parser::ReadField(const MachineField& field,
                               const toml::node& node) {
  const auto expected = [&](absl::string_view what) {
    return BadField(field.table, field.key,
                    absl::StrCat(what, "; expected ", field.Expected()));
  };
  switch (field.kind) {
    case Kind::kSize:
      return ReadSize(field, node);
    case Kind::kNumber: {
      const toml::value<int64_t>* const number = node.as_integer();
      if (number == nullptr) return expected("not a whole number");
      const int64_t value = number->get();
      if (value < 0 || static_cast<uint64_t>(value) < field.min ||
          static_cast<uint64_t>(value) > field.max) {
        return expected(absl::StrCat(value, " is out of range"));
      }
      field.Set(&file_, static_cast<uint64_t>(value));
      return absl::OkStatus();
    }
    case Kind::kSwitch: {
      const toml::value<bool>* const value = node.as_boolean();
      if (value == nullptr) return expected("not a switch");
      field.Set(&file_, value->get() ? 1 : 0);
      return absl::OkStatus();
    }
    case Kind::kChoice:
    case Kind::kText:
      break;
  }
  const toml::value<std::string>* const text = node.as_string();
  if (text == nullptr) return expected("not a text");
  return ReadText(field, text->get());
}

absl::Status Parser::ReadText(const MachineField& field,
                              const std::string& text) {
  const auto expected = [&](absl::string_view what) {
    return BadField(field.table, field.key,
                    absl::StrCat(what, "; expected ", field.Expected()));
  };
  if (field.kind == Kind::kText) {
    if (text.empty() || text.size() > kMaxNameBytes) {
      return expected(absl::StrCat(text.size(), " bytes long"));
    }
    if (!IsPlainText(text)) return expected("control characters in it");
    field.SetText(&file_, text);
    return absl::OkStatus();
  }
  for (size_t i = 0; i < field.choices.size(); ++i) {
    if (text == field.choices[i]) {
      field.Set(&file_, i);
      return absl::OkStatus();
    }
  }
  return expected(absl::StrCat(
      QuoteForError(text), " is none of its words",
      NearToIt(text, {field.choices.begin(), field.choices.end()})));
}

absl::Status Parser::ReadSize(const MachineField& field,
                              const toml::node& node) {
  const auto expected = [&](absl::string_view what) {
    return BadField(field.table, field.key,
                    absl::StrCat(what, "; expected ", field.Expected()));
  };
  uint64_t bytes = 0;
  std::string shown;
  if (const toml::value<std::string>* const text = node.as_string()) {
    const absl::StatusOr<uint64_t> size = ParseSize(text->get());
    if (!size.ok()) {
      return BadField(field.table, field.key, size.status().message());
    }
    bytes = *size;
    shown = QuoteForError(text->get());
  } else if (const toml::value<int64_t>* const number = node.as_integer()) {
    shown = absl::StrCat(number->get(), " bytes");
    if (number->get() < 0) return expected(shown + " are less than none");
    bytes = static_cast<uint64_t>(number->get());
  } else {
    return expected("neither a size as text nor a whole number");
  }
  if (bytes < field.min) return expected(shown + " is too small");
  if (bytes > field.max) return expected(shown + " is too large");
  if (bytes % kPageSize != 0) {
    return expected(absl::StrCat(shown, " is ", bytes % kPageSize,
                                 " bytes more than whole pages"));
  }
  field.Set(&file_, bytes);
  return absl::OkStatus();
}

absl::Status Parser::CheckTogether() {
  const MachineConfig& machine = file_.machine;
  GpuConfig& gpu = file_.gpu;
  // Left out, it is what such a guest has.
  if (machine.xen.pv && !Has("memory", "cma")) file_.machine.cma_bytes = 0;
  if (Has("gpu", "vram_visible") && gpu.vram_visible_bytes > gpu.vram_bytes) {
    return BadField(
        "gpu", "vram_visible",
        absl::StrCat(FormatSize(gpu.vram_visible_bytes),
                     " are more than the VRAM has; at most ",
                     FormatSize(gpu.vram_bytes), ", or leave it out"));
  }
  const uint64_t pools =
      machine.coherent_bytes + machine.cma_bytes + machine.swiotlb.bytes;
  if (pools > machine.dma32_bytes) {
    return BadField(
        "memory", "dma32",
        absl::StrCat(FormatSize(machine.dma32_bytes),
                     " cannot hold the pools carved out of it: coherent ",
                     FormatSize(machine.coherent_bytes), ", cma ",
                     FormatSize(machine.cma_bytes), ", [swiotlb] size ",
                     FormatSize(machine.swiotlb.bytes), " are ",
                     FormatSize(pools), "; enlarge it or shrink a pool"));
  }
  if (machine.high_watermark_bytes < machine.low_watermark_bytes) {
    return BadField("memory", "high_watermark",
                    absl::StrCat(FormatSize(machine.high_watermark_bytes),
                                 " is below low_watermark, ",
                                 FormatSize(machine.low_watermark_bytes)));
  }
  const uint64_t for_bos = machine.dma32_bytes + machine.normal_bytes - pools;
  if (machine.reserve_bytes + machine.high_watermark_bytes > for_bos) {
    return BadField(
        "memory",
        machine.reserve_bytes > for_bos ? "reserve" : "high_watermark",
        absl::StrCat(
            "reserve and high_watermark together are ",
            FormatSize(machine.reserve_bytes + machine.high_watermark_bytes),
            "; beside the pools there are ", FormatSize(for_bos)));
  }
  if (machine.swiotlb.forced && machine.swiotlb.bytes == 0) {
    return BadField("swiotlb", "forced",
                    "there is no pool to bounce through; give [swiotlb] size");
  }
  const auto problem = gpu.segments.FindProblem();
  if (problem.has_value()) {
    static constexpr std::pair<absl::string_view, absl::string_view> kKeys[] = {
        {"alignment", "dma_alignment"},
        {"max_bytes", "max_segment"},
        {"boundary", "segment_boundary"},
        {"max_segments", "max_segments"},
        {"min_align_mask", "min_align_mask"}};
    const auto* key = std::find_if(
        std::begin(kKeys), std::end(kKeys),
        [&](const auto& pair) { return pair.first == problem->field; });
    return BadField("gpu", key->second, problem->why);
  }
  if (machine.xen.pv && machine.cma_bytes != 0) {
    return BadField("memory", "cma",
                    "a Xen PV guest's frames are no neighbours on the bus; "
                    "expected 0");
  }
  if (machine.xen.pv && machine.iommu.mode != IommuMode::kAbsent) {
    return BadField("iommu", "mode",
                    "a Xen PV guest has no IOMMU of its own; expected "
                    "\"absent\"");
  }
  if (machine.xen.pv && machine.xen.exchange_bytes % (2 * kMiB) != 0) {
    return BadField("xen", "exchange", "expected a multiple of 2 MiB");
  }
  if (machine.xen.pv && machine.swiotlb.bytes > machine.xen.exchange_bytes) {
    return BadField("xen", "exchange",
                    absl::StrCat(FormatSize(machine.xen.exchange_bytes),
                                 " cannot hold the bounce buffers, [swiotlb] "
                                 "size ",
                                 FormatSize(machine.swiotlb.bytes)));
  }
  if (machine.xen.pv &&
      machine.dma32_bytes > 4 * kGiB - machine.xen.exchange_bytes) {
    return BadField(
        "memory", "dma32",
        absl::StrCat(FormatSize(machine.dma32_bytes), " and [xen] exchange, ",
                     FormatSize(machine.xen.exchange_bytes),
                     ", do not fit below 4 GiB together"));
  }
  const bool has_iovas = machine.iommu.mode == IommuMode::kTranslated ||
                         machine.iommu.mode == IommuMode::kGart;
  if (has_iovas && gpu.dma_mask_bits < 64 &&
      machine.iommu.iova_base >> gpu.dma_mask_bits != 0) {
    return BadField("iommu", "iova_base",
                    absl::StrCat(FormatSize(machine.iommu.iova_base),
                                 " is beyond the device's mask of ",
                                 gpu.dma_mask_bits, " bits; lower it below ",
                                 FormatSize(uint64_t{1} << gpu.dma_mask_bits)));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<MachineFile> ParseMachineFile(absl::string_view text,
                                             const std::string& path) {
  return Parser(path).Parse(text);
}

absl::StatusOr<MachineFile> ReadMachineFile(const std::string& path) {
  const auto failed = [&path](absl::string_view why) {
    return absl::NotFoundError(absl::StrCat(path, ": cannot be read: ", why));
  };
  // O_NONBLOCK: a FIFO without a writer must not hang the open.
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return failed(std::strerror(errno));
  struct stat info = {};
  if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
    close(fd);
    return failed("expected a regular file");
  }
  // One byte more than allowed shows that it is too long.
  std::string text(kMaxMachineFileBytes + 1, '\0');
  size_t size = 0;
  ssize_t got = 0;
  while (size < text.size() &&
         (got = read(fd, &text[size], text.size() - size)) > 0) {
    size += static_cast<size_t>(got);
  }
  const int error = errno;
  close(fd);
  if (got < 0) return failed(std::strerror(error));
  text.resize(size);
  return ParseMachineFile(text, path);
}

}  // namespace twostep
