// Recorded runs as a user meets them: --record, explain, diff.

#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/cli/run_twostep.h"
#include "tests/trace/trace_writer.h"

namespace twostep {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using Json = nlohmann::json;

// Two bos that fill the VRAM each; 10 is bo 1, and 11 bo 2.
constexpr char kTwoInTurn[] =
    "#botrace 1\n"
    "c 10 1048576 t\n"
    "c 11 1048576 t\n"
    "w 10 0 4096\n"
    "g 0 10\n"
    "f\n"
    "w 11 0 4096\n"
    "g 0 10\n"
    "g 0 11*\n"
    "f\n"
    "f\n"
    "g 0 10\n"
    "f\n"
    "d 10\n";
constexpr char kTightly[] =
    "replay --quiet --unbacked --placement vram --eviction lru "
    "--vram '1 MiB' ";

std::string Read(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

// What recording `trace` left.
std::string Record(const std::string& name, const std::string& trace,
                   const std::string& options = kTightly) {
  const std::string run = WriteTempFile(name + ".jsonl", "");
  const Ran ran =
      Twostep(absl::StrCat(options, " --record ", run, " ",
                           WriteTempFile(name + ".botrace", trace)));
  EXPECT_EQ(ran.code, 0) << ran.output;
  return run;
}

std::vector<Json> Lines(const std::string& path) {
  std::vector<Json> lines;
  for (const auto& text : absl::StrSplit(Read(path), '\n', absl::SkipEmpty())) {
    lines.push_back(Json::parse(text));
  }
  return lines;
}

TEST(Record, EveryLineIsJsonAndAddsUp) {
  TraceWriterOptions options;
  options.records = 400;
  options.live_bos = 20;
  options.reads_percent = 5;
  const std::vector<Json> lines =
      Lines(Record("adds_up", WriteTraceToString(options),
                   "replay --quiet --unbacked --eviction lru"));
  ASSERT_GT(lines.size(), 300u);
  EXPECT_EQ(lines[0]["twostep_run"], 1);
  EXPECT_EQ(lines[0]["eviction"], "lru");
  EXPECT_EQ(lines[0]["placement"], "vram-tt");
  const Json& end = lines.back();
  EXPECT_EQ(end["event"], "end");
  EXPECT_EQ(end["lines"], lines.size());
  const Json& figures = end["figures"];

  uint64_t time_ns = 0;
  std::map<std::string, uint64_t> counts;
  uint64_t from_vram = 0;
  uint64_t to_vram_bytes = 0;
  uint64_t fault_pages = 0;
  for (size_t i = 1; i + 1 < lines.size(); ++i) {
    const Json& line = lines[i];
    EXPECT_GE(line["time_ns"], time_ns);
    time_ns = line["time_ns"];
    const std::string event = line["event"];
    ++counts[event];
    from_vram += event == "evict" && line["from"] == "vram";
    if (event == "move" && line["to"] == "vram") {
      to_vram_bytes += line["bytes"].get<uint64_t>();
    }
    if (event == "cpu-fault")
      fault_pages += line["bytes"].get<uint64_t>() >> 12;
    if (event == "job") {
      EXPECT_EQ(line["submission"], counts[event]);
    } else if (event == "frame") {
      EXPECT_EQ(line["frame"], counts[event] - 1);
    }
  }
  EXPECT_GT(from_vram, 0u);
  EXPECT_EQ(from_vram, figures["gpu_evictions"]["vram"]);
  EXPECT_EQ(to_vram_bytes, figures["bytes_moved"]["to_vram"]);
  EXPECT_EQ(fault_pages, figures["cpu_faults"]);
  EXPECT_EQ(counts["job"], figures["submissions"]);
  EXPECT_EQ(counts["frame"], figures["frames"]);
  EXPECT_EQ(counts["create"], counts["name"]);
}

TEST(Record, TwoRunsOfOneTraceAreTheSame) {
  const std::string one = Record("one", kTwoInTurn);
  const std::string two = Record("two", kTwoInTurn);
  const Ran ran = Twostep(absl::StrCat("diff ", one, " ", two));
  EXPECT_EQ(ran.code, 0) << ran.output;
  EXPECT_THAT(ran.output, HasSubstr("The same happens in both"));
}

TEST(Record, OneTraceAFile) {
  const std::string trace = WriteTempFile("t.botrace", kTwoInTurn);
  const std::string run = WriteTempFile("t.jsonl", "");
  Ran ran =
      Twostep(absl::StrCat(kTightly, "--record ", run, " ", trace, " ", trace));
  EXPECT_EQ(ran.code, 2);
  EXPECT_THAT(ran.output, HasSubstr("--record"));
  ran = Twostep(absl::StrCat(kTightly, "--record /nowhere/run ", trace));
  EXPECT_EQ(ran.code, 2);
  EXPECT_THAT(ran.output, HasSubstr("/nowhere/run"));
}

TEST(Explain, TheLifeOfABoWithTheCauseOfEachMove) {
  const std::string run = Record("life", kTwoInTurn);
  const Ran ran = Twostep(absl::StrCat("explain ", run, " --bo 1"));
  EXPECT_EQ(ran.code, 0) << ran.output;
  const std::vector<std::string> lines =
      absl::StrSplit(ran.output, '\n', absl::SkipEmpty());
  ASSERT_EQ(lines.size(), 8u) << ran.output;
  EXPECT_EQ(lines[0], "bo 1 (trace 10), 1024.0 KiB");
  EXPECT_THAT(lines[1], HasSubstr("frame 0, 0.0 us: created, 1024.0 KiB; "
                                  "touched by the CPU."));
  EXPECT_THAT(lines[2], HasSubstr("submission 1: copied from system to vram, "
                                  "1024.0 KiB."));
  EXPECT_THAT(lines[3], HasSubstr("used by 2 submissions, 1 to 2, where it "
                                  "was."));
  EXPECT_THAT(lines[4], HasSubstr("frame 1, "));
  EXPECT_THAT(lines[4],
              HasSubstr("submission 3: evicted from vram, to system, to make "
                        "room in vram for bo 2 (trace 11, 1024.0 KiB): copied "
                        "from vram to system, 1024.0 KiB."));
  EXPECT_THAT(lines[5],
              HasSubstr("submission 4: bo 2 (trace 11, 1024.0 KiB) evicted for "
                        "it, from vram to system; copied from system to vram"));
  EXPECT_THAT(lines[6], HasSubstr("used by submission 4."));
  EXPECT_THAT(lines[7], HasSubstr("destroyed."));
}

TEST(Explain, OneFrameAndWhereTheBoIsWhenItBegins) {
  const std::string run = Record("frames", kTwoInTurn);
  const auto at = [&](int bo, int frame) {
    const Ran ran =
        Twostep(absl::StrCat("explain ", run, " --bo ", bo, " --at ", frame));
    EXPECT_EQ(ran.code, 0) << ran.output;
    return ran.output;
  };
  EXPECT_THAT(at(1, 0), HasSubstr("When frame 0 begins it is not there yet."));
  const std::string one = at(1, 1);
  EXPECT_THAT(one, HasSubstr("When frame 1 begins it is in vram."));
  EXPECT_THAT(one, HasSubstr("Last moved in frame 0"));
  EXPECT_THAT(one, HasSubstr("evicted from vram"));
  EXPECT_THAT(one, Not(HasSubstr("frame 3")));
  const std::string two = at(1, 2);
  EXPECT_THAT(two, HasSubstr("begins it is in page frames"));
  EXPECT_THAT(two, HasSubstr("Last moved in frame 1"));
  EXPECT_THAT(two, HasSubstr("for bo 2"));
  EXPECT_THAT(two, HasSubstr("Nothing happens to it."));
}

TEST(Explain, WhatTheCpuTouchesHasNotMoved) {
  const std::string run = Record("touched",
                                 "#botrace 1\nc 1 4096 t\ng 0 1\nf\nw 1 0 8\n"
                                 "f\nf\n");
  const Ran ran = Twostep(absl::StrCat("explain ", run, " --bo 1 --at 2"));
  EXPECT_EQ(ran.code, 0) << ran.output;
  EXPECT_THAT(ran.output, HasSubstr("Last moved in frame 0"));
  EXPECT_THAT(ran.output, Not(HasSubstr("touched")));
}

TEST(Explain, AnEvictionAmidAnotherIsPartOfIt) {
  const std::string run = Record("amid", kTwoInTurn);
  // As the victim moves somebody else makes way for it.
  std::vector<std::string> lines;
  bool done = false;
  for (const auto& text : absl::StrSplit(Read(run), '\n', absl::SkipEmpty())) {
    Json line = Json::parse(text);
    if (!done && line.value("event", "") == "evict") {
      ASSERT_EQ(line["bo"], 1);
      Json other = line;
      other["bo"] = line["for_bo"];
      other["for_bo"] = 1;
      lines.push_back(other.dump());
      done = true;
    }
    if (line.value("event", "") == "end") {
      line["lines"] = line["lines"].get<int>() + 1;
    }
    lines.push_back(line.dump());
  }
  const Ran ran = Twostep(absl::StrCat(
      "explain ",
      WriteTempFile("nested.jsonl", absl::StrJoin(lines, "\n") + "\n"),
      " --bo 1"));
  EXPECT_EQ(ran.code, 0) << ran.output;
  EXPECT_THAT(
      ran.output,
      HasSubstr("submission 3: evicted from vram, to system, to make room in "
                "vram for bo 2 (trace 11, 1024.0 KiB): copied from vram to "
                "system, 1024.0 KiB; bo 2 (trace 11, 1024.0 KiB) evicted for "
                "it, from vram to system."));
}

TEST(Explain, WhatCannotBeExplainedIsSaid) {
  const std::string run = Record("whole", kTwoInTurn);
  const std::string text = Read(run);
  const auto explain = [](const std::string& file, const std::string& what) {
    const Ran ran = Twostep(absl::StrCat("explain ", file, " ", what));
    EXPECT_EQ(ran.code, 2) << ran.output;
    return ran.output;
  };
  EXPECT_THAT(explain(run, "--bo 3"), HasSubstr("its bos are 1 to 2\n"));
  EXPECT_THAT(explain(run, "--bo 11"), HasSubstr("the trace's 11 is --bo 2\n"));
  EXPECT_THAT(explain(run, "--bo 1 --at 9"), HasSubstr("frames are 0 to 3"));
  EXPECT_THAT(explain("/nowhere.jsonl", "--bo 1"), HasSubstr("/nowhere.jsonl"));
  EXPECT_THAT(explain(WriteTempFile("no.jsonl", "{}\n"), "--bo 1"),
              HasSubstr("is no recorded run"));
  EXPECT_THAT(
      explain(WriteTempFile("later.jsonl", "{\"twostep_run\":2}\n"), "--bo 1"),
      HasSubstr("does not know"));
  // Cut within a line; between two; and one taken out.
  const size_t middle = text.size() / 2;
  EXPECT_THAT(
      explain(WriteTempFile("cut.jsonl", text.substr(0, middle)), "--bo 1"),
      HasSubstr("cut off"));
  const size_t line = text.find('\n', middle);
  EXPECT_THAT(
      explain(WriteTempFile("short.jsonl", text.substr(0, line + 1)), "--bo 1"),
      HasSubstr("the run ends here"));
  const size_t next = text.find('\n', line + 1);
  EXPECT_THAT(explain(WriteTempFile("hole.jsonl",
                                    text.substr(0, line) + text.substr(next)),
                      "--bo 1"),
              HasSubstr("lines are missing"));
  EXPECT_THAT(explain(WriteTempFile("type.jsonl",
                                    "{\"twostep_run\":1}\n{\"event\":3}\n"),
                      "--bo 1"),
              HasSubstr("type.jsonl:2: "));
}

TEST(Explain, ARunThatFailedHasAStory) {
  const std::string run = WriteTempFile("fails.jsonl", "");
  const std::string trace = WriteTempFile(
      "fails.botrace", "#botrace 1\nc 1 4096 v\nc 2 2097152 v\ng 0 1\ng 0 2\n");
  EXPECT_EQ(Twostep(absl::StrCat(kTightly, "--record ", run, " ", trace)).code,
            2);
  const Ran ran = Twostep(absl::StrCat("explain ", run, " --bo 2"));
  EXPECT_EQ(ran.code, 0) << ran.output;
  EXPECT_THAT(ran.output, HasSubstr("submission 2: failed: never-fits."));
  EXPECT_THAT(ran.output, HasSubstr("The run failed: "));
}

TEST(Explain, AFailureForWantOfRoomSaysOfWhichAndWhoWasPassedOver) {
  const std::string run = WriteTempFile("short.jsonl", "");
  const std::string trace =
      WriteTempFile("short.botrace",
                    "#botrace 1\nc 1 786432 v\nc 2 786432 v\ng 0 1\ng 0 1 2\n");
  EXPECT_EQ(Twostep(absl::StrCat("replay --quiet --vram 1MiB --placement vram "
                                 "--record ",
                                 run, " ", trace))
                .code,
            2);
  const Ran ran = Twostep(absl::StrCat("explain ", run, " --bo 2"));
  EXPECT_EQ(ran.code, 0) << ran.output;
  EXPECT_THAT(ran.output,
              HasSubstr("submission 2: failed: cannot-fit, for want of room in "
                        "vram. Passed over: 1 of the same submission."));
}

// --- diff ---

TEST(Diff, FiguresByWhatMatters) {
  const std::string before = WriteTempFile(
      "before.json",
      R"({"eviction":"lru","wall_seconds":1.0,"stall_ns":100,"bytes_wrong":0,)"
      R"("gpu_evictions":{"vram":4},"bytes_moved":{"to_vram":8192},"frames":3})");
  const std::string after = WriteTempFile(
      "after.json",
      R"({"eviction":"arc","wall_seconds":9.0,"stall_ns":150,"bytes_wrong":8,)"
      R"("gpu_evictions":{"vram":1,"tt":2},"bytes_moved":{"to_vram":4096},)"
      R"("frames":3})");
  const Ran ran = Twostep(absl::StrCat("diff ", before, " ", after));
  EXPECT_EQ(ran.code, 0) << ran.output;
  std::vector<std::string> lines =
      absl::StrSplit(ran.output, '\n', absl::SkipEmpty());
  std::vector<std::string> rows;
  for (const std::string& line : lines) {
    rows.push_back(absl::StrJoin(
        std::vector<std::string>(absl::StrSplit(line, ' ', absl::SkipEmpty())),
        " "));
  }
  EXPECT_THAT(rows,
              testing::ElementsAre(
                  "eviction: lru -> arc", "figure before after ratio",
                  "bytes_wrong 0 8 from 0", "stall_ns 100 150 1.500",
                  "bytes_moved.to_vram 8,192 4,096 0.500",
                  "gpu_evictions.tt - 2 new", "gpu_evictions.vram 4 1 0.250",
                  "wall_seconds 1 9 9.000", "1 figure is the same."));
}

TEST(Diff, RowsOfAComparisonByWhatTheyAre) {
  const auto compare = [](const std::string& name, const std::string& seed) {
    const std::string json = WriteTempFile(name, "");
    const Ran ran = Twostep(
        absl::StrCat("compare --quiet --policies lru,", seed, " --json ", json,
                     " ", WriteTempFile(name + ".botrace", kTwoInTurn)));
    EXPECT_EQ(ran.code, 0) << ran.output;
    return json;
  };
  const std::string one = compare("one.json", "fifo");
  const std::string two = compare("two.json", "clock");
  const Ran ran = Twostep(absl::StrCat("diff ", one, " ", two));
  EXPECT_EQ(ran.code, 0) << ran.output;
  // A line for each row that only one of them has, and none for what is in it.
  EXPECT_THAT(ran.output, HasSubstr(", fifo]: gone\n"));
  EXPECT_THAT(ran.output, HasSubstr(", clock]: new\n"));
  EXPECT_THAT(ran.output, Not(HasSubstr(", fifo].")));
  EXPECT_THAT(ran.output, Not(HasSubstr(", clock].")));
}

TEST(Diff, WhereTwoRunsPart) {
  const std::string before = Record("before", kTwoInTurn);
  const std::string after =
      Record("after", kTwoInTurn,
             "replay --quiet --unbacked --placement vram --eviction lru "
             "--vram '2 MiB' ");
  const Ran ran = Twostep(absl::StrCat("diff ", before, " ", after));
  EXPECT_EQ(ran.code, 0) << ran.output;
  EXPECT_THAT(ran.output, HasSubstr("They part at line "));
  EXPECT_THAT(ran.output, HasSubstr("  before: frame 1, submission 3, "));
  EXPECT_THAT(ran.output, HasSubstr("move bo 1 from vram to system"));
  EXPECT_THAT(ran.output, HasSubstr("  after:  frame 1, submission 3, "));
  EXPECT_THAT(ran.output, HasSubstr("move bo 2 from system to vram"));
  EXPECT_THAT(ran.output, HasSubstr("gpu_evictions.vram"));
}

TEST(Diff, LinesThatReadAlikeAreToldApart) {
  const std::string before = Record("alike", kTwoInTurn);
  std::string text = Read(before);
  const size_t at = text.find("\"mine\":0", text.find("\"evict\""));
  ASSERT_NE(at, std::string::npos);
  text.replace(at, 8, "\"mine\":5");
  const Ran ran = Twostep(
      absl::StrCat("diff ", before, " ", WriteTempFile("other.jsonl", text)));
  EXPECT_EQ(ran.code, 0) << ran.output;
  EXPECT_THAT(ran.output, HasSubstr("\n  skipped.mine: 0 -> 5\n"));
}

TEST(Diff, BadInputIsSaid) {
  const std::string run = Record("good", kTwoInTurn);
  const std::string json = WriteTempFile("good.json", "{\"frames\":1}");
  const auto diff = [](const std::string& before, const std::string& after) {
    const Ran ran = Twostep(absl::StrCat("diff ", before, " ", after));
    EXPECT_EQ(ran.code, 2) << ran.output;
    return ran.output;
  };
  EXPECT_THAT(diff(run, json), HasSubstr("is a recorded run and"));
  EXPECT_THAT(diff("/nowhere.json", json), HasSubstr("/nowhere.json"));
  EXPECT_THAT(diff(json, WriteTempFile("cut.json", "{\"frames\":")),
              HasSubstr("cut.json: is no JSON"));
  EXPECT_THAT(diff(json, WriteTempFile("none.json", "{}")),
              HasSubstr("no figures"));
}

}  // namespace
}  // namespace twostep
