// twostep stress as its user meets it, with scenarios that go wrong on purpose.

#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "twostep/cli/command.h"
#include "twostep/cli/play_guard.h"
#include "twostep/cli/soak.h"
#include "twostep/machine/check.h"
#include "twostep/machine/sync.h"
#include "twostep/stress/world.h"

namespace twostep {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// Copies one page less than it should, when a bo leaves VRAM.
class LosingHooks final : public DeviceHooks {
 public:
  absl::StatusOr<Fence> Copy(CopyEngine& engine, CopyJob job,
                             absl::Span<const Fence> dependencies) override {
    if (job.from.kind == CopySide::Kind::kVram) {
      job.from.pages.pop_back();
      job.to.pages.pop_back();
      --job.pages;
    }
    return DeviceHooks::Copy(engine, std::move(job), dependencies);
  }
};

// Twice what VRAM holds, written, and written again.
void Overfill(const StressOptions& options, DeviceHooks* hooks,
              Verdict* verdict) {
  WorldOptions world_options = WorldOptions::Of(options);
  world_options.hooks = hooks;
  World world(world_options, verdict);
  std::vector<KnownBo*> bos;
  for (int i = 0; i < 8; ++i) {
    bos.push_back(world.Make(options.gpu.vram_bytes / 4));
  }
  for (int round = 0; round < 2; ++round) {
    for (KnownBo* bo : bos) {
      world.Expect(world.Submit({.uses = {{bo}}, .places = {&kInVram, 1}}),
                   "a submission");
    }
  }
}

std::vector<Scenario> Ours() {
  return {
      {"test", "sound", "all well",
       [](const StressOptions& options, Verdict* verdict) {
         Overfill(options, nullptr, verdict);
       },
       FaultsOf({FaultKind::kFrame, FaultKind::kCopy})},
      {"test", "unforgiving", "the second of three copies must not fail",
       [](const StressOptions& options, Verdict* verdict) {
         for (int i = 0; i < 3; ++i) {
           if (FaultAt(options.faults, FaultKind::kCopy) && i == 1) {
             ++verdict->failures;
             verdict->first_failure = "the second";
           }
         }
       },
       FaultsOf({FaultKind::kCopy})},
      {"test", "loses-a-page", "a copy that is short",
       [](const StressOptions& options, Verdict* verdict) {
         LosingHooks hooks;
         Overfill(options, options.seed < 2 ? nullptr : &hooks, verdict);
       }},
      {"test", "asks-too-much", "more than VRAM in one bo",
       [](const StressOptions& options, Verdict* verdict) {
         World world(WorldOptions::Of(options), verdict);
         KnownBo* bo = world.Make(2 * options.gpu.vram_bytes);
         world.Expect(world.Submit({.uses = {{bo}}, .places = {&kInVram, 1}}),
                      "the large one");
       }},
      {"test", "hoards", "sound, but keeps memory",
       [](const StressOptions&, Verdict*) {
         static std::vector<std::string> hoard;
         hoard.emplace_back(2 * Soak::kMostGrowthBytes, 'x');
       },
       kNoFaults,
       /*own_machine=*/true},
  };
}

struct Ran {
  int code = -1;
  std::string out;
  std::string err;
};

Ran Stress(const std::string& arguments) {
  CLI::App app;
  ExitCode code = kExitBadInput;
  AddStress(app, Ours(), &code);
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  try {
    app.parse(absl::StrCat("stress ", arguments));
  } catch (const CLI::ParseError&) {
    code = kExitBadInput;
  }
  std::fflush(stdout);
  return {code, testing::internal::GetCapturedStdout(),
          testing::internal::GetCapturedStderr()};
}

TEST(StressCommand, AllWellIsATableAndExitZero) {
  const Ran ran = Stress("sound --seeds 2");
  EXPECT_EQ(ran.code, 0) << ran.out << ran.err;
  EXPECT_THAT(ran.out, HasSubstr("test/sound     2 "));
  EXPECT_THAT(ran.out, HasSubstr("clean  1 scenario, 0 of them wrong"));
  EXPECT_THAT(ran.out, Not(HasSubstr("WRONG")));
}

TEST(StressCommand, AByteThatIsLostIsExitOneAndTheCommandThatRepeatsIt) {
  const Ran ran = Stress("'loses*' --seeds 5 --threads 3");
  EXPECT_EQ(ran.code, 1);
  EXPECT_THAT(ran.out, HasSubstr("WRONG  test/loses-a-page\n  bytes "));
  EXPECT_THAT(
      ran.out,
      HasSubstr("./twostep stress test/loses-a-page --seed 2 --threads 3\n"));
}

TEST(StressCommand, AMachineWhoseNameIsNoUtf8DoesNotStopTheJson) {
  const std::string machine = testing::TempDir() + "m\xff.toml";
  const std::string json = testing::TempDir() + "no_utf8.json";
  std::ofstream(machine) << "[memory]\n[gpu]\nvram = \"8 MiB\"\n";
  const Ran ran = Stress(
      absl::StrCat("'loses*' --seeds 5 --machine ", machine, " --json ", json));
  EXPECT_EQ(ran.code, 1) << ran.err;
  std::ifstream file(json);
  EXPECT_THAT(std::string(nlohmann::json::parse(file)["rows"][0]["repeat"]),
              HasSubstr("m\xef\xbf\xbd.toml"));
}

TEST(StressCommand, WhoPlaysOnAMachineOfItsOwnIsNamedWhereThereIsAnother) {
  const std::string machine = testing::TempDir() + "other.toml";
  std::ofstream(machine) << "[memory]\n[gpu]\nvram = \"8 MiB\"\n";
  const Ran both = Stress("sound hoards --machine " + machine);
  EXPECT_EQ(both.code, 0) << both.err;
  EXPECT_THAT(both.err, HasSubstr("other.toml is not for 1 of 2 scenarios, "
                                  "which play on machines of their own: "
                                  "hoards\n"));
  EXPECT_EQ(Stress("sound --machine " + machine).err, "");
  EXPECT_EQ(Stress("sound hoards").err, "");
}

TEST(StressCommand, ACallThatFailsIsExitOneAndSaysWhy) {
  const Ran ran = Stress("test/asks-too-much");
  EXPECT_EQ(ran.code, 1);
  EXPECT_THAT(ran.out, HasSubstr("failed  1 times, the first: the large one"));
  EXPECT_THAT(ran.out, HasSubstr("test/asks-too-much --seed 0\n"));
}

TEST(StressCommand, OneThatGoesWrongDoesNotStopTheOthers) {
  const Ran ran = Stress("");
  EXPECT_EQ(ran.code, 1);
  EXPECT_THAT(ran.out, HasSubstr("5 scenarios, 1 of them wrong"));
}

TEST(StressCommand, FaultsAreCountedAndWhoBearsThemStaysClean) {
  const std::string path = testing::TempDir() + "/faults.json";
  const Ran ran = Stress("sound --faults copy:3 --json " + path);
  EXPECT_EQ(ran.code, 0) << ran.out << ran.err;
  EXPECT_THAT(ran.out, HasSubstr("passed on\n"));
  std::ifstream file(path);
  const nlohmann::json row = nlohmann::json::parse(file)["rows"][0];
  EXPECT_EQ(row["runs"], 1);
  EXPECT_EQ(row["faults"].size(), 1);
  EXPECT_EQ(row["faults"]["copy"]["made"], 1);
  EXPECT_EQ(row["faults"]["copy"]["passed_on"], 1);
  EXPECT_GT(row["faults"]["copy"]["points"], 3);
}

TEST(StressCommand, AFaultThatDoesHarmIsToldWithTheCommandThatRepeatsIt) {
  const Ran every = Stress("unforgiving --seed 7 --faults copy:every");
  EXPECT_EQ(every.code, 1);
  EXPECT_THAT(every.out, HasSubstr("failed  1 times, the first: the second"));
  const std::string repeat = "test/unforgiving --seed 7 --faults copy:2";
  EXPECT_THAT(every.out, HasSubstr("./twostep stress " + repeat + "\n"));
  EXPECT_EQ(Stress(repeat).code, 1);
  EXPECT_EQ(Stress("unforgiving --faults copy:3").code, 0);
}

TEST(StressCommand, FaultsThatWereNotReachedAreNamed) {
  Ran ran = Stress("unforgiving --faults copy:4");
  EXPECT_EQ(ran.code, 0);
  EXPECT_THAT(ran.err, HasSubstr("copy:4 made nothing fail\n"));
  ran = Stress("sound --faults frame:1,cma:1");
  EXPECT_EQ(ran.code, 0);
  EXPECT_THAT(ran.err, HasSubstr("no point of cma was passed"));
  EXPECT_THAT(ran.err, Not(HasSubstr("frame")));
}

// Without a capture, which would keep what it says from whoever looks.
TEST(StressCommandDeathTest, WhatEndsTheProcessIsToldWithTheCommand) {
  const auto stress = [](const std::string& arguments) {
    const std::vector<Scenario> scenarios = {
        {"test", "fails-a-check", "",
         [](const StressOptions& options, Verdict*) {
           TWOSTEP_CHECK(!FaultAt(options.faults, FaultKind::kCopy));
         },
         FaultsOf({FaultKind::kCopy})}};
    CLI::App app;
    ExitCode code = kExitBadInput;
    AddStress(app, scenarios, &code);
    app.parse(absl::StrCat("stress ", arguments));
    std::exit(code);
  };
  EXPECT_DEATH(stress("--seed 3 --faults copy:every"),
               "check failed: (.|\n)*before --json and --report; again with: "
               "./twostep stress "
               "test/fails-a-check --seed 3 --faults copy:1\n");
}

TEST(PlayGuardDeathTest, WhatTakesLongIsNamedAgainAndAgainAndEnded) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto hang = [] {
    PlayGuard guard(stderr, std::chrono::milliseconds(1));
    guard.Playing("./twostep stress test/long");
    for (uint64_t rounds = 0;; ++rounds) YieldFor(rounds);
  };
  EXPECT_EXIT(hang(), testing::KilledBySignal(SIGABRT),
              "minutes: ./twostep stress test/long\n(.|\n)*"
              "minutes: ./twostep stress test/long\n(.|\n)*"
              "again with: ./twostep stress test/long\n");
}

