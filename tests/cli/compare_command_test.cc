// twostep compare and twostep merge as a user meets them.

#include <fstream>
#include <iterator>
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/cli/run_twostep.h"
#include "tests/trace/trace_writer.h"

namespace twostep {
namespace {

using ::testing::HasSubstr;

std::string Trace(const std::string& name) {
  TraceWriterOptions options;
  options.records = 400;
  options.live_bos = 30;
  return WriteTempFile(name, WriteTraceToString(options));
}

std::string Contents(const std::string& path) {
  std::ifstream file(path);
  return std::string((std::istreambuf_iterator<char>(file)), {});
}

// Without what depends on the machine underneath.
nlohmann::ordered_json Figures(const std::string& json) {
  auto object = nlohmann::ordered_json::parse(json);
  for (auto& row : object["rows"]) row["records_per_second"] = 0;
  return object;
}

TEST(CompareCommand, PrintsATableThatSaysWhatIsSimulated) {
  const Ran ran = Twostep("compare --policies lru,fifo --capacity 30% " +
                          Trace("t.botrace"));
  EXPECT_EQ(ran.code, 0) << ran.output;
  for (const char* text : {"simulated: replays", "t.botrace, ttm-like, 30% = ",
                           "lru", "fifo", "belady", "regret", "least"}) {
    EXPECT_THAT(ran.output, HasSubstr(text));
  }
}

TEST(CompareCommand, JsonHasEveryDocumentedKeyInEveryRow) {
  const std::string json = WriteTempFile("keys.json", "");
  const std::string trace = Trace("k.botrace");
  for (const char* mode : {"", "--cache-only "}) {
    const Ran ran = Twostep(
        absl::StrCat("compare --quiet --policies lru --capacity 30%,64KiB ",
                     mode, trace, " --json ", json));
    EXPECT_EQ(ran.code, 0) << ran.output;
    EXPECT_EQ(ran.output, "");
    const auto object = nlohmann::json::parse(Contents(json));
    for (const char* key : {"simulated", "mode", "machine", "dma_type",
                            "dma_exhaustion", "shard", "shards", "cells"}) {
      EXPECT_TRUE(object.contains(key)) << key;
    }
    EXPECT_EQ(object["rows"].size(), 4);
    for (const auto& row : object["rows"]) {
      for (const char* key : {"cell",
                              "trace",
                              "placement",
                              "capacity",
                              "capacity_bytes",
                              "eviction",
                              "status",
                              "error",
                              "records",
                              "requests",
                              "misses",
                              "miss_bytes",
                              "bytes_moved",
                              "least_bytes",
                              "regret",
                              "bus_bytes",
                              "dma_evictions",
                              "gpu_evictions",
                              "stall_ns",
                              "simulated_ns",
                              "rule_violations",
                              "records_per_second"}) {
        EXPECT_TRUE(row.contains(key)) << key;
      }
      EXPECT_EQ(row["status"], "ok");
      EXPECT_GT(row["records_per_second"], 0);
    }
  }
}

TEST(CompareCommand, JsonAndCsvWithoutAFileArePrinted) {
  const std::string trace = Trace("p.botrace");
  const Ran json = Twostep(
      absl::StrCat("compare ", trace, " --policies lru --capacity 50% --json"));
  EXPECT_EQ(json.code, 0);
  EXPECT_EQ(Figures(json.output)["rows"].size(), 2);
  const Ran csv = Twostep(
      absl::StrCat("compare ", trace, " --policies lru --capacity 50% --csv"));
  EXPECT_EQ(csv.code, 0);
  EXPECT_EQ(csv.output.find("cell,trace,placement,"), 0);
}

TEST(CompareCommand, ATraceTakenForAnOutputFileIsNotOverwritten) {
  const std::string trace = Trace("o.botrace");
  const std::string bytes = Contents(trace);
  const Ran ran = Twostep(
      absl::StrCat("compare --policies lru --json ", trace, " ", trace));
  EXPECT_EQ(ran.code, 2);
  EXPECT_THAT(ran.output, HasSubstr("not the output of an earlier run"));
  EXPECT_EQ(Twostep(absl::StrCat("compare --csv ", trace)).code, 2);
  EXPECT_EQ(Contents(trace), bytes);
}

TEST(CompareCommand, ShardsMergeToWhatOneRunPrints) {
  const std::string trace = Trace("s.botrace");
  for (const char* mode : {"", "--cache-only "}) {
    const std::string sweep =
        absl::StrCat("compare --quiet ", mode, trace,
                     " --policies lru,fifo --capacity 20%,40% --json ");
    const std::string whole = WriteTempFile("whole.json", "");
    ASSERT_EQ(Twostep(sweep + whole).code, 0);
    std::string paths;
    for (int shard = 0; shard < 4; ++shard) {
      const std::string path =
          WriteTempFile(absl::StrCat("shard", shard, ".json"), "");
      ASSERT_EQ(
          Twostep(absl::StrCat(sweep, path, " --shard ", shard, "/4")).code, 0);
      absl::StrAppend(&paths, " ", path);
    }
    const std::string merged = WriteTempFile("merged.json", "");
    const Ran ran = Twostep(absl::StrCat("merge", paths, " --json ", merged));
    EXPECT_EQ(ran.code, 0) << ran.output;
    EXPECT_THAT(ran.output, HasSubstr("belady"));
    EXPECT_EQ(Figures(Contents(merged)).dump(),
              Figures(Contents(whole)).dump());
  }
}

TEST(CompareCommand, CellsThatCannotRunEndWithThreeAndSayWhy) {
  const std::string trace = WriteTempFile(
      "big.botrace", "#botrace 1\nc 1 1048576 v\nc 2 4096 v\ng 0 1\ng 0 2\n");
  const std::string json = WriteTempFile("big.json", "");
  const Ran ran = Twostep(absl::StrCat(
      "compare --placement vram --policies lru --capacity '64 KiB,2 MiB' ",
      trace, " --json ", json));
  EXPECT_EQ(ran.code, 3) << ran.output;
  EXPECT_THAT(ran.output, HasSubstr("did not run: "));
  EXPECT_THAT(ran.output, HasSubstr("2 of 4 cells could not run"));
  const auto rows = nlohmann::json::parse(Contents(json))["rows"];
  EXPECT_EQ(rows[0]["status"], "error");
  EXPECT_THAT(std::string(rows[0]["error"]), HasSubstr("big.botrace:4"));
  EXPECT_TRUE(rows[0]["misses"].is_null());
  EXPECT_EQ(rows[2]["status"], "ok");
}

TEST(CompareCommand, BadInputEndsWithTwoAndSaysWhere) {
  const std::string trace = Trace("g.botrace");
  const std::string binary = WriteTempFile("g.bin", std::string(48, '\1'));
  const std::string json = WriteTempFile("g.json", "{\"rows\": []}");
  struct Case {
    std::string arguments;
    const char* message;
  };
  const Case cases[] = {
      {"compare", "TRACE"},
      {"compare /nowhere.botrace", "/nowhere.botrace"},
      {"compare " + binary, "g.bin:1"},
      {"compare --cache-only /nowhere.bin", "/nowhere.bin"},
      {"compare --policies best " + trace, "lru"},
      {"compare --policies lru:x=1 " + trace, "it has none"},
      {"compare --placement best " + trace, "costed"},
      {"compare --capacity some " + trace, "--capacity"},
      {"compare --capacity 0% " + trace, "--capacity"},
      {"compare --capacity x% " + trace, "--capacity"},
      {"compare --capacity 0 " + trace, "--capacity"},
      {"compare --shard 2/2 " + trace, "--shard"},
      {"compare --shard 1 " + trace, "--shard"},
      {"compare --machine /nowhere.toml " + trace, "/nowhere.toml"},
      {"compare --cache-only --machine x.toml " + trace, "--machine"},
      {"compare --cache-only --placement fixed " + trace, "--placement"},
      {"compare --cache-only --dma-type cma " + trace, "--dma-type"},
      {"compare --cache-only --dma-exhaustion purge " + trace,
       "--dma-exhaustion"},
      {"compare --quiet --json /nowhere/x.json " + trace, "/nowhere/x.json"},
      {"merge", "JSON"},
      {"merge /nowhere.json", "/nowhere.json"},
      {"merge " + trace, "g.botrace"},
      {"merge " + json, "g.json"},
  };
  for (const Case& bad : cases) {
    const Ran ran = Twostep(bad.arguments);
    EXPECT_EQ(ran.code, 2) << bad.arguments << ": " << ran.output;
    EXPECT_THAT(ran.output, HasSubstr(bad.message)) << bad.arguments;
  }
}

}  // namespace
}  // namespace twostep
