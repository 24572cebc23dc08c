#include "twostep/cli/machine_fields.h"

#include <type_traits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "nlohmann/json.hpp"
#include "twostep/cli/size.h"
#include "twostep/machine/check.h"
#include "twostep/machine/types.h"

namespace twostep {
namespace {

using Kind = MachineField::Kind;
using Json = nlohmann::ordered_json;

// The accounts of as many pages (frames, page tables) still take little.
constexpr uint64_t kMaxSpaceBytes = 64 * kGiB;
constexpr uint64_t kMaxSwapBytes = 1024 * kGiB;
constexpr uint64_t kMaxIovaBase = uint64_t{1} << 56;
// Bounds within which no sum of costs overflows.
constexpr uint64_t kMaxRate = uint64_t{1} << 30;
constexpr uint64_t kMaxNs = 1'000'000'000;

MachineField Size(const char* table, const char* key, uint64_t min,
                  uint64_t max, MachineField::Member<uint64_t> target,
                  const char* doc) {
  return {table, key, Kind::kSize, target, "", min, max, {}, doc};
}

MachineField Rate(const char* key, MachineField::Member<uint64_t> target,
                  const char* doc) {
  return {"cost", key, Kind::kNumber, target, "MiB/s", 1, kMaxRate, {}, doc};
}

MachineField Ns(const char* key, MachineField::Member<uint64_t> target,
                const char* doc) {
  return {"cost", key, Kind::kNumber, target, "ns", 0, kMaxNs, {}, doc};
}

MachineField Switch(const char* table, const char* key,
                    MachineField::Member<bool> target, const char* doc) {
  return {table, key, Kind::kSwitch, target, "", 0, 1, {}, doc};
}

MachineField Text(const char* table, const char* key,
                  MachineField::Member<std::string> target, const char* doc) {
  return {table, key, Kind::kText, target, "", 0, 0, {}, doc};
}

MachineField Choice(const char* table, const char* key,
                    MachineField::Target target,
                    std::vector<const char*> choices, const char* doc) {
  const uint64_t last = choices.size() - 1;
  return {table, key,  Kind::kChoice,      target, "",
          0,     last, std::move(choices), doc};
}

// A member of MachineFile, as a function.
#define TWOSTEP_AT(Type, member) \
  [](MachineFile& file) -> Type& { return file.member; }
#define TWOSTEP_U64(member) TWOSTEP_AT(uint64_t, member)

std::vector<MachineField> MemoryFields() {
  return {
      Text("", "name", TWOSTEP_AT(std::string, machine.name),
           "What reports call the machine."),
      Size("memory", "dma32", kPageSize, 4 * kGiB,
           TWOSTEP_U64(machine.dma32_bytes),
           "Zone DMA32, from physical address 0: what a 32-bit device reaches. "
           "All pools are carved out of it."),
      Size("memory", "normal", 0, kMaxSpaceBytes,
           TWOSTEP_U64(machine.normal_bytes),
           "Zone NORMAL, from physical address 4 GiB."),
      Size("memory", "coherent", 0, 4 * kGiB,
           TWOSTEP_U64(machine.coherent_bytes),
           "The pool behind the DMA type COHERENT; 0: none."),
      Size("memory", "cma", 0, 4 * kGiB, TWOSTEP_U64(machine.cma_bytes),
           "The area behind the DMA type CMA; 0: none."),
      Size("memory", "swap", 0, kMaxSwapBytes, TWOSTEP_U64(machine.swap_bytes),
           "What the swap store holds; 0: nothing can be swapped out."),
      Choice("memory", "swap_medium",
             TWOSTEP_AT(SwapMedium, machine.swap_medium), {"memory", "file"},
             "Where it keeps bytes, if it does: in memory, or compressed in a "
             "file without a name in `$TMPDIR`, or `/tmp`."),
      Size("memory", "reserve", 0, kMaxSpaceBytes,
           TWOSTEP_U64(machine.reserve_bytes),
           "Frames that buffer objects never get, for the host's own work; of "
           "each zone its share."),
      Size("memory", "low_watermark", 0, kMaxSpaceBytes,
           TWOSTEP_U64(machine.low_watermark_bytes),
           "When less than this is free beside the reserve, buffer objects are "
           "swapped out; 0: only when there is nothing left."),
      Size("memory", "high_watermark", 0, kMaxSpaceBytes,
           TWOSTEP_U64(machine.high_watermark_bytes),
           "How much of it they are swapped out to free, then. Not below "
           "`low_watermark`."),
      Size("memory", "page_limit", 0, kMaxSpaceBytes,
           TWOSTEP_U64(machine.page_limit_bytes),
           "What buffer objects may have of both zones together; 0: no "
           "limit."),
      Choice("iommu", "mode", TWOSTEP_AT(IommuMode, machine.iommu.mode),
             {"absent", "translated", "identity", "gart"},
             "`absent`: the device puts physical addresses on the bus. "
             "`translated`: it puts IOVAs there, and the IOMMU translates. "
             "`identity`: passthrough, as if absent. `gart`: physical "
             "addresses, and the IOVA space as an aperture for what lies "
             "beyond the device's reach or is not as it wants it."),
      Size("iommu", "iova_base", 0, kMaxIovaBase,
           TWOSTEP_U64(machine.iommu.iova_base),
           "Where the IOVA space begins; an address, written as a size or as "
           "a number (0x100000000)."),
      Size("iommu", "iova_size", kPageSize, kMaxSpaceBytes,
           TWOSTEP_U64(machine.iommu.iova_bytes),
           "How much can be mapped at once."),
      {"iommu",
       "flush_queue",
       Kind::kNumber,
       TWOSTEP_AT(uint32_t, machine.iommu.flush_queue),
       "ranges",
       0,
       65536,
       {},
       "How many unmapped ranges may wait for one flush; their addresses fault "
       "and are given to nobody meanwhile. 0: each is flushed at once."},
      Size("swiotlb", "size", 0, 4 * kGiB, TWOSTEP_U64(machine.swiotlb.bytes),
           "The pool of bounce buffers, in slots of 2 KiB, of which a mapping "
           "has at most 128 neighbours; 0: none."),
      {"swiotlb",
       "areas",
       Kind::kNumber,
       TWOSTEP_AT(uint32_t, machine.swiotlb.areas),
       "areas",
       1,
       SwiotlbConfig::kMaxAreas,
       {},
       "Into how many areas with a lock each the pool is divided, rounded up "
       "to a power of two, each of 256 KiB at least. A thread starts with its "
       "own. Linux has one for each CPU; one keeps figures the same whatever "
       "threads a run has."},
      Switch("swiotlb", "forced", TWOSTEP_AT(bool, machine.swiotlb.forced),
             "Bounce all that is bound as DYNAMIC, as a confidential guest "
             "must, and not only what the device cannot reach. A translating "
             "IOMMU never bounces."),
      Switch("xen", "pv", TWOSTEP_AT(bool, machine.xen.pv),
             "A paravirtualized guest: neighbouring frames are not neighbours "
             "on the bus. No IOMMU, no CMA area."),
      Size("xen", "exchange", kPageSize, 2 * kGiB,
           TWOSTEP_U64(machine.xen.exchange_bytes),
           "What the hypervisor can exchange for contiguous memory below 4 "
           "GiB, in whole 2 MiB: the bounce buffers, and blocks of coherent "
           "memory."),
  };
}

std::vector<MachineField> CostFields() {
  return {
      Rate("cpu_copy_mib_per_s", TWOSTEP_U64(machine.cost.cpu_copy_mib_per_s),
           "The CPU's own copies, into and out of COHERENT and CMA."),
      Rate("bounce_mib_per_s", TWOSTEP_U64(machine.cost.bounce_mib_per_s),
           "Copies to and from a bounce buffer."),
      Rate("engine_mib_per_s", TWOSTEP_U64(machine.cost.engine_mib_per_s),
           "The copy engine, between VRAM and host memory."),
      Ns("engine_latency_ns", TWOSTEP_U64(machine.cost.engine_latency_ns),
         "The fixed part of such a copy."),
      Rate("vram_mib_per_s", TWOSTEP_U64(machine.cost.vram_mib_per_s),
           "What a job reads and writes in VRAM."),
      Rate("bus_mib_per_s", TWOSTEP_U64(machine.cost.bus_mib_per_s),
           "What a job reads and writes over the bus."),
      Ns("job_latency_ns", TWOSTEP_U64(machine.cost.job_latency_ns),
         "The fixed part of a job."),
      Ns("map_ns", TWOSTEP_U64(machine.cost.map_ns),
         "The fixed part of an IOMMU mapping."),
      Ns("map_page_ns", TWOSTEP_U64(machine.cost.map_page_ns),
         "Its part for each page."),
      Ns("unmap_ns", TWOSTEP_U64(machine.cost.unmap_ns),
         "The fixed part of undoing one, with its flush."),
      Ns("unmap_page_ns", TWOSTEP_U64(machine.cost.unmap_page_ns),
         "Its part for each page."),
      Ns("page_alloc_ns", TWOSTEP_U64(machine.cost.page_alloc_ns),
         "A page from the frame allocator."),
      Ns("fault_ns", TWOSTEP_U64(machine.cost.fault_ns),
         "A CPU page fault that the library serves."),
      Ns("zap_ns", TWOSTEP_U64(machine.cost.zap_ns),
         "The fixed part of taking user mappings away."),
      Ns("zap_page_ns", TWOSTEP_U64(machine.cost.zap_page_ns),
         "Its part for each page."),
      Ns("cache_sync_page_ns", TWOSTEP_U64(machine.cost.cache_sync_page_ns),
         "Cache maintenance for a device that is not coherent, a page."),
      Ns("set_caching_ns", TWOSTEP_U64(machine.cost.set_caching_ns),
         "The fixed part of changing how the CPU caches a block of pages of "
         "coherent memory."),
      Ns("set_caching_page_ns", TWOSTEP_U64(machine.cost.set_caching_page_ns),
         "Its part for each page."),
      Rate("swap_mib_per_s", TWOSTEP_U64(machine.cost.swap_mib_per_s),
           "The swap store."),
      Ns("swap_latency_ns", TWOSTEP_U64(machine.cost.swap_latency_ns),
         "The fixed part of a transfer to or from it."),
  };
}

std::vector<MachineField> GpuFields() {
  return {
      Text("gpu", "name", TWOSTEP_AT(std::string, gpu.name),
           "What reports call the GPU."),
      {"gpu",
       "dma_mask_bits",
       Kind::kNumber,
       TWOSTEP_AT(int, gpu.dma_mask_bits),
       "bits",
       24,
       64,
       {},
       "How wide the addresses are that the device can put on the bus."},
      Switch("gpu", "coherent", TWOSTEP_AT(bool, gpu.coherent),
             "The device sees the CPU's caches. If not, each side sees memory "
             "as it was when last synced."),
      Size("gpu", "max_segment", kPageSize, kMaxSpaceBytes,
           TWOSTEP_U64(gpu.segments.max_bytes),
           "The longest run of neighbouring addresses that the device takes as "
           "one segment. \"4 KiB\": one page a segment."),
      Size("gpu", "segment_boundary", 0, kMaxSpaceBytes,
           TWOSTEP_U64(gpu.segments.boundary),
           "A power of two: no segment crosses a multiple of it. 0: any."),
      {"gpu",
       "max_segments",
       Kind::kNumber,
       TWOSTEP_U64(gpu.segments.max_segments),
       "segments",
       1,
       SegmentLimits::kAny,
       {},
       "How many segments the device takes for one buffer object."},
      Size("gpu", "dma_alignment", kPageSize, SegmentLimits::kMaxAlignment,
           TWOSTEP_U64(gpu.segments.alignment),
           "A power of two: each whole block of so many bytes is contiguous "
           "and aligned on the bus. DYNAMIC bounces what is not."),
      {"gpu",
       "min_align_mask",
       Kind::kNumber,
       TWOSTEP_U64(gpu.segments.min_align_mask),
       "bytes",
       0,
       SegmentLimits::kMaxMinAlignMask,
       {},
       "A power of two less one: the bits that the address of a bounced page "
       "has in common with that of the page in memory (NVMe: 4095). 0: none."},
      Size("gpu", "vram", kPageSize, kMaxSpaceBytes,
           TWOSTEP_U64(gpu.vram_bytes),
           "The GPU's own memory. A replay sizes it by its trace or by "
           "`--vram` instead."),
      Size("gpu", "vram_visible", 0, kMaxSpaceBytes,
           TWOSTEP_U64(gpu.vram_visible_bytes),
           "The part of VRAM, from its start, that the CPU can map. Left out: "
           "all of it."),
      Choice("gpu", "vram_allocator",
             TWOSTEP_AT(SpaceAllocator, gpu.vram_allocator), {"range", "buddy"},
             "How VRAM is given out."),
      Size("gpu", "aperture", kPageSize, kMaxSpaceBytes,
           TWOSTEP_U64(gpu.aperture_bytes),
           "The range through which the GPU sees host memory (TT)."),
  };
}

#undef TWOSTEP_U64
#undef TWOSTEP_AT

// How a size is written: addresses and sizes alike.
std::string Quoted(uint64_t bytes) {
  if (bytes == GpuConfig::kAllOfIt) return "no limit";
  return bytes == 0 ? "0" : absl::StrCat("\"", FormatSize(bytes), "\"");
}

// What Expected() says in words.
Json ValueSchema(const MachineField& field) {
  Json whole = {{"type", "integer"}, {"minimum", field.min}};
  if (field.max != SegmentLimits::kAny) whole["maximum"] = field.max;
  switch (field.kind) {
    case Kind::kSize:
      whole["description"] = "Bytes: in whole pages.";
      whole["multipleOf"] = kPageSize;
      return {{"oneOf",
               {{{"type", "string"},
                 {"pattern", "^[0-9]+( ?(B|KiB|MiB|GiB|TiB))?$"}},
                whole}}};
    case Kind::kNumber:
      return whole;
    case Kind::kSwitch:
      return {{"type", "boolean"}};
    case Kind::kChoice:
      return {{"enum", field.choices}};
    case Kind::kText:
      break;
  }
  return {{"type", "string"}, {"pattern", "^[ -~]{1,64}$"}};
}

Json FieldSchema(const MachineField& field, const MachineFile& defaults) {
  std::string doc = field.doc;
  if (field.kind == Kind::kSize) doc = absl::StrCat("Size: ", doc);
  if (field.kind == Kind::kNumber) doc = absl::StrCat(field.unit, ": ", doc);
  Json schema = {{"description", doc}};
  // A limit that there is not has no value that a file could say.
  const std::string shown = field.Show(defaults);
  const Json value = Json::parse(shown, nullptr, /*allow_exceptions=*/false);
  if (!value.is_discarded()) schema["default"] = value;
  schema.update(ValueSchema(field));
  return schema;
}

Json TableSchema(const MachineTable& table, const MachineFile& defaults) {
  Json properties = Json::object();
  for (const MachineField& field : MachineFields()) {
    if (absl::string_view(field.table) != table.name) continue;
    properties[field.key] = FieldSchema(field, defaults);
  }
  return {{"description", table.doc},
          {"type", "object"},
          {"properties", std::move(properties)},
          {"additionalProperties", false}};
}

}  // namespace

const std::vector<MachineTable>& MachineTables() {
  static const auto& tables = *new std::vector<MachineTable>{
      {"", false, "At the top of the file, before any table."},
      {"memory", true,
       "Host memory, in frames of 4 KiB, and what is set aside of it."},
      {"iommu", false, "What stands between the device and host memory."},
      {"swiotlb", false,
       "Bounce buffers for memory that the device cannot reach."},
      {"xen", false, "The hypervisor under a Xen PV guest."},
      {"cost", false,
       "What operations cost in virtual time, which every replay runs on."},
      {"gpu", true, "The device."},
  };
  return tables;
}

const std::vector<MachineField>& MachineFields() {
  static const auto& fields = *new std::vector<MachineField>([] {
    std::vector<MachineField> all = MemoryFields();
    for (MachineField& field : CostFields()) all.push_back(std::move(field));
    for (MachineField& field : GpuFields()) all.push_back(std::move(field));
    return all;
  }());
  return fields;
}

std::string FieldName(absl::string_view table, absl::string_view key) {
  return table.empty() ? std::string(key) : absl::StrCat("[", table, "] ", key);
}

void MachineField::Set(MachineFile* file, uint64_t value) const {
  TWOSTEP_CHECK(kind != Kind::kText && value >= min && value <= max);
  std::visit(
      [&](auto member) {
        using T = std::remove_reference_t<decltype(member(*file))>;
        if constexpr (!std::is_same_v<T, std::string>) {
          member(*file) = static_cast<T>(value);
        }
      },
      target);
}

void MachineField::SetText(MachineFile* file, std::string text) const {
  std::get<Member<std::string>>(target)(*file) = std::move(text);
}

std::string MachineField::Show(const MachineFile& file) const {
  MachineFile copy = file;
  if (kind == Kind::kText) {
    return absl::StrCat("\"", std::get<Member<std::string>>(target)(copy),
                        "\"");
  }
  const uint64_t value = std::visit(
      [&](auto member) -> uint64_t {
        using T = std::remove_reference_t<decltype(member(copy))>;
        if constexpr (std::is_same_v<T, std::string>) {
          return 0;
        } else {
          return static_cast<uint64_t>(member(copy));
        }
      },
      target);
  switch (kind) {
    case Kind::kSize:
      return Quoted(value);
    case Kind::kSwitch:
      return value != 0 ? "true" : "false";
    case Kind::kChoice:
      return absl::StrCat("\"", choices[value], "\"");
    case Kind::kNumber:
    case Kind::kText:
      break;
  }
  return value == SegmentLimits::kAny ? "no limit" : absl::StrCat(value);
}

std::string MachineField::Expected() const {
  switch (kind) {
    case Kind::kSize:
      return absl::StrCat("a size of ", min == 0 ? "0" : FormatSize(min),
                          " to ", FormatSize(max), ", in whole pages of 4 KiB");
    case Kind::kNumber:
      return absl::StrCat("a whole number of ", unit, ", ",
                          max == SegmentLimits::kAny
                              ? absl::StrCat("at least ", min)
                              : absl::StrCat(min, " to ", max));
    case Kind::kSwitch:
      return "true or false";
    case Kind::kChoice:
      return absl::StrCat("\"", absl::StrJoin(choices, "\" or \""), "\"");
    case Kind::kText:
      break;
  }
  return "a text of 1 to 64 bytes";
}

std::string MachineFileReference() {
  std::string page =
      "# Machine files\n\n"
      "A machine file says what a replay runs on: host memory and its pools, "
      "the IOMMU or\nbounce buffers, and a GPU. It is TOML. `[memory]` and "
      "`[gpu]` must be there, every key\nmay be left out, and a key or table "
      "that this page does not name is an error.\n`examples/machines/` has "
      "twelve to begin with.\n\n"
      "A size is a text with a unit (B, KiB, MiB, GiB, TiB), as in \"256 "
      "MiB\", or a whole\nnumber of bytes. The pools `coherent` and `cma` and "
      "the bounce buffers lie in zone\nDMA32 and must fit there together. "
      "`forced` bouncing needs a pool, the IOVA space\nmust begin within the "
      "device's mask, and a file has at most 1 MiB,\nof ASCII outside of "
      "comments.\n\n"
      "<!-- Written by `bazel run //cli:print_machine_reference`. -->\n";
  const MachineFile defaults;
  for (const MachineTable& table : MachineTables()) {
    absl::StrAppend(
        &page, "\n## ",
        *table.name == '\0' ? "Top" : absl::StrCat("[", table.name, "]"),
        "\n\n", table.doc, table.required ? " Required." : "",
        "\n\n| key | value | default | meaning |\n"
        "| --- | --- | --- | --- |\n");
    for (const MachineField& field : MachineFields()) {
      if (absl::string_view(field.table) != table.name) continue;
      absl::StrAppend(&page, "| `", field.key, "` | ", field.Expected(), " | `",
                      field.Show(defaults), "` | ", field.doc, " |\n");
    }
  }
  return page;
}

std::string MachineFileSchema() {
  const MachineFile defaults;
  Json required = Json::array();
  Json properties = Json::object();
  for (const MachineTable& table : MachineTables()) {
    Json schema = TableSchema(table, defaults);
    if (*table.name == '\0') {
      properties.update(schema["properties"]);
      continue;
    }
    properties[table.name] = std::move(schema);
    if (table.required) required.push_back(table.name);
  }
  const Json schema = {
      {"$schema", "https://json-schema.org/draft/2020-12/schema"},
      {"title", "A machine file"},
      {"description",
       "A machine file's TOML, read as JSON. It holds for each key by itself; "
       "what must hold among them is in docs/machine-files.md. Written by "
       "`bazel run //cli:print_machine_reference -- --schema`."},
      {"type", "object"},
      {"properties", std::move(properties)},
      {"required", std::move(required)},
      {"additionalProperties", false}};
  return schema.dump(2) + "\n";
}

}  // namespace twostep
