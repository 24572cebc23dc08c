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

// The smallest terminal, with a line left for the shell.
constexpr size_t kColumns = 80;
constexpr size_t kRows = 23;

TEST(Help, FitsAScreenAndHasAnExample) {
  for (const char* command : {"", "replay", "compare", "merge", "explain",
                              "diff", "stress", "policies"}) {
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
       {"--dma-type NAME", "(default dynamic)", "(default vram-tt)",
        "(default adaptive)", "(default 1)", "[TRACE...]"}},
      {"compare",
       {"(default ttm-like)", "(default 10%,25%,50%,75%)", "(default 0/1)"}},
      {"stress", {"(default 0)", "(default 1)"}},
      {"explain", {"--bo N", "explain [OPTION...] RUN"}},
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
  const std::pair<std::string, const char*> cases[] = {
      {"repaly", "no subcommand is called 'repaly'; near to it: replay"},
      {"--versoin", "no option is called '--versoin'; near to it: --version"},
      {"replay --evction lru",
       "replay: no option is called '--evction'; near to it: --eviction"},
      {"stress --duratoin=3", "near to it: --duration"},
      {"policies lru", "policies: one too many: 'lru'"},
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

// A parameter of a policy that there is says what parameters it has, not
// another policy.
TEST(Help, AParameterIsNoName) {
  const Ran ran = Twostep("replay --eviction s3fifo:large=0.3");
  EXPECT_EQ(ran.code, 2);
  EXPECT_THAT(ran.output, HasSubstr("small, ghost, threshold"));
  EXPECT_THAT(ran.output, testing::Not(HasSubstr("near to it")));
}

}  // namespace
}  // namespace twostep
