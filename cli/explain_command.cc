// twostep explain: one bo of a recorded run.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "twostep/cli/command.h"
#include "twostep/cli/life_story.h"
#include "twostep/cli/number_option.h"

namespace twostep {
namespace {

struct ExplainFlags {
  std::string run;
  uint64_t bo = 0;
  std::optional<uint64_t> frame;
};

ExitCode Run(const ExplainFlags& flags) {
  const auto story = LifeStory(flags.run, flags.bo, flags.frame);
  if (!story.ok()) return BadInput(story.status());
  PrintLines(*story);
  return kExitClean;
}

}  // namespace

void AddExplain(CLI::App& app, ExitCode* code) {
  CLI::App* explain = app.add_subcommand(
      "explain", "Tell the life of a buffer object, each move with its cause");
  auto flags = std::make_shared<ExplainFlags>();
  explain
      ->add_option("RUN", flags->run,
                   "a run recorded with twostep replay --record")
      ->required();
  explain
      ->add_option("--bo", flags->bo,
                   "which one: the number that errors and events have")
      ->transform(WholeNumber(0))
      ->type_name("N")
      ->required();
  explain
      ->add_option("--at", flags->frame,
                   "only this frame, and where the bo is when it begins "
                   "(default: its whole life)")
      ->transform(WholeNumber(0))
      ->type_name("FRAME");
  explain->footer(
      "Example: twostep replay --record run.jsonl &&\n"
      "         twostep explain run.jsonl --bo 7 --at 12");
  explain->callback([flags, code] { *code = Run(*flags); });
}

}  // namespace twostep