TEST(StressCommand, WhoTakesNoneOfTheFaultsIsLeftOutWithAWord) {
  const Ran some = Stress("sound unforgiving --faults frame:1");
  EXPECT_EQ(some.code, 0) << some.out << some.err;
  EXPECT_THAT(some.out, HasSubstr("1 scenario, "));
  EXPECT_THAT(some.out, Not(HasSubstr("unforgiving ")));
  EXPECT_THAT(some.err, HasSubstr("1 of 2 scenarios are left out: "));
  const Ran none = Stress("asks-too-much --faults frame:1");
  EXPECT_EQ(none.code, 2);
  EXPECT_THAT(none.err, HasSubstr("--faults frame:1"));
}

TEST(StressCommand, ListNamesWhatMatches) {
  const Ran ran = Stress("--list 's*nd' test/asks*");
  EXPECT_EQ(ran.code, 0);
  EXPECT_THAT(ran.out, HasSubstr("test/sound "));
  EXPECT_THAT(ran.out, HasSubstr("more than VRAM in one bo\n"));
  EXPECT_THAT(ran.out, Not(HasSubstr("loses")));
}

TEST(StressCommand, ASoakPlaysFurtherSeedsInRoundsOfAll) {
  const std::string path = testing::TempDir() + "/soak.json";
  const Ran ran =
      Stress("sound loses-a-page --soak 0.001 --seed 1 --json " + path);
  EXPECT_EQ(ran.code, 1);
  EXPECT_THAT(ran.out, HasSubstr("test/sound            2 "));
  EXPECT_THAT(ran.out, HasSubstr("test/loses-a-page --seed 2\n"));
  EXPECT_THAT(ran.out, HasSubstr("clean  memory: "));
  EXPECT_THAT(ran.out, HasSubstr("after the first of 2 rounds"));
  std::ifstream file(path);
  const nlohmann::json object = nlohmann::json::parse(file);
  EXPECT_FALSE(object["clean"]);
  EXPECT_EQ(object["resident_bytes"].size(), 2);
}

