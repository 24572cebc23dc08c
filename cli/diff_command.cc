// twostep diff: two runs side by side.

#include <memory>
#include <string>

#include "twostep/cli/command.h"
#include "twostep/cli/run_diff.h"

namespace twostep {
namespace {

struct DiffFlags {
  std::string before;
  std::string after;
};

ExitCode Run(const DiffFlags& flags) {
  const auto diff = RunDiff(flags.before, flags.after);
  if (!diff.ok()) return BadInput(diff.status());
  PrintLines(*diff);
  return kExitClean;
}

}  // namespace

void AddDiff(CLI::App& app, ExitCode* code) {
  CLI::App* diff = app.add_subcommand(
      "diff", "Tell what changed between two runs, and where they part");
  auto flags = std::make_shared<DiffFlags>();
  diff->add_option("BEFORE", flags->before,
                   "figures (--json of replay or compare), or a recorded run "
                   "(--record of replay)")
      ->required();
  diff->add_option("AFTER", flags->after, "another of the same kind")
      ->required();
  diff->footer(
      "Example: twostep replay --json a.json &&\n"
      "         twostep replay --eviction clock --json b.json &&\n"
      "         twostep diff a.json b.json");
  diff->callback([flags, code] { *code = Run(*flags); });
}

}  // namespace twostep
