// What the command leaves, as a user finds it: files of --json, --csv,
// --record,
// --perfetto and --report, and standard output.

#include <unistd.h>

#include <fstream>
#include <sstream>
#include <string>
#include <tuple>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/cli/run_twostep.h"
#include "tests/trace/trace_writer.h"

namespace twostep {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;
using Json = nlohmann::json;

constexpr char kSmall[] =
    "#botrace 1\nc 1 1048576 t\nw 1 0 4096\ng 0 1*\nf\nd 1\n";
// Its second submission is more than a VRAM of 1 MiB holds.
constexpr char kTooMuch[] =
    "#botrace 1\nc 1 786432 v\nc 2 786432 v\ng 0 1\nf\ng 0 1 2\n";
constexpr char kTight[] =
    "replay --quiet --unbacked --vram 1MiB --placement vram ";

std::string Read(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

// Where there is no file yet.
std::string NewPath(const std::string& name) {
  const std::string path = WriteTempFile(name, "");
  unlink(path.c_str());
  return path;
}

Json DataOf(const std::string& page) {
  const std::string mark = "id=\"data\">\n";
  const size_t from = page.find(mark) + mark.size();
  return Json::parse(page.substr(from, page.find("</script", from) - from));
}

TEST(Outputs, ANameThatIsNoUtf8IsReplacedWhereverJsonIsWritten) {
  const std::string trace = WriteTempFile("n\xff.botrace", kSmall);
  const std::string json = NewPath("n.json");
  const std::string lines = NewPath("n.jsonl");
  Ran ran = Twostep(absl::StrCat("replay --quiet --json ", json, " --record ",
                                 lines, " ", trace));
  EXPECT_EQ(ran.code, 0) << ran.output;
  EXPECT_THAT(std::string(Json::parse(Read(json))["trace"]),
              HasSubstr("n\xef\xbf\xbd.botrace"));
  EXPECT_THAT(Read(lines), HasSubstr("n\xef\xbf\xbd.botrace"));
  ran = Twostep(
      absl::StrCat("compare --quiet --policies lru --capacity 1MiB --json ",
                   json, " ", trace));
  EXPECT_EQ(ran.code, 0) << ran.output;
  EXPECT_THAT(std::string(Json::parse(Read(json))["rows"][0]["trace"]),
              HasSubstr("n\xef\xbf\xbd.botrace"));
}

TEST(Outputs, AreTriedBeforeTheRun) {
  const std::string trace = WriteTempFile("tried.botrace", kSmall);
  const std::string other = WriteTempFile("tried.html", "an earlier page");
  const std::string folder = testing::TempDir();
  for (const std::string& arguments :
       std::vector<std::string>{"stress --report /nonexistent/x evict-small",
                                "stress --json /nonexistent/x evict-small",
                                "stress --perfetto /nonexistent/x evict-small",
                                "replay --json /nonexistent/x " + trace,
                                "replay --record /nonexistent/x " + trace,
                                "replay --perfetto /nonexistent/x " + trace,
                                "replay --report /nonexistent/x " + trace,
                                "compare --csv /nonexistent/x " + trace}) {
    const Ran ran = Twostep(arguments);
    EXPECT_EQ(ran.code, 2) << arguments;
    EXPECT_THAT(ran.output, AllOf(StartsWith("twostep: --"),
                                  HasSubstr("there is no folder /nonexistent"),
                                  Not(HasSubstr("clean"))))
        << arguments;
  }
  Ran ran = Twostep(absl::StrCat("replay --json /nonexistent/x --report ",
                                 other, " ", trace));
  EXPECT_EQ(ran.code, 2);
  EXPECT_EQ(Read(other), "an earlier page");
  ran = Twostep(absl::StrCat("replay --json ", folder, " ", trace));
  EXPECT_EQ(ran.code, 2);
  EXPECT_THAT(ran.output, HasSubstr("it is a folder"));
}

TEST(Outputs, OneThatFailsInTheEndLeavesTheOthers) {
  const std::string trace = WriteTempFile("full.botrace", kSmall);
  const std::string page = NewPath("full.html");
  const std::string timeline = NewPath("full.pf");
  Ran ran = Twostep(absl::StrCat("replay --quiet --json /dev/full --report ",
                                 page, " --perfetto ", timeline, " ", trace));
  EXPECT_EQ(ran.code, 2);
  EXPECT_THAT(ran.output, HasSubstr("--json: cannot write /dev/full"));
  EXPECT_EQ(DataOf(Read(page))["runs"].size(), 1);
  EXPECT_TRUE(Json::parse(Read(timeline)).contains("traceEvents"));
  ran = Twostep(
      absl::StrCat("compare --quiet --policies lru --json /dev/full --report ",
                   page, " ", trace));
  EXPECT_EQ(ran.code, 2);
  EXPECT_EQ(DataOf(Read(page))["kind"], "compare");
  ran = Twostep(absl::StrCat("stress evict-small --json /dev/full --report ",
                             page, " --perfetto /dev/full"));
  EXPECT_EQ(ran.code, 2);
  EXPECT_THAT(ran.output,
              AllOf(HasSubstr("--json: "), HasSubstr("--perfetto: ")));
  EXPECT_EQ(DataOf(Read(page))["kind"], "stress");
}

TEST(Outputs, BadInputLeavesWhatIsThere) {
  const std::string trace = WriteTempFile("keep.botrace", kSmall);
  const std::string kept = WriteTempFile("kept", "{kept");
  const std::string record = NewPath("keep.jsonl");
  std::vector<std::string> commands = {
      absl::StrCat("stress no-such-scenario --perfetto ", kept),
      absl::StrCat("stress evict-small --faults bogus --perfetto ", kept),
      absl::StrCat("replay --record ", record, " --perfetto ", kept, " ", trace,
                   " ", trace)};
  for (const char* output : {"--json", "--record", "--perfetto", "--report"}) {
    for (const std::string& bad :
         {absl::StrCat("--vram bogus ", trace), std::string("/nowhere.botrace"),
          absl::StrCat("--vram 1MiB /nowhere.botrace"),
          absl::StrCat("--machine /nowhere.toml ", trace)}) {
      commands.push_back(absl::StrCat("replay ", output, " ", kept, " ", bad));
    }
  }
  for (const std::string& command : commands) {
    EXPECT_EQ(Twostep(command).code, 2) << command;
    EXPECT_EQ(Read(kept), "{kept") << command;
    EXPECT_NE(access(record.c_str(), F_OK), 0) << command;
  }
}

TEST(Outputs, OneThatIsReadIsNotOverwritten) {
  const std::string trace = WriteTempFile("input.botrace", kSmall);
  const std::string machine =
      WriteTempFile("input.toml", "[memory]\n[gpu]\nvram = \"1 MiB\"\n");
  const std::string link = NewPath("link.botrace");
  ASSERT_EQ(symlink(trace.c_str(), link.c_str()), 0);
  for (const auto& [command, option, as] :
       std::vector<std::tuple<std::string, std::string, std::string>>{
           {absl::StrCat("replay --record ", trace, " ", trace), "--record",
            "TRACE"},
           {absl::StrCat("replay --perfetto ", link, " ", trace), "--perfetto",
            "TRACE"},
           {absl::StrCat("compare --report ", trace, " ", trace), "--report",
            "TRACE"},
           {absl::StrCat("stress --json ", machine, " --machine ", machine,
                         " evict-small"),
            "--json", "--machine"}}) {
    const Ran ran = Twostep(command);
    EXPECT_EQ(ran.code, 2) << command;
    EXPECT_THAT(ran.output,
                AllOf(HasSubstr(option + " would overwrite"), HasSubstr(as)))
        << command;
  }
  EXPECT_EQ(Read(trace), kSmall);
  EXPECT_THAT(Read(machine), HasSubstr("[gpu]"));
}

TEST(Outputs, TwoOfTheSameFileAreAnErrorThatNamesBoth) {
  const std::string trace = WriteTempFile("same.botrace", kSmall);
  const std::string there = WriteTempFile("there", "");
  const std::string fresh = NewPath("fresh");
  for (const std::string& path : {there, fresh, std::string("-")}) {
    const Ran ran = Twostep(absl::StrCat("replay --record ", path,
                                         " --perfetto ", path, " ", trace));
    EXPECT_EQ(ran.code, 2) << path;
    EXPECT_THAT(ran.output, HasSubstr("--record and --perfetto would both"));
  }
  EXPECT_NE(access(fresh.c_str(), F_OK), 0);
  const Ran ran = Twostep(absl::StrCat("replay --json ", fresh, " --report ",
                                       testing::TempDir(), "/./fresh ", trace));
  EXPECT_EQ(ran.code, 2);
  // Nothing is lost in those.
  EXPECT_EQ(Twostep(absl::StrCat("replay --json /dev/null --report /dev/null ",
                                 trace))
                .code,
            0);
}

TEST(Outputs, ARunThatFailedSaysSoInAllOfThem) {
  const std::string trace = WriteTempFile("fails.botrace", kTooMuch);
  const std::string json = WriteTempFile("fails.json", "old");
  const std::string page = WriteTempFile("fails.html", "old");
  const std::string lines = WriteTempFile("fails.jsonl", "old");
  const std::string timeline = WriteTempFile("fails.pf", "old");
  const Ran ran = Twostep(absl::StrCat(kTight, "--json ", json, " --report ",
                                       page, " --record ", lines,
                                       " --perfetto ", timeline, " ", trace));
  EXPECT_EQ(ran.code, 2);
  const Json figures = Json::parse(Read(json));
  EXPECT_THAT(std::string(figures["error"]), HasSubstr("fails.botrace:6: "));
  EXPECT_THAT(ran.output, HasSubstr(std::string(figures["error"])));
  EXPECT_EQ(figures["vram_bytes"], 1 << 20);
  EXPECT_FALSE(figures.contains("records"));
  const Json runs = DataOf(Read(page))["runs"];
  ASSERT_EQ(runs.size(), 1);
  EXPECT_EQ(runs[0]["figures"], figures);
  EXPECT_GT(runs[0]["history"]["timeline"]["samples"], 1);
  EXPECT_THAT(Read(page), HasSubstr("This run failed"));
  const std::vector<std::string> recorded =
      absl::StrSplit(Read(lines), '\n', absl::SkipEmpty());
  EXPECT_EQ(Json::parse(recorded.back())["error"], figures["error"]);
  EXPECT_GT(Json::parse(Read(timeline))["traceEvents"].size(), 5);

  const std::string good = NewPath("good.json");
  EXPECT_EQ(Twostep(absl::StrCat(kTight, "--json ", good, " ",
                                 WriteTempFile("good.botrace", kSmall)))
                .code,
            0);
  const Ran diff = Twostep(absl::StrCat("diff ", good, " ", json));
  EXPECT_EQ(diff.code, 0);
  EXPECT_THAT(diff.output,
              HasSubstr("fails.json failed, and has no figures: "));
}

TEST(Outputs, OfSeveralTracesThoseUpToTheOneThatFailedAreWritten) {
  const std::string good = WriteTempFile("first.botrace", kSmall);
  const std::string bad = WriteTempFile("second.botrace", kTooMuch);
  const std::string json = NewPath("several.json");
  EXPECT_EQ(Twostep(absl::StrCat(kTight, "--json ", json, " ", good, " ", bad,
                                 " ", good))
                .code,
            2);
  const Json runs = Json::parse(Read(json));
  ASSERT_EQ(runs.size(), 2);
  EXPECT_EQ(runs[0]["submissions"], 1);
  EXPECT_TRUE(runs[1].contains("error"));
  EXPECT_EQ(
      Twostep(absl::StrCat(kTight, "--json ", json, " ", bad, " ", good)).code,
      2);
  EXPECT_EQ(Json::parse(Read(json)).size(), 1);
  EXPECT_TRUE(Json::parse(Read(json)).is_array());
}

TEST(Outputs, ADashIsStandardOutputAndNothingElseIsOnIt) {
  const std::string trace = WriteTempFile("dash.botrace", kSmall);
  EXPECT_EQ(Json::parse(Twostep("replay --json - " + trace).output)["frames"],
            1);
  EXPECT_EQ(DataOf(Twostep("replay --report - " + trace).output)["kind"],
            "replay");
  EXPECT_TRUE(Json::parse(Twostep("replay --perfetto - " + trace).output)
                  .contains("traceEvents"));
  EXPECT_THAT(Twostep("replay --record - " + trace).output,
              StartsWith("{\"twostep_run\":1"));
  EXPECT_EQ(Json::parse(Twostep("stress --json - evict-small").output)["clean"],
            true);
  EXPECT_THAT(Twostep("compare --policies lru --report - " + trace).output,
              StartsWith("<!doctype html>"));
  EXPECT_NE(access("-", F_OK), 0);
}

TEST(Outputs, AFullStandardOutputIsExitTwo) {
  const std::string trace = WriteTempFile("full2.botrace", kSmall);
  const std::string json = NewPath("full2.json");
  const std::string run = NewPath("full2.jsonl");
  ASSERT_EQ(Twostep(absl::StrCat("replay --json ", json, " --record ", run, " ",
                                 trace))
                .code,
            0);
  for (const std::string& command : std::vector<std::string>{
           "replay " + trace, "explain --bo 1 " + run,
           absl::StrCat("diff ", json, " ", json), "--help", "--version",
           "replay --help", "policies", "stress --list",
           "replay --json - " + trace}) {
    const Ran ran = TwostepInto("/dev/full", command);
    EXPECT_EQ(ran.code, 2) << command;
    EXPECT_THAT(ran.output, HasSubstr("standard output")) << command;
  }
}

TEST(Outputs, WhatNamesHoldDoesNotReachTheTerminal) {
  const std::string trace =
      WriteTempFile("a\033[31m\xc2\x9b\xff.botrace", kSmall);
  const std::string json = NewPath("escape.json");
  const std::string plain = "a\\x1b[31m\\xc2\\x9b\\xff.botrace";
  EXPECT_THAT(
      Twostep(absl::StrCat("replay --json ", json, " '", trace, "'")).output,
      AllOf(HasSubstr(plain), Not(HasSubstr("\033"))));
  EXPECT_THAT(
      Twostep(absl::StrCat("compare --policies lru '", trace, "'")).output,
      AllOf(HasSubstr(plain), Not(HasSubstr("\033"))));
  EXPECT_THAT(Twostep(absl::StrCat(kTight, "'", trace, "x'")).output,
              AllOf(HasSubstr(plain), Not(HasSubstr("\033"))));
  const Ran unknown = Twostep("replay --'\033[31m'");
  EXPECT_THAT(unknown.output,
              AllOf(HasSubstr("--\\x1b[31m"), Not(HasSubstr("\033"))));
  const std::string other =
      WriteTempFile("other.json", "{\"trace\":\"b\",\"frames\":1}");
  EXPECT_THAT(Twostep(absl::StrCat("diff ", json, " ", other)).output,
              AllOf(HasSubstr("a\\x1b[31m"), Not(HasSubstr("\033"))));
}

}  // namespace
}  // namespace twostep