TEST(StressCommand, ASoakFailsWhenMemoryGrows) {
  const Ran ran = Stress("sound hoards --soak 0.001");
  EXPECT_EQ(ran.code, 1);
  EXPECT_THAT(ran.out, HasSubstr("clean  2 scenarios, 0 of them wrong"));
  EXPECT_THAT(ran.out, HasSubstr("WRONG  memory: "));
}

TEST(Soak, GrowthIsWhatTheLastThirdHasMoreThanTheFirst) {
  constexpr uint64_t kTenth = kMiB / 10;
  std::vector<uint64_t> steady;
  std::vector<uint64_t> growing;
  for (uint64_t round = 0; round < 31; ++round) {
    // What rounds differ by hides what each of them leaves.
    const uint64_t noise = round % 2 * 3 * kMiB;
    steady.push_back(17 * kMiB + noise);
    growing.push_back(17 * kMiB + noise + round * kTenth * 3 / 2);
  }
  EXPECT_FALSE(Soak::Grew(steady));
  EXPECT_TRUE(Soak::Grew(growing));
  // It comes with the first round, and stays.
  steady[0] = kMiB;
  EXPECT_TRUE(Soak::Grew({&steady[0], 2}));
  steady[0] = 4 * kMiB;
  EXPECT_FALSE(Soak::Grew(steady));
  // Too few to say more of.
  EXPECT_FALSE(Soak::Grew({&growing[0], Soak::kRoundsForMedians - 1}));
}

