// Scripts as text, from seeds, and made small.

#include "tests/script/script.h"

#include <algorithm>
#include <cstdlib>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tests/script/generate.h"
#include "tests/script/play.h"
#include "tests/script/shrink.h"

namespace twostep {
namespace {

constexpr char kHead[] = "twostep script 1\nmachine iommu\n";

TEST(Script, WhatIsPrintedIsReadAgain) {
  for (const MachineKind machine : kAllMachines) {
    for (uint64_t seed = 0; seed < 20; ++seed) {
      const Script script = MakeScript(
          Recipe{.machine = machine, .mixed = true, .steps = 500}, seed);
      const std::string text = Print(script);
      const absl::StatusOr<Script> read = ParseScript(text);
      ASSERT_TRUE(read.ok()) << read.status();
      EXPECT_EQ(*read, script);
      EXPECT_EQ(Print(*read), text);
    }
  }
}

TEST(Script, EveryVerbAndEveryFieldIsDrawn) {
  const Script script = MakeScript(Recipe{.mixed = true, .steps = 20000}, 1);
  for (int verb = 0; verb < kVerbs; ++verb) {
    for (const StepField& field : FieldsOf(static_cast<Verb>(verb))) {
      EXPECT_TRUE(std::any_of(script.steps.begin(), script.steps.end(),
                              [&](const Step& step) {
                                return step.verb == static_cast<Verb>(verb) &&
                                       step.*(field.value) != 0;
                              }))
          << NameOf(static_cast<Verb>(verb)) << " " << field.name;
    }
  }
}

TEST(Script, ByHand) {
  const absl::StatusOr<Script> script = ParseScript(
      "# found by hand\n\ntwostep script 1\nmachine swiotlb\n"
      "  submit bos=0,11 writes=11 first=high-cma second=vram hasty=1\n"
      "\noffer\n");
  ASSERT_TRUE(script.ok()) << script.status();
  EXPECT_EQ(script->machine, MachineKind::kSwiotlb);
  ASSERT_EQ(script->steps.size(), 2u);
  EXPECT_EQ(script->steps[0],
            (Step{.verb = Verb::kSubmit,
                  .bos = 1u << 0 | 1u << 11,
                  .writes = 1u << 11,
                  .first = static_cast<uint32_t>(Place::kHighCma),
                  .second = static_cast<uint32_t>(Place::kVram),
                  .hasty = 1}));
  EXPECT_EQ(script->steps[1], Step{.verb = Verb::kOffer});
}

TEST(Script, WhatIsWrongIsNamedByItsLine) {
  const auto why = [](const std::string& text) {
    return std::string(ParseScript(text).status().message());
  };
  EXPECT_EQ(why(""), "line 1: the script ends before its machine");
  EXPECT_EQ(why("twostep script 2\n"), "line 1: this is no script");
  EXPECT_EQ(why("twostep script 1\ncreate\n"), "line 2: no machine is named");
  EXPECT_EQ(why("twostep script 1\nmachine abacus\n"),
            "line 2: no such machine");
  EXPECT_EQ(why(absl::StrCat(kHead, "create\nfly\n")),
            "line 4: no such operation");
  EXPECT_EQ(why(absl::StrCat(kHead, "drop page=1\n")),
            "line 3: drop has no such field");
  for (const char* bad : {"bo=12", "bo=-1", "bo=", "bo", "pages=41"}) {
    EXPECT_TRUE(absl::StrContains(why(absl::StrCat(kHead, "create ", bad)),
                                  "line 3: no value for "))
        << bad;
  }
  for (const char* bad : {"bos=12", "bos=1,", "bos=", "first=away"}) {
    EXPECT_TRUE(absl::StrContains(why(absl::StrCat(kHead, "submit ", bad)),
                                  "line 3: no value for "))
        << bad;
  }
  EXPECT_EQ(why(std::string(kMaxScriptBytes + 1, '#')),
            "line 1: the script is too long");
}

TEST(Shrink, LeavesWhatTheFailureNeeds) {
  // Fails where a bo of at least 7 pages is pinned and then dropped.
  const auto fails = [](const Script& script) {
    uint32_t pages[kScriptBos] = {};
    bool pinned[kScriptBos] = {};
    for (const Step& step : script.steps) {
      if (step.verb == Verb::kCreate) pages[step.bo] = step.pages;
      if (step.verb == Verb::kPin) pinned[step.bo] = pages[step.bo] >= 7;
      if (step.verb == Verb::kDrop && pinned[step.bo]) return true;
    }
    return false;
  };
  const Script script = MakeScript(Recipe{.steps = 3000}, 7);
  ASSERT_TRUE(fails(script));
  const Script shrunk = Shrink(script, fails);
  EXPECT_TRUE(fails(shrunk));
  ASSERT_EQ(shrunk.steps.size(), 3u) << Print(shrunk);
  EXPECT_EQ(shrunk.steps[0].pages, 7u);
  EXPECT_EQ(shrunk.steps[0].client, 0u);
}

TEST(Shrink, KeepsToItsRuns) {
  const Script script = MakeScript(Recipe{.steps = 200}, 1);
  int runs = 0;
  const auto fails = [&runs](const Script&) {
    ++runs;
    return true;
  };
  EXPECT_FALSE(Shrink(script, fails, 1).steps.empty());
  EXPECT_EQ(runs, 1);
  EXPECT_TRUE(Shrink(script, fails).steps.empty());
}

// A driver whose copies do nothing, once in a while.
class LosesCopies : public RecordingHooks {
 public:
  absl::StatusOr<Fence> Copy(CopyEngine& engine, CopyJob job,
                             absl::Span<const Fence> dependencies) override {
    if (++made_ % 8 == 0) job = CopyJob();
    return RecordingHooks::Copy(engine, std::move(job), dependencies);
  }

 private:
  int made_ = 0;
};

// R6: that the model looks.
TEST(Play, ALostCopyIsFoundAndMadeSmall) {
  const Script script = MakeScript(Recipe{.steps = 1000}, 1);
  EXPECT_TRUE(PlayApart(script).ok());
  const auto fails = [](const Script& candidate) {
    LosesCopies driver;
    return !PlayApart(candidate, &driver).ok();
  };
  ASSERT_TRUE(fails(script));
  const Script shrunk = Shrink(script, fails);
  EXPECT_TRUE(fails(shrunk));
  EXPECT_LE(shrunk.steps.size(), 12u) << Print(shrunk);
}

// A crash is an ending like any other, and what a script found is found again
// by the text of it.
TEST(Play, ACrashIsAnEnding) {
  class Crashes : public RecordingHooks {
   public:
    PlacementList EvictTo(const BufferObject&) override { std::abort(); }
  };
  const absl::StatusOr<Script> script = ParseScript(
      absl::StrCat(kHead,
                   "create bo=1 pages=39\nsubmit bos=1 first=vram second=vram\n"
                   "create bo=2 pages=39\n"
                   "submit bos=2 first=vram second=vram\n"));
  ASSERT_TRUE(script.ok()) << script.status();
  EXPECT_TRUE(PlayApart(*script).ok());
  Crashes driver;
  const Ending ending = PlayApart(*script, &driver);
  EXPECT_TRUE(absl::StrContains(ending.what, "ended with status"))
      << ending.what;
  EXPECT_TRUE(ending.SameKindAs({0, "the process ended with status: 11"}));
}

}  // namespace
}  // namespace twostep
