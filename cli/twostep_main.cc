#include "twostep/cli/twostep_main.h"

#include <cstdio>

#include "absl/strings/str_cat.h"
#include "twostep/cli/bench_command.h"
#include "twostep/cli/command.h"
#include "twostep/cli/help.h"
#include "twostep/cli/outputs.h"
#include "twostep/machine/version.h"
#include "twostep/stress/families.h"

namespace twostep {

namespace {

ExitCode Run(int argc, char** argv) {
  CLI::App app{
      "Buffer objects that reach a device in two steps, and the evictions on "
      "the way"};
  UseCompactHelp(&app);
  app.footer(
      "Example: twostep replay --vram '64 MiB' --eviction arc\n"
      "Each has its own: twostep replay --help");
  app.set_version_flag("--version", absl::StrCat("twostep ", kVersion));
  ExitCode code = kExitBadInput;
  AddReplay(app, &code);
  AddCompare(app, &code);
  AddMerge(app, &code);
  AddExplain(app, &code);
  AddDiff(app, &code);
  AddStress(app, AllScenarios(), &code);
  AddPolicies(app, &code);
  AddBench(app, nullptr, &code);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return WasCallForHelp(app, error) ? kExitClean : kExitBadInput;
  }
  if (app.get_subcommands().empty()) {
    std::fprintf(stderr, "twostep: a subcommand is required\n\n%s",
                 app.help().c_str());
  }
  return code;
}

}  // namespace

int TwostepMain(int argc, char** argv) {
  const ExitCode code = Run(argc, argv);
  return AfterWriting(code, {FlushStdout()});
}

}  // namespace twostep
