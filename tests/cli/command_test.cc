// The twostep command as a user meets it: exit codes, messages, files.

#include <fstream>
#include <map>
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/cli/run_twostep.h"
#include "tests/trace/trace_writer.h"
#include "twostep/machine/version.h"

namespace twostep {
namespace {

using ::testing::HasSubstr;

std::string Small() {
  TraceWriterOptions options;
  options.records = 300;
  options.live_bos = 20;
  options.reads_percent = 5;
  return WriteTraceToString(options);
}

TEST(Command, ReplayEndsWithATableAndAVerdict) {
  const Ran ran = Twostep("replay " + WriteTempFile("a.botrace", Small()));
  EXPECT_EQ(ran.code, 0) << ran.output;
  EXPECT_THAT(ran.output, HasSubstr("validates"));
  EXPECT_THAT(ran.output, HasSubstr("0 bytes wrong, 0 rules broken"));
}

TEST(Command, VersionIsThatOfTheHeader) {
  const Ran ran = Twostep("--version");
  EXPECT_EQ(ran.code, 0);
  EXPECT_EQ(ran.output, absl::StrCat("twostep ", kVersion, "\n"));
}

TEST(Command, TheBundledTraceIsReplayedWhenNoneIsNamed) {
  const Ran ran = Twostep("replay --unbacked");
  EXPECT_EQ(ran.code, 0) << ran.output;
  EXPECT_THAT(ran.output, HasSubstr("glmark2"));
}

TEST(Command, JsonHasEveryDocumentedKey) {
  const std::string json = WriteTempFile("out.json", "");
  const Ran ran =
      Twostep(absl::StrCat("replay --quiet --audit-every 50 --json ", json, " ",
                           WriteTempFile("b.botrace", Small())));
  EXPECT_EQ(ran.code, 0) << ran.output;
  EXPECT_EQ(ran.output, "");
  std::ifstream file(json);
  const auto object = nlohmann::ordered_json::parse(file);
  EXPECT_EQ(object.begin().key(), "trace");  // in the order of the docs
  for (const char* key :
       {"trace",           "machine",       "mode",          "records",
        "submissions",     "frames",        "validates",     "validate_hits",
        "dma_binds",       "dma_evictions", "gpu_evictions", "bytes_moved",
        "syncs",           "cpu_faults",    "bytes_checked", "bytes_wrong",
        "rule_violations", "stall_ns",      "simulated_ns",  "wall_seconds",
        "peak_rss_bytes"}) {
    EXPECT_TRUE(object.contains(key)) << key;
  }
  for (const char* key : {"to_vram", "from_vram", "dma_evict_copy", "bounce",
                          "swap_out", "swap_in"}) {
    EXPECT_TRUE(object["bytes_moved"].contains(key)) << key;
  }
  EXPECT_EQ(object["records"], 300);
  EXPECT_GT(object["bytes_checked"], 0);
}

TEST(Command, SeveralTracesMakeAJsonArray) {
  const std::string json = WriteTempFile("two.json", "");
  const std::string trace = WriteTempFile("c.botrace", Small());
  const Ran ran = Twostep(absl::StrCat("replay --unbacked --quiet --json ",
                                       json, " ", trace, " ", trace));
  EXPECT_EQ(ran.code, 0) << ran.output;
  std::ifstream file(json);
  EXPECT_EQ(nlohmann::json::parse(file).size(), 2);
}

struct BadCase {
  const char* name;
  std::string arguments;
  const char* message;
};

// Bad input ends with exit 2 and a message that names the place.
TEST(Command, BadInputEndsWithTwoAndSaysWhere) {
  const std::string good = Small();
  const std::string trace = WriteTempFile("good.botrace", good);
  const std::string zst = Compress(good);
  const auto machine = [](const std::string& text) {
    static int count = 0;
    return WriteTempFile(absl::StrCat("machine", ++count, ".toml"), text);
  };
  const std::string rest = "\n[gpu]\nvram = \"1 MiB\"\n";
  const BadCase cases[] = {
      {"no such trace", "replay /nowhere.botrace", "/nowhere.botrace"},
      {"use after destroy",
       "replay " +
           WriteTempFile("d.botrace", "#botrace 1\nc 1 4096 v\nd 1\ng 0 1\n"),
       "d.botrace:4"},
      {"2^63 bytes",
       "replay " + WriteTempFile("e.botrace",
                                 "#botrace 1\nc 1 9223372036854775808 v\n"),
       "e.botrace:2"},
      {"negative size",
       "replay " + WriteTempFile("f.botrace", "#botrace 1\nc 1 -1 v\n"),
       "f.botrace:2"},
      {"binary", "replay " + WriteTempFile("g.botrace", std::string(64, '\0')),
       "g.botrace:1"},
      {"truncated zstd",
       "replay " +
           WriteTempFile("h.botrace.zst", zst.substr(0, zst.size() / 2)),
       "h.botrace.zst"},
      {"a bo of a tebibyte on a small machine",
       "replay " + WriteTempFile("i.botrace",
                                 "#botrace 1\nc 1 1099511627776 v\n"
                                 "w 1 0 4096\n"),
       "i.botrace:"},
      {"no such machine", "replay --machine /nowhere.toml " + trace,
       "/nowhere.toml"},
      {"unknown key",
       "replay --machine " +
           machine("[memory]\ndma32 = \"64 MiB\"\ncolour = 1\n" + rest) + " " +
           trace,
       "colour"},
      {"missing section",
       "replay --machine " + machine("[memory]\ndma32 = \"64 MiB\"\n") + " " +
           trace,
       "gpu"},
      {"size of 2^63",
       "replay --machine " +
           machine("[memory]\ndma32 = 9223372036854775808\n" + rest) + " " +
           trace,
       ".toml:2"},
      {"pools beyond the memory",
       "replay --machine " + machine("[memory]\ndma32 = \"1 MiB\"\n" + rest) +
           " " + trace,
       "dma32"},
      {"bad size", "replay --vram lots " + trace, "--vram"},
      {"no VRAM", "replay --vram 0 " + trace, "--vram"},
      {"unknown policy", "replay --eviction best " + trace, "lru"},
      {"unknown placement", "replay --placement best " + trace, "vram-tt"},
      {"unknown DMA type", "replay --dma-type best " + trace, "coherent"},
      {"unknown flag", "replay --best " + trace, "--best"},
      {"unknown command", "play", "play"},
      {"no command", "", "subcommand"},
      {"JSON to nowhere", "replay --unbacked --json /nowhere/x.json " + trace,
       "/nowhere/x.json"},
  };
  for (const BadCase& bad : cases) {
    const Ran ran = Twostep(bad.arguments);
    EXPECT_EQ(ran.code, 2) << bad.name << ": " << ran.output;
    EXPECT_THAT(ran.output, HasSubstr(bad.message)) << bad.name;
  }
}

// S2: the two baselines beside ours. There are IOVAs for four of seven bos, of
// which one is used all the time.
TEST(Command, WhoGivesWayWhenDmaRunsOutIsChosen) {
  std::string trace = "#botrace 1\n";
  for (int bo = 1; bo <= 7; ++bo)
    absl::StrAppend(&trace, "c ", bo, " 262144 v\n");
  for (int i = 0; i < 40; ++i) {
    absl::StrAppend(&trace, "g 0 1\ng 0 ", 2 + i % 6, "\n");
  }
  const std::string path = WriteTempFile("x.botrace", trace);
  const std::string machine = WriteTempFile(
      "x.toml",
      "[memory]\n[iommu]\nmode = \"translated\"\niova_base = \"8 GiB\"\n"
      "iova_size = \"1 MiB\"\n[gpu]\n");
  const auto run = [&](const std::string& command) {
    return Twostep(absl::StrCat(command, " --quiet --placement ",
                                "tt --machine ", machine, " --json - ", path));
  };
  std::map<std::string, uint64_t> evicted;
  for (const char* what : {"evict", "purge"}) {
    const Ran ran = run(absl::StrCat("replay --dma-exhaustion ", what));
    ASSERT_EQ(ran.code, 0) << ran.output;
    const auto figures = nlohmann::json::parse(ran.output);
    EXPECT_EQ(figures["dma_exhaustion"], what);
    EXPECT_EQ(figures["bytes_wrong"], 0);
    evicted[what] = figures["dma_evictions"]["dynamic"];
  }
  EXPECT_GT(evicted["evict"], 0u);
  EXPECT_GT(evicted["purge"], evicted["evict"]);
  const Ran failed = run("replay --dma-exhaustion fail");
  EXPECT_EQ(failed.code, 2);
  EXPECT_THAT(failed.output, HasSubstr("IOVA space of iommu0 is full"));
  // The same by compare, a policy a cell.
  const Ran compared =
      run("compare --policies lru --capacity 50% --dma-exhaustion purge");
  ASSERT_EQ(compared.code, 0) << compared.output;
  const auto sweep = nlohmann::json::parse(compared.output);
  EXPECT_EQ(sweep["dma_exhaustion"], "purge");
  EXPECT_THAT(std::string(sweep["simulated"]),
              HasSubstr("on DMA exhaustion purge"));
  EXPECT_GT(uint64_t{sweep["rows"][0]["dma_evictions"]}, evicted["evict"]);
}

TEST(Command, PoliciesAreListedWithTheirParameters) {
  const Ran ran = Twostep("policies");
  EXPECT_EQ(ran.code, 0) << ran.output;
  for (const char* line :
       {"\n  lru          least recently used first\n",
        "[small=0.1,ghost=0.9,threshold=2]\n", "\n  belady ", "\n  costed "}) {
    EXPECT_THAT(ran.output, HasSubstr(line));
  }
}

TEST(Command, AnEvictionPolicyIsSpelledWithItsParameters) {
  const std::string trace = WriteTempFile("p.botrace", Small());
  const Ran ran = Twostep(
      absl::StrCat("replay --unbacked --eviction s3fifo:small=0.3 ", trace));
  EXPECT_EQ(ran.code, 0) << ran.output;
  const Ran wrong =
      Twostep(absl::StrCat("replay --eviction s3fifo:large=0.3 ", trace));
  EXPECT_EQ(wrong.code, 2);
  EXPECT_THAT(wrong.output, HasSubstr("small, ghost, threshold"));
}

}  // namespace
}  // namespace twostep
