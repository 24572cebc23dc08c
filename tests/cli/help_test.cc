// What the command says of itself, and of names that it does not know.

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/cli/run_twostep.h"
#include "tests/trace/trace_writer.h"

namespace twostep {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// The smallest terminal, with a line left for the shell.
constexpr size_t kColumns = 80;
constexpr size_t kRows = 23;

TEST(Help, FitsAScreenAndHasAnExample) {
  for (const char* command : {"", "replay", "compare", "merge", "explain",
                              "diff", "stress", "policies", "bench"}) {
    const Ran ran = Twostep(absl::StrCat(command, " --help"));
    EXPECT_EQ(ran.code, 0) << command;
    const std::vector<std::string> lines =
        absl::StrSplit(ran.output, '\n', absl::SkipEmpty());
    EXPECT_LE(lines.size(), kRows) << ran.output;
    for (const std::string& line : lines) {
      EXPECT_LE(line.size(), kColumns) << line;
    }
    EXPECT_THAT(ran.output, HasSubstr("Example: twostep ")) << command;
    EXPECT_THAT(lines[0], HasSubstr(absl::StrCat("Usage: twostep ", command)));
  }
}

TEST(Help, SaysDefaults) {
  const std::pair<const char*, std::vector<const char*>> cases[] = {
      {"replay",
       {"--dma-type NAME", "(default dynamic)",
        "--dma-exhaustion when DMA runs out", "(default evict)",
        "(default vram-tt)", "(default adaptive)", "(default 1)", "[TRACE...]",
        "(default: half of the largest frame)", "(default at the end)",
        "(default: 512 MiB of frames in each zone, no IOMMU)"}},
      {"compare",
       {"(default ttm-like)", "(default 10%,25%,50%,75%)", "(default 0/1)"}},
      {"stress",
       {"(default 0)", "(default 1)", "(default: one round)",
        "(default: what each scenario says)", "(default: 32 MiB of VRAM)",
        "(default: none)"}},
      {"explain", {"--bo N", "explain [OPTION...] RUN"}},
      {"bench", {"[ROW...]", "(default 5)", "(default: for 0.1 s)"}},
  };
  for (const auto& [command, texts] : cases) {
    const Ran ran = Twostep(absl::StrCat(command, " --help"));
    // Whatever lines it was wrapped to.
    const std::vector<std::string> words =
        absl::StrSplit(ran.output, absl::ByAnyChar(" \n"), absl::SkipEmpty());
    const std::string help = absl::StrJoin(words, " ");
    for (const char* text : texts) EXPECT_THAT(help, HasSubstr(text));
  }
}

TEST(Help, WhatIsNotKnownBringsUpTheNearest) {
  const std::string machine = WriteTempFile(
      "near.toml",
      "[memory]\ndma32 = \"64 MiB\"\nswop = 0\n[gpu]\nvram = \"1 MiB\"\n");
  const std::string table =
      WriteTempFile("table.toml", "[memory]\n[gpu]\n[swoitlb]\n");
  const std::string choice =
      WriteTempFile("choice.toml", "[memory]\nswap_medium = \"fiel\"\n");
  const std::pair<std::string, const char*> cases[] = {
      {"repaly", "no subcommand is called 'repaly'; near to it: replay"},
      {"--versoin", "no option is called '--versoin'; near to it: --version"},
      {"replay --evction lru",
       "replay: no option is called '--evction'; near to it: --eviction"},
      {"stress --duratoin=3", "near to it: --duration"},
      {"help", "no subcommand is called 'help'; near to it: --help"},
      {"version", "near to it: --version"},
      {"policies lru", "policies: one too many: 'lru'"},
      {"explain --boo 1 run.jsonl",
       "explain: no option is called '--boo'; near to it: --bo"},
      {"explain run.jsonl 7", "twostep: --bo is required"},
      {"replay --dma-type dynmic",
       "'dynmic' is none of none, dynamic, coherent or cma; near to it: "
       "dynamic"},
      {"compare --dma-type cohernt x", "near to it: coherent"},
      {"replay --dma-exhaustion purg",
       "'purg' is none of evict, purge or fail; near to it: purge"},
      {"replay --machine " + choice, "is none of its words; near to it: file"},
      {"replay --eviction clcok", "near to it: clock"},
      {"replay --placement cotsed", "near to it: costed"},
      {"replay --placement vram-t", "near to it: vram-tt"},
      {"compare --policies lru,beladi x", "near to it: belady"},
      {"compare --placement ttmlike x", "near to it: ttm-like"},
      {"stress evict-smal", "near to it: evict-small"},
      {"stress xe_evct/evict-small-cm", "near to it: xe_evict/evict-small-cm"},
      {"replay --machine " + machine, "near to it: swap"},
      {"replay --machine " + table, "near to it: [swiotlb]"},
  };
  for (const auto& [arguments, message] : cases) {
    const Ran ran = Twostep(arguments);
    EXPECT_EQ(ran.code, 2) << arguments;
    EXPECT_THAT(ran.output, HasSubstr(message)) << arguments;
  }
}

TEST(Help, ANumberThatIsNoneOfThoseTakenSaysWhichAre) {
  const std::pair<const char*, const char*> cases[] = {
      {"stress --seeds 0",
       "--seeds: '0' is no whole number from 1 to 1000000000"},
      {"stress --seeds 99999999999999999999", "from 1 to 1000000000"},
      {"stress --seed 99999999999999999999",
       "is no whole number from 0 to 18446744073709551615"},
      {"stress --seed -1", "--seed: '-1' is no whole number"},
      {"stress --seed 0x10", "--seed: '0x10' is no whole number"},
      {"stress --threads 65", "'65' is no whole number from 1 to 64"},
      {"stress --duration -1",
       "--duration: '-1' is no number of seconds from 0 to 31536000000"},
      {"stress --duration x", "--duration: 'x' is no number of seconds"},
      {"stress --duration nan", "'nan' is no number of seconds"},
      {"stress --soak -5", "--soak: '-5' is no number of seconds"},
      {"explain --bo -1 run.jsonl", "--bo: '-1' is no whole number"},
      {"explain --bo 1 --at -1 run.jsonl", "--at: '-1' is no whole number"},
      {"replay --seed x", "--seed: 'x' is no whole number from 0 to"},
      {"replay --audit-every 1.5", "--audit-every: '1.5' is no whole number"},
      {"compare --jobs -1 x", "--jobs: '-1' is no whole number from 0 to 1024"},
  };
  for (const auto& [arguments, message] : cases) {
    const Ran ran = Twostep(arguments);
    EXPECT_EQ(ran.code, 2) << arguments;
    EXPECT_THAT(ran.output, HasSubstr(message)) << arguments;
    EXPECT_LT(ran.output.size(), 160) << ran.output;
  }
}

// Not as an octal one.
TEST(Help, ANumberMayBeginWithZeros) {
  const std::string trace = WriteTempFile("zeros.botrace", "#botrace 1\n");
  const Ran ran = Twostep("replay --json - --seed 0010 " + trace);
  EXPECT_EQ(ran.code, 0);
  EXPECT_THAT(ran.output, HasSubstr("\"seed\": 10,"));
}

TEST(Help, WhoLacksTheBenchmarksIsToldWhereTheyAre) {
  const Ran ran = Twostep("bench lru_touch/1024");
  EXPECT_EQ(ran.code, 2);
  EXPECT_THAT(ran.output,
              HasSubstr("in a clone of the sources ./twostep bench"));
}

TEST(Help, NothingIsNearToWhatIsFarFromAll) {
  for (const char* arguments :
       {"replay -x", "compare --vram 3", "diff --jsn", "replay --dma-type 7"}) {
    const Ran ran = Twostep(arguments);
    EXPECT_EQ(ran.code, 2) << arguments;
    EXPECT_THAT(ran.output, testing::ContainsRegex("is none of|is called '-"));
    EXPECT_THAT(ran.output, Not(HasSubstr("near to it"))) << arguments;
  }
}

// A parameter of a policy that there is says what parameters it has, not
// another policy.
TEST(Help, AParameterIsNoName) {
  const Ran ran = Twostep("replay --eviction s3fifo:large=0.3");
  EXPECT_EQ(ran.code, 2);
  EXPECT_THAT(ran.output, HasSubstr("small, ghost, threshold"));
  EXPECT_THAT(ran.output, Not(HasSubstr("near to it")));
}

}  // namespace
}  // namespace twostep
