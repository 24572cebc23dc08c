// Pages as a user gets them: --report of replay, compare and stress. That they
// can be read is for tests/report, which has a browser.

#include <algorithm>
#include <fstream>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/cli/run_twostep.h"
#include "tests/trace/trace_writer.h"
#include "twostep/cli/html_report.h"
#include "twostep/cli/run_history.h"

namespace twostep {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using Json = nlohmann::ordered_json;

constexpr char kData[] = "<script type=\"application/json\" id=\"data\">\n";

std::string Read(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

// What is in the page's element for data, up to where a browser ends it.
std::string DataOf(const std::string& page) {
  const size_t at = page.find(kData);
  if (at == std::string::npos) return "";
  const size_t from = at + sizeof(kData) - 1;
  return page.substr(from, page.find("</script", from) - from);
}

struct Reported {
  Json data;     // of the page
  Json figures;  // of --json
};

Reported Report(const std::string& name, const std::string& command) {
  const std::string page = WriteTempFile(name + ".html", "");
  const std::string json = WriteTempFile(name + ".json", "");
  const Ran ran =
      Twostep(absl::StrCat(command, " --report ", page, " --json ", json));
  EXPECT_EQ(ran.code, 0) << ran.output;
  return {Json::parse(DataOf(Read(page))), Json::parse(Read(json))};
}

std::string TightTrace() {
  TraceWriterOptions options;
  options.records = 4000;
  options.live_bos = 60;
  options.min_bo_bytes = 65536;
  options.reads_percent = 5;
  return WriteTempFile("tight.botrace", WriteTraceToString(options));
}

// A machine file: a device behind an IOMMU.
std::string Translated(int flush_queue) {
  return absl::StrCat(
      "[memory]\n[iommu]\nmode = \"translated\"\nflush_queue = ", flush_queue,
      "\n[swiotlb]\n[gpu]\n");
}

const Json& SeriesOf(const Json& timeline, const std::string& group,
                     const std::string& name) {
  for (const Json& series : timeline["series"]) {
    if (series["group"] == group && series["name"] == name) return series;
  }
  ADD_FAILURE() << "no series " << group << " " << name;
  static const Json kNone = {{"last", {0}}};
  return kNone;
}

TEST(HtmlReport, DataCannotEndTheElementThatItIsIn) {
  const Json data = {{"kind", "replay"},
                     {"name", "</script><!--<script>alert(1)"}};
  const std::string page = HtmlReport(data);
  EXPECT_EQ(Json::parse(DataOf(page)), data);
  EXPECT_THAT(page, Not(HasSubstr("alert(1)\"}</script>\n<script>alert")));
  EXPECT_THAT(DataOf(page), Not(HasSubstr("<")));
}

TEST(HtmlReport, BytesThatAreNoTextDoNotStopIt) {
  const std::string page = HtmlReport({{"kind", "\xff\xfe"}});
  EXPECT_TRUE(Json::parse(DataOf(page)).contains("kind"));
}

TEST(HtmlReport, NeedsNoOtherFileAndHasTheLicenceOfWhatItUses) {
  const std::string page = HtmlReport({{"kind", "replay"}});
  EXPECT_THAT(page, HasSubstr("default-src 'none'"));
  EXPECT_THAT(page, HasSubstr("Leon Sorokin"));
  EXPECT_THAT(page, Not(HasSubstr("@include")));
  EXPECT_THAT(page, Not(HasSubstr("src=\"")));
  EXPECT_THAT(page, Not(HasSubstr("@import")));
}

TEST(ReplayReport, EndsAtTheFiguresOfTheRun) {
  const Reported run =
      Report("ends", absl::StrCat("replay --quiet --unbacked --eviction lru "
                                  "--placement ttm-like --vram '2 MiB' ",
                                  TightTrace()));
  EXPECT_EQ(run.data["kind"], "replay");
  ASSERT_EQ(run.data["runs"].size(), 1u);
  const Json& figures = run.figures;
  EXPECT_EQ(run.data["runs"][0]["figures"], figures);
  const Json& history = run.data["runs"][0]["history"];
  const Json& timeline = history["timeline"];
  const auto last = [&](const char* group, const std::string& name) {
    return SeriesOf(timeline, group, name)["last"].back();
  };
  EXPECT_GT(figures["bytes_moved"]["to_vram"], 0);
  EXPECT_GT(figures["gpu_evictions"]["vram"], 0);
  EXPECT_GT(figures["stall_ns"], 0);
  for (const auto& [name, bytes] : figures["bytes_moved"].items()) {
    EXPECT_EQ(last("bytes_moved", name), bytes) << name;
  }
  for (const auto& [name, count] : figures["gpu_evictions"].items()) {
    EXPECT_EQ(last("gpu_evictions", name), count) << name;
  }
  for (const auto& [name, count] : figures["dma_evictions"].items()) {
    EXPECT_EQ(last("dma_evictions", name), count) << name;
  }
  EXPECT_EQ(last("stall", "sum"), figures["stall_ns"]);
  EXPECT_EQ(history["stalls"]["stall_ns"], figures["stall_ns"]);
  EXPECT_EQ(timeline["to_ns"].back(), figures["simulated_ns"]);
  EXPECT_EQ(timeline["frame"].back(), figures["frames"]);
  // The start, each submission, the end.
  EXPECT_EQ(timeline["samples"], figures["submissions"].get<int>() + 2);
}

TEST(ReplayReport, EvictionsAddUpToThoseOfTheFigures) {
  const Reported run =
      Report("pairs", absl::StrCat("replay --quiet --unbacked --eviction lru "
                                   "--placement ttm-like --vram '2 MiB' ",
                                   TightTrace()));
  const Json& evictions = run.data["runs"][0]["history"]["evictions"];
  uint64_t listed = evictions["left_out"]["evictions"];
  uint64_t bytes = evictions["left_out"]["bytes"];
  uint64_t before = ~uint64_t{0};
  for (const Json& row : evictions["rows"]) {
    listed += row["evictions"].get<uint64_t>();
    bytes += row["bytes"].get<uint64_t>();
    EXPECT_EQ(row["from"], "vram");
    EXPECT_EQ(row["limit"], "memory-type");
    EXPECT_LE(row["bytes"].get<uint64_t>(), before);
    before = row["bytes"];
  }
  EXPECT_LE(evictions["rows"].size(), kReplayHistory.evictions.pairs);
  EXPECT_GT(evictions["left_out"]["pairs"], 0);
  EXPECT_EQ(listed, evictions["evictions"]);
  EXPECT_EQ(bytes, evictions["bytes"]);
  EXPECT_EQ(evictions["evictions"], run.figures["gpu_evictions"]["vram"]);
}

// What rows of evictions come to: how many, of how many bytes.
std::pair<uint64_t, uint64_t> SumOf(const Json& rows) {
  std::pair<uint64_t, uint64_t> sum;
  for (const Json& row : rows) {
    sum.first += row["evictions"].get<uint64_t>();
    sum.second += row["bytes"].get<uint64_t>();
  }
  return sum;
}

TEST(ReplayReport, CoarserViewsHaveAllEvictions) {
  const Reported run =
      Report("coarse", absl::StrCat("replay --quiet --unbacked --eviction lru "
                                    "--placement ttm-like --vram '2 MiB' ",
                                    TightTrace()));
  const Json& evictions = run.data["runs"][0]["history"]["evictions"];
  const auto all = std::make_pair(evictions["evictions"].get<uint64_t>(),
                                  evictions["bytes"].get<uint64_t>());
  EXPECT_GT(evictions["left_out"]["pairs"], 0);
  EXPECT_EQ(SumOf(evictions["by_size"]), all);
  const Json& by_order = evictions["by_order"];
  EXPECT_EQ(SumOf(by_order["rows"]), all);
  const uint64_t width = by_order["bos_per_group"];
  EXPECT_GT(width, 1u);
  uint64_t first = ~uint64_t{0};
  uint64_t last = 0;
  for (const Json& row : by_order["rows"]) {
    EXPECT_FALSE(row.contains("victim_in_trace"));
    for (const char* key : {"victim", "for_bo"}) {
      first = std::min(first, row[key].get<uint64_t>());
      last = std::max(last, row[key].get<uint64_t>());
    }
  }
  EXPECT_EQ((last - first) % width, 0u);
  EXPECT_LT((last - first) / width, kReplayHistory.evictions.groups);
}

// A machine with room for two bos of the three.
TEST(ReplayReport, BosHaveTheNumbersOfTheRunAndOfTheTrace) {
  const std::string trace = WriteTempFile("sparse.botrace",
                                          "#botrace 1\n"
                                          "c 70 1048576 t\n"
                                          "c 5 524288 t\n"
                                          "c 2 786432 t\n"
                                          "g 0 70 5\n"
                                          "g 0 2\n"
                                          "f\n");
  const Reported run =
      Report("named", absl::StrCat("replay --quiet --unbacked --eviction lru "
                                   "--placement ttm-like --vram '2 MiB' ",
                                   trace));
  const Json& evictions = run.data["runs"][0]["history"]["evictions"];
  const Json expected = {{"victim", 1},           {"for_bo", 3},
                         {"victim_in_trace", 70}, {"for_bo_in_trace", 2},
                         {"evictions", 1},        {"bytes", 1048576}};
  ASSERT_EQ(evictions["rows"].size(), 1u) << evictions;
  for (const auto& [key, value] : expected.items()) {
    EXPECT_EQ(evictions["rows"][0][key], value) << key;
  }
  EXPECT_EQ(evictions["by_order"],
            Json({{"bos_per_group", 1}, {"rows", {expected}}}));
  // Rounded down to 2^n.
  EXPECT_EQ(evictions["by_size"], Json::array({{{"from", "vram"},
                                                {"victim_bytes", 1048576},
                                                {"for_bytes", 524288},
                                                {"evictions", 1},
                                                {"bytes", 1048576}}}));
}

TEST(ReplayReport, StallsSayWhatWasEvictedForThem) {
  const Reported run =
      Report("stalls", absl::StrCat("replay --quiet --unbacked --eviction lru "
                                    "--placement ttm-like --vram '2 MiB' ",
                                    TightTrace()));
  const Json& stalls = run.data["runs"][0]["history"]["stalls"];
  ASSERT_EQ(stalls["rows"].size(), kReplayHistory.stalls);
  uint64_t before = ~uint64_t{0};
  uint64_t evicted = 0;
  for (const Json& row : stalls["rows"]) {
    EXPECT_LE(row["stall_ns"].get<uint64_t>(), before);
    before = row["stall_ns"];
    evicted += row["evictions"].get<uint64_t>();
    EXPECT_GE(row["moved_bytes"].get<uint64_t>(),
              row["evicted_bytes"].get<uint64_t>());
  }
  EXPECT_GT(evicted, 0u);
}

TEST(ReplayReport, SpacesShowMemoryTypesAndIovas) {
  const Reported run =
      Report("spaces", absl::StrCat("replay --quiet --unbacked --machine ",
                                    WriteTempFile("iommu.toml", Translated(0)),
                                    " --vram '2 MiB' ", TightTrace()));
  const Json& history = run.data["runs"][0]["history"];
  std::vector<std::string> names;
  for (const Json& space : history["spaces"]) {
    names.push_back(space["name"]);
    EXPECT_EQ(space["fill"].size(), space["time_ns"].size());
    // Its end: as full as the last sample says.
    if (space["name"] == "IOVAs") continue;
    const Json& series = SeriesOf(history["timeline"], "memory", space["name"]);
    EXPECT_EQ(space["bytes"].get<uint64_t>() -
                  space["free_bytes"].back().get<uint64_t>(),
              series["last"].back());
  }
  EXPECT_EQ(names, (std::vector<std::string>{"tt", "vram", "IOVAs"}));
}

TEST(ReplayReport, LookingDoesNotChangeTheRun) {
  const std::string lazy = WriteTempFile("lazy.toml", Translated(64));
  const std::string command =
      absl::StrCat("replay --quiet --unbacked --machine ", lazy,
                   " --placement tt --vram '2 MiB' ", TightTrace());
  Reported with = Report("with", command);
  const std::string json = WriteTempFile("without.json", "");
  ASSERT_EQ(Twostep(absl::StrCat(command, " --json ", json)).code, 0);
  Json without = Json::parse(Read(json));
  for (Json* figures : {&with.figures, &without}) {
    figures->erase("wall_seconds");
    figures->erase("peak_rss_bytes");
  }
  EXPECT_EQ(with.figures, without);
}

TEST(ReplayReport, EachTraceHasItsRun) {
  const std::string trace = TightTrace();
  const Reported runs = Report(
      "two", absl::StrCat("replay --quiet --unbacked ", trace, " ", trace));
  ASSERT_EQ(runs.data["runs"].size(), 2u);
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(runs.data["runs"][i]["figures"], runs.figures[i]);
  }
  EXPECT_EQ(runs.data["runs"][0]["history"], runs.data["runs"][1]["history"]);
}

TEST(CompareReport, HasTheFiguresOfTheJson) {
  const Reported run = Report(
      "compare", absl::StrCat("compare --quiet --policies lru ", TightTrace()));
  EXPECT_EQ(run.data["kind"], "compare");
  EXPECT_EQ(run.data["figures"], run.figures);
  EXPECT_GT(run.figures["rows"].size(), 0u);
}

TEST(StressReport, HasTheFiguresOfTheJson) {
  const Reported run = Report("stress", "stress evict-small");
  EXPECT_EQ(run.data["kind"], "stress");
  EXPECT_EQ(run.data["figures"], run.figures);
  EXPECT_EQ(run.figures["rows"].size(), 1u);
}

uint64_t EndsAt(const Json& timeline, const std::string& group) {
  uint64_t sum = 0;
  for (const Json& series : timeline["series"]) {
    EXPECT_EQ(series["last"].size(), timeline["to_ns"].size());
    if (series["group"] == group) sum += series["last"].back().get<uint64_t>();
  }
  return sum;
}

// One thread in virtual time, long-running work on a real clock, IOVAs, and a
// device that goes.
TEST(StressReport, HistoriesEndAtTheFigures) {
  const Reported run = Report("histories",
                              "stress evict-small evict-small-cm "
                              "dma-iova-exhaust hot-unplug suspend-resume");
  const Json& rows = run.figures["rows"];
  const Json& histories = run.data["histories"];
  ASSERT_EQ(histories.size(), rows.size());
  for (size_t i = 0; i < rows.size(); ++i) {
    SCOPED_TRACE(rows[i]["scenario"]);
    EXPECT_EQ(histories[i]["scenario"], rows[i]["scenario"]);
    EXPECT_EQ(histories[i]["machines"], 1);
    const Json& history = histories[i]["history"];
    const Json& timeline = history["timeline"];
    EXPECT_LE(timeline["to_ns"].size(), kScenarioHistory.bins);
    EXPECT_LT(timeline["from_ns"][0].get<uint64_t>(), 1'000'000'000u);
    const uint64_t evictions = rows[i]["gpu_evictions"];
    EXPECT_GT(evictions, 0u);
    EXPECT_EQ(EndsAt(timeline, "gpu_evictions"), evictions);
    EXPECT_EQ(EndsAt(timeline, "dma_evictions"), rows[i]["dma_evictions"]);
    // Bos that go from one device to another are counted by the types that
    // they leave, and are nobody's victims.
    if (i < 3) {
      EXPECT_GE(history["evictions"]["evictions"], evictions);
    }
    EXPECT_FALSE(history["spaces"].empty());
    // All bos are gone by then.
    EXPECT_EQ(EndsAt(timeline, "memory"), 0u);
    EXPECT_EQ(EndsAt(timeline, "dma"), 0u);
  }
  const auto clock = [&](int i) { return histories[i]["history"]["clock"]; };
  EXPECT_EQ(clock(0), "virtual");
  EXPECT_EQ(clock(1), "real");
}

TEST(StressReport, TypesOfSeveralDevicesAreToldApart) {
  const Reported run = Report("devices", "stress hot-unplug");
  const Json& history = run.data["histories"][0]["history"];
  std::vector<std::string> names;
  for (const Json& space : history["spaces"]) names.push_back(space["name"]);
  EXPECT_EQ(names,
            (std::vector<std::string>{"tt", "vram", "gpu1 tt", "gpu1 vram"}));
  SeriesOf(history["timeline"], "memory", "gpu1 vram");
  int dynamic = 0;
  for (const Json& series : history["timeline"]["series"]) {
    dynamic += series["group"] == "dma" && series["name"] == "dynamic" ? 1 : 0;
  }
  EXPECT_EQ(dynamic, 1);
}

// Of several machines; and without a job a sample an eviction.
TEST(StressReport, ShowsTheMachineOnWhichMostWasEvicted) {
  const Reported run = Report("machines", "stress two-drivers-one-iommu");
  const Json& one = run.data["histories"][0];
  EXPECT_GT(one["machines"], 1);
  const Json& timeline = one["history"]["timeline"];
  EXPECT_GT(EndsAt(timeline, "dma_evictions"), 0u);
  EXPECT_EQ(timeline["samples"],
            one["history"]["evictions"]["evictions"].get<int>() + 2);
}

// Each of its bos is evicted once, for another one each.
TEST(StressReport, CoarserViewsHaveAllEvictions) {
  const Reported run = Report("ccs", "stress verify-ccs");
  const Json& evictions = run.data["histories"][0]["history"]["evictions"];
  const auto all = std::make_pair(evictions["evictions"].get<uint64_t>(),
                                  evictions["bytes"].get<uint64_t>());
  EXPECT_GT(evictions["left_out"]["evictions"].get<uint64_t>(), all.first / 2);
  EXPECT_EQ(SumOf(evictions["by_size"]), all);
  EXPECT_EQ(SumOf(evictions["by_order"]["rows"]), all);
}

TEST(StressReport, TheLastRunIsShown) {
  const Reported run =
      Report("last", "stress evict-small --unbacked --seed 3 --seeds 2");
  EXPECT_EQ(run.data["histories"][0]["run"], "xe_evict/evict-small seed 4");
}

TEST(Report, WhatCannotBeWrittenIsBadInput) {
  const Ran ran = Twostep(
      absl::StrCat("replay --quiet --unbacked --report /no/such/folder/r.html ",
                   TightTrace()));
  EXPECT_EQ(ran.code, 2);
  EXPECT_THAT(ran.output, HasSubstr("--report"));
}

}  // namespace
}  // namespace twostep
