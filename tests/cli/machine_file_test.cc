#include "twostep/cli/machine_file.h"

#include <algorithm>
#include <fstream>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "gtest/gtest.h"
#include "twostep/cli/machine_fields.h"

namespace twostep {
namespace {

std::string Contents(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file.good()) << path;
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

absl::StatusOr<MachineFile> Parse(const std::string& text) {
  return ParseMachineFile(text, "m.toml");
}

// The file, or a clean refusal of it.
void ExpectCleanResult(const std::string& text) {
  const auto file = Parse(text);
  if (file.ok()) return;
  ASSERT_EQ(file.status().code(), absl::StatusCode::kInvalidArgument);
  const std::string message(file.status().message());
  int line = 0;
  ASSERT_EQ(std::sscanf(message.c_str(), "m.toml:%d: ", &line), 1) << message;
  ASSERT_GE(line, 1);
  ASSERT_LT(message.size(), 700u) << message;
  for (char c : message) ASSERT_TRUE(c >= ' ' && c < 0x7f) << message;
}

TEST(MachineFile, EmptyTablesGiveTheDefaults) {
  const auto file = Parse("[memory]\n[gpu]\n");
  ASSERT_TRUE(file.ok()) << file.status();
  for (const MachineField& field : MachineFields()) {
    EXPECT_EQ(field.Show(*file), field.Show(MachineFile{})) << field.key;
  }
}

TEST(MachineFile, EveryFieldGoesWhereItSays) {
  // Each field alone, with another value than its default, changes what it
  // shows and what no other field shows.
  const MachineFile defaults;
  for (const MachineField& field : MachineFields()) {
    MachineFile changed = defaults;
    switch (field.kind) {
      case MachineField::Kind::kText:
        field.SetText(&changed, "other");
        break;
      case MachineField::Kind::kSwitch:
      case MachineField::Kind::kChoice:
        field.Set(&changed, field.Show(defaults) == "true" ||
                                    field.Show(defaults) == "\"translated\""
                                ? 0
                                : 1);
        break;
      case MachineField::Kind::kSize:
        field.Set(&changed, 8192);
        break;
      case MachineField::Kind::kNumber:
        field.Set(&changed, 31);
        break;
    }
    for (const MachineField& other : MachineFields()) {
      EXPECT_EQ(other.Show(changed) == other.Show(defaults), &other != &field)
          << field.table << " " << field.key << " and " << other.key;
    }
    // And so does the text that it shows, read from a file.
    std::string text = "[memory]\n[gpu]\n";
    const std::string line =
        absl::StrCat(field.key, " = ", field.Show(changed), "\n");
    if (*field.table == '\0') {
      text = line + text;
    } else if (!absl::StrContains(text, absl::StrCat("[", field.table, "]"))) {
      absl::StrAppend(&text, "[", field.table, "]\n", line);
    } else {
      const std::string head = absl::StrCat("[", field.table, "]\n");
      text.insert(text.find(head) + head.size(), line);
    }
    // Too small alone; without a high one.
    if (absl::string_view(field.key) == "dma32" ||
        absl::string_view(field.key) == "low_watermark") {
      continue;
    }
    const auto file = Parse(text);
    ASSERT_TRUE(file.ok()) << file.status() << "\n" << text;
    EXPECT_EQ(field.Show(*file), field.Show(changed)) << field.key;
  }
}

TEST(MachineFile, PoolsMayFillDma32ToTheLastPage) {
  EXPECT_TRUE(Parse("[gpu]\n[memory]\ndma32 = '192 MiB'").ok());
  EXPECT_FALSE(Parse("[gpu]\n[memory]\ndma32 = '196604 KiB'").ok());
}

TEST(MachineFile, CommentsMayHoldAnyText) {
  EXPECT_TRUE(Parse("# \xc2\xb5s ..........................................\n"
                    "[memory] # \xef\xbc\x80 \xff\n[gpu]\n")
                  .ok());
}

TEST(MachineFile, SetsTheStructsItNames) {
  const auto file = Parse(
      "name = 'a'\n[memory]\ndma32 = '300 MiB'\nnormal = 0\ncoherent = 4096\n"
      "cma = '1 MiB'\nswap = '0'\nswap_medium = 'file'\nreserve = 4096\n"
      "low_watermark = 8192\nhigh_watermark = 12288\npage_limit = '1 MiB'\n"
      "[iommu]\nmode = 'translated'\n"
      "iova_base = 0x100000000\niova_size = '16 MiB'\n"
      "[swiotlb]\nsize = '8 MiB'\nforced = true\n[cost]\nzap_ns = 7\n"
      "[gpu]\nname = 'b'\ndma_mask_bits = 40\ncoherent = false\n"
      "max_segment = '64 KiB'\nsegment_boundary = '4 GiB'\nmax_segments = 9\n"
      "dma_alignment = '16 KiB'\n"
      "vram = '64 MiB'\nvram_allocator = 'buddy'\naperture = '4 GiB'\n");
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(file->machine.name, "a");
  EXPECT_EQ(file->machine.dma32_bytes, 300 * kMiB);
  EXPECT_EQ(file->machine.normal_bytes, 0u);
  EXPECT_EQ(file->machine.coherent_bytes, 4096u);
  EXPECT_EQ(file->machine.cma_bytes, kMiB);
  EXPECT_EQ(file->machine.swap_bytes, 0u);
  EXPECT_EQ(file->machine.swap_medium, SwapMedium::kFile);
  EXPECT_EQ(file->machine.reserve_bytes, 4096u);
  EXPECT_EQ(file->machine.low_watermark_bytes, 8192u);
  EXPECT_EQ(file->machine.high_watermark_bytes, 12288u);
  EXPECT_EQ(file->machine.page_limit_bytes, kMiB);
  EXPECT_EQ(file->machine.iommu.mode, IommuMode::kTranslated);
  EXPECT_EQ(file->machine.iommu.iova_base, 4 * kGiB);
  EXPECT_EQ(file->machine.iommu.iova_bytes, 16 * kMiB);
  EXPECT_EQ(file->machine.swiotlb.bytes, 8 * kMiB);
  EXPECT_TRUE(file->machine.swiotlb.forced);
  EXPECT_EQ(file->machine.cost.zap_ns, 7u);
  EXPECT_EQ(file->gpu.name, "b");
  EXPECT_EQ(file->gpu.dma_mask_bits, 40);
  EXPECT_EQ(file->gpu.segments, (SegmentLimits{.max_bytes = 64 * kKiB,
                                               .boundary = 4 * kGiB,
                                               .max_segments = 9,
                                               .alignment = 16 * kKiB}));
  EXPECT_FALSE(file->gpu.coherent);
  EXPECT_EQ(file->gpu.vram_bytes, 64 * kMiB);
  EXPECT_EQ(file->gpu.vram_visible_bytes, GpuConfig::kAllOfIt);  // left out
  EXPECT_EQ(file->gpu.vram_allocator, SpaceAllocator::kBuddy);
  EXPECT_EQ(file->gpu.aperture_bytes, 4 * kGiB);
}

struct BadCase {
  std::string text;
  std::string error;  // that the error must contain
};

TEST(MachineFile, SaysFileLineFieldAndWayOut) {
  const std::string gpu = "[gpu]\n";
  const std::string both = "[memory]\n[gpu]\n";
  const BadCase cases[] = {
      {"", "m.toml:1: [memory]: the table is missing; it is required"},
      {"[memory]\n", "m.toml:1: [gpu]: the table is missing"},
      {gpu, "m.toml:1: [memory]: the table is missing"},
      {"memory = 1\n" + gpu, "m.toml:1: [memory]: expected a table"},
      {"[[memory]]\n" + gpu, "[memory]: expected a table"},
      {both + "vramm = 1", "m.toml:3: [gpu] \"vramm\": unknown; expected one"},
      {both + "[gpus]\n",
       "m.toml:3: \"gpus\": unknown; expected one of name, "
       "[memory], [iommu], [swiotlb], [xen], [cost], [gpu]"},
      {"vram = 1\n" + both, "m.toml:1: \"vram\": unknown"},
      {"\"\" = 1\n" + both, "m.toml:1: \"\": unknown"},
      {both + "vram = '1 MB'", "m.toml:3: [gpu] vram: size \"1 MB\": after a"},
      {both + "vram = '-1'", "m.toml:3: [gpu] vram: size \"-1\": expected"},
      {both + "vram = -4096", "[gpu] vram: -4096 bytes are less than none"},
      {both + "vram = '9223372036854775808'", "2^63 bytes or more"},
      {both + "vram = 9223372036854775808", "m.toml:3: not TOML: "},
      {both + "vram = 9223372036854775807", "is too large; expected a size"},
      {both + "vram = '8388607 TiB'", "\"8388607 TiB\" is too large"},
      {both + "vram = '65 GiB'",
       "m.toml:3: [gpu] vram: \"65 GiB\" is too large; expected a size of 4 "
       "KiB to 64 GiB, in whole pages of 4 KiB"},
      {both + "vram = 0", "[gpu] vram: 0 bytes is too small"},
      {both + "vram = 4097", "is 1 bytes more than whole pages"},
      {both + "vram = 4096.0", "neither a size as text nor a whole number"},
      {both + "vram = true", "neither a size"},
      {both + "vram = [1]", "neither a size"},
      {both + "vram = {}", "neither a size"},
      {both + "dma_mask_bits = 23",
       "dma_mask_bits: 23 is out of range; "
       "expected a whole number of bits, 24 to"},
      {both + "dma_mask_bits = 65", "65 is out of range"},
      {both + "dma_mask_bits = -1", "-1 is out of range"},
      {both + "dma_alignment = '12 KiB'",
       "m.toml:3: [gpu] dma_alignment: not a power of two"},
      {both + "dma_alignment = '512 KiB'",
       "[gpu] dma_alignment: \"512 KiB\" is too large; expected a size of 4 "
       "KiB to 256 KiB"},
      {both + "dma_alignment = '64 KiB'\nmax_segment = '32 KiB'",
       "m.toml:4: [gpu] max_segment: less than a page, or than the alignment"},
      {both + "segment_boundary = '12 KiB'",
       "m.toml:3: [gpu] segment_boundary: not a power of two"},
      {both + "max_segments = 0",
       "[gpu] max_segments: 0 is out of range; expected a whole number of "
       "segments, at least 1"},
      {both + "dma_mask_bits = '32'", "dma_mask_bits: not a whole number"},
      {both + "coherent = 1", "[gpu] coherent: not a switch; expected true"},
      {both + "vram_allocator = 'slab'",
       "vram_allocator: \"slab\" is none of its words; expected \"range\" or "
       "\"buddy\""},
      {both + "vram_allocator = 1", "vram_allocator: not a text"},
      {both + "name = ''", "[gpu] name: 0 bytes long"},
      {both + "name = '" + std::string(65, 'x') + "'", "65 bytes long"},
      {both + "name = \"\\u001b\"", "[gpu] name: control characters"},
      {both + "vram = '1 MiB'\nvram_visible = '2 MiB'",
       "m.toml:4: [gpu] vram_visible: 2 MiB are more than the VRAM has; at "
       "most 1 MiB"},
      {gpu + "[memory]\ndma32 = '5 GiB'",
       "m.toml:3: [memory] dma32: \"5 GiB\" is too large"},
      {gpu + "[memory]\ndma32 = 0", "[memory] dma32: 0 bytes is too small"},
      {gpu + "[memory]\ndma32 = '64 MiB'",
       "m.toml:3: [memory] dma32: 64 MiB cannot hold the pools"},
      {gpu + "[memory]\n\ncoherent = '1 GiB'",
       "m.toml:2: [memory] dma32: 512 MiB cannot hold the pools carved out of "
       "it: coherent 1 GiB, cma 64 MiB, [swiotlb] size 64 MiB are 1152 MiB"},
      {gpu + "[memory]\nlow_watermark = '2 MiB'\nhigh_watermark = '1 MiB'",
       "m.toml:4: [memory] high_watermark: 1 MiB is below low_watermark, 2"},
      {gpu + "[memory]\nreserve = '900 MiB'",
       "m.toml:3: [memory] reserve: reserve and high_watermark together are "
       "900 MiB; beside the pools there are 832 MiB"},
      {gpu + "[memory]\nhigh_watermark = '900 MiB'",
       "[memory] high_watermark: reserve and high_watermark together are"},
      {gpu + "[memory]\nswap_medium = 'tape'",
       "m.toml:3: [memory] swap_medium: \"tape\" is none of its words"},
      {both + "[swiotlb]\nsize = 0\nforced = true",
       "m.toml:5: [swiotlb] forced: there is no pool"},
      {both + "dma_mask_bits = 32\n[iommu]\nmode = 'translated'",
       "m.toml:4: [iommu] iova_base: 1 TiB is beyond the device's mask of 32"},
      {both + "[iommu]\nmode = 'on'", "m.toml:4: [iommu] mode: \"on\""},
      {gpu + "[memory]\ncma = '1 MiB'\n[xen]\npv = true",
       "m.toml:3: [memory] cma: a Xen PV guest's frames"},
      {gpu + "[memory]\ncma = 0\n[xen]\npv = true\n[iommu]\nmode = 'gart'",
       "m.toml:7: [iommu] mode: a Xen PV guest has no IOMMU"},
      {gpu + "[memory]\ncma = 0\n[xen]\npv = true\nexchange = '3 MiB'",
       "m.toml:6: [xen] exchange: expected a multiple of 2 MiB"},
      {gpu + "[memory]\ncma = 0\n[xen]\npv = true\nexchange = '32 MiB'",
       "m.toml:6: [xen] exchange: 32 MiB cannot hold the bounce buffers, "
       "[swiotlb] size 64 MiB"},
      {gpu + "[memory]\ncma = 0\ndma32 = '4 GiB'\n[xen]\npv = true",
       "m.toml:4: [memory] dma32: 4 GiB and [xen] exchange, 256 MiB, do not"},
      {both + "dma_mask_bits = 32\n[iommu]\nmode = 'gart'",
       "m.toml:4: [iommu] iova_base: 1 TiB is beyond the device's mask of 32"},
      {both + "[iommu]\nflush_queue = 65537", "65537 is out of range"},
      {both + "[iommu]\niova_size = 0", "iova_size: 0 bytes is too small"},
      {both + "[cost]\nbus_mib_per_s = 0", "[cost] bus_mib_per_s: 0 is out"},
      {both + "[cost]\nmap_ns = -1", "[cost] map_ns: -1 is out of range"},
      {both + "[cost]\nmap_ns = 1.5", "[cost] map_ns: not a whole number"},
      {both + "vram = 4096\nvram = 4096", "m.toml:4: not TOML: "},
      {both + "[gpu]", "m.toml:3: not TOML: "},
      {both + "vram", "not TOML: "},
      {both + "name = 'x'\n\xef\xbc\x80 = 1",
       "m.toml:4: expected ASCII outside"},
      {"\xef\xbb\xbf" + both, "m.toml:1: expected ASCII"},
      // These break an assertion of the parser.
      {both + "\n[.a]\n", "m.toml:4: not TOML: "},
      {both + "[gpu .. a]", "m.toml:3: not TOML: "},
      {"[.", "m.toml:1: not TOML: "},
      {std::string("\0", 1), "m.toml:1: not TOML: "},
  };
  for (const BadCase& bad : cases) {
    SCOPED_TRACE(bad.text);
    const auto file = Parse(bad.text);
    ASSERT_FALSE(file.ok());
    EXPECT_EQ(file.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_TRUE(absl::StrContains(file.status().message(), bad.error))
        << file.status();
    ExpectCleanResult(bad.text);
  }
}

TEST(MachineFile, WhatCannotBeReadIsNotFound) {
  for (const char* path : {"", "/", "/dev/zero", "missing.toml"}) {
    const auto file = ReadMachineFile(path);
    EXPECT_EQ(file.status().code(), absl::StatusCode::kNotFound) << path;
    EXPECT_TRUE(absl::StartsWith(file.status().message(),
                                 absl::StrCat(path, ": cannot be read: ")));
  }
}

TEST(MachineFile, LongFilesAreRefused) {
  std::string text = "[memory]\n[gpu]\n";
  text.resize(kMaxMachineFileBytes, '\n');
  EXPECT_TRUE(Parse(text).ok());
  EXPECT_TRUE(absl::StrContains(Parse(text + "\n").status().message(),
                                "longer than the 1 MiB"));
}

TEST(MachineFile, DeepNestingIsRefused) {
  const auto repeat = [](const std::string& piece, int count) {
    std::string all;
    for (int i = 0; i < count; ++i) all += piece;
    return all;
  };
  const int deep = 100000;
  for (const std::string& text :
       {repeat("a.", deep) + "a = 1", "[" + repeat("a.", deep) + "a]",
        "a = " + repeat("[", deep),
        "a = " + repeat("[", deep) + repeat("]", deep),
        "a = " + repeat("{a=", deep),
        // As deep as the parser goes, and closed.
        "[memory]\n[gpu]\na = " +
            repeat("{" + repeat("a.", 31) + "a = [\n", 120) + repeat("]}", 120),
        "\"#\" = 1\n\"#\"." + repeat("a.", deep) + "a = 1",
        "a = [\n" + repeat("{" + repeat("a.", 30) + "a = [\n", 3000),
        "a = '''\n#'''\n" + repeat("b.", deep) + "b = 1",
        repeat("[[a]]\n", deep), repeat("[a.b]\n", deep),
        "[[a]]\n" + repeat("[[a." + repeat("b.", 30) + "b]]\n", 1000)}) {
    const auto file = Parse(text);
    EXPECT_FALSE(file.ok());
    ExpectCleanResult(text);
  }
}

TEST(MachineFile, ExamplesCutChangedAndShuffledGiveCleanErrors) {
  for (const char* name :
       {"bare-metal", "iommu", "xen-swiotlb", "arm-cma", "confidential-guest",
        "xen-pv", "gart", "iommu-lazy", "smp-guest", "passthrough",
        "low-memory", "huge-aperture"}) {
    const std::string path = absl::StrCat("examples/machines/", name, ".toml");
    const auto file = ReadMachineFile(path);
    ASSERT_TRUE(file.ok()) << file.status();
    EXPECT_EQ(file->machine.name, name);

    const std::string text = Contents(path);
    for (size_t cut = 0; cut < text.size(); ++cut) {
      ExpectCleanResult(text.substr(0, cut));
    }
    std::mt19937_64 random(1);
    for (int i = 0; i < 4000; ++i) {
      std::string bytes = text;
      bytes[random() % bytes.size()] = static_cast<char>(random());
      ExpectCleanResult(bytes);
    }
    std::vector<std::string> lines = absl::StrSplit(text, '\n');
    for (int i = 0; i < 300; ++i) {
      std::shuffle(lines.begin(), lines.end(), random);
      ExpectCleanResult(absl::StrJoin(lines, "\n"));
    }
  }
}

TEST(MachineFile, RandomBytesGiveCleanErrors) {
  std::mt19937_64 random(2);
  const std::string some = "[]{}.,=\"'#\n\r\t ab09-+_:\\uxoe\x80\xe4\xff";
  for (int i = 0; i < 20000; ++i) {
    std::string bytes(random() % 60, '\0');
    for (char& c : bytes) {
      c = i % 4 == 0 ? static_cast<char>(random())
                     : some[random() % some.size()];
    }
    ExpectCleanResult(bytes);
    ExpectCleanResult("[memory]\n[gpu]\n" + bytes);
  }
}

TEST(MachineFile, RandomPiecesOfTomlGiveCleanErrors) {
  const char* const pieces[] = {
      "[",   "[[",         "]",        "]]",      "a",
      "b",   ".",          "=",        "\"",      "\"\"\"",
      "'",   "'''",        "{",        "}",       ",",
      "\n",  "#",          "true",     "inf",     "nan",
      "1",   "1979-05-27", "07:32:00", "Z",       "0x",
      "0b",  "0o",         "_",        "-",       "+",
      "e",   "\\",         " ",        "\\u1",    "f",
      "gpu", "= 1",        "a = ",     "[gpu]\n", "\xef\xbc\x80",
      "\r\n"};
  std::mt19937_64 random(3);
  for (int i = 0; i < 20000; ++i) {
    std::string text;
    for (uint64_t n = random() % 12; n > 0; --n) {
      text += pieces[random() % std::size(pieces)];
    }
    ExpectCleanResult(text);
  }
}

TEST(MachineFile, TheReferencePageIsUpToDate) {
  EXPECT_EQ(Contents("docs/machine-files.md"), MachineFileReference())
      << "run: bazel run //cli:print_machine_reference > docs/machine-files.md";
}

TEST(MachineFile, TheSchemaIsUpToDate) {
  const std::string path = "docs/schemas/machine-file.schema.json";
  EXPECT_EQ(Contents(path), MachineFileSchema())
      << "run: bazel run //cli:print_machine_reference -- --schema > " << path;
}

}  // namespace
}  // namespace twostep