TEST(StressCommand, WithoutASoakMemoryIsNotLookedAt) {
  const Ran ran = Stress("hoards --seeds 2");
  EXPECT_EQ(ran.code, 0);
  EXPECT_THAT(ran.out, Not(HasSubstr("memory")));
}

// Of the seeds the last one, and no machine, no plots.
TEST(StressCommand, AReportShowsTheRunThatWentWrong) {
  const std::string path = testing::TempDir() + "/stress.html";
  const Ran ran = Stress("loses-a-page hoards --seeds 5 --report " + path);
  EXPECT_EQ(ran.code, 1);
  std::ifstream file(path);
  std::stringstream page;
  page << file.rdbuf();
  // Of what follows "histories", as a failure would print the page.
  const size_t at = page.str().find("\"histories\":[");
  ASSERT_NE(at, std::string::npos);
  EXPECT_THAT(page.str().substr(at, 90),
              HasSubstr("[{\"scenario\":\"test/loses-a-page\","
                        "\"run\":\"test/loses-a-page seed 2\","));
  EXPECT_EQ(page.str().find("test/hoards", at), std::string::npos);
}

TEST(StressCommand, JsonHasARowForEachScenario) {
  const std::string path = testing::TempDir() + "/stress.json";
  const Ran ran = Stress("sound loses-a-page --seed 2 --json " + path);
  EXPECT_EQ(ran.code, 1);
  std::ifstream file(path);
  const nlohmann::json object = nlohmann::json::parse(file);
  EXPECT_FALSE(object["clean"]);
  ASSERT_EQ(object["rows"].size(), 2);
  EXPECT_EQ(object["rows"][0]["scenario"], "test/sound");
  EXPECT_EQ(object["rows"][1]["clean"], false);
  EXPECT_EQ(object["rows"][1]["repeat"],
            "./twostep stress test/loses-a-page --seed 2");
  for (const char* key :
       {"first_seed", "seeds", "operations", "gpu_evictions", "dma_evictions",
        "bytes_checked", "bytes_wrong", "rule_violations", "violations",
        "failures", "first_failure", "hasty", "wall_seconds"}) {
    EXPECT_TRUE(object["rows"][0].contains(key)) << key;
  }
}

TEST(StressCommand, BadInputIsExitTwoAndSaysWhat) {
  const std::pair<const char*, const char*> cases[] = {
      {"suond", "near to it: sound"},
      {"'x*'", "no scenario is called 'x*'"},
      {"sound --machine /nowhere.toml", "/nowhere.toml"},
      {"sound --json /nowhere/x.json", "/nowhere/x.json"},
      {"sound --seeds 0", ""},
      {"sound --threads -1", ""},
      {"sound --duration -1", ""},
      {"sound --seed lots", ""},
      {"sound --colour red", ""},
      {"sound --faults cpoy:1", "near to it: copy"},
  };
  for (const auto& [arguments, message] : cases) {
    const Ran ran = Stress(arguments);
    EXPECT_EQ(ran.code, 2) << arguments;
    EXPECT_THAT(ran.err, HasSubstr(message)) << arguments;
  }
}

TEST(StressCommand, UnbackedChecksNoBytes) {
  const Ran ran = Stress("sound --unbacked");
  EXPECT_EQ(ran.code, 0) << ran.out;
  EXPECT_THAT(ran.out, HasSubstr("0 B checked"));
}

}  // namespace
}  // namespace twostep
