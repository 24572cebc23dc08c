// `twostep bench` with its rows: what ./twostep runs for it.

#include "CLI/CLI.hpp"
#include "tests/benchmark/bench.h"
#include "twostep/cli/help.h"
#include "twostep/cli/outputs.h"

int main(int argc, char** argv) {
  CLI::App app{"The benchmarks of twostep", "twostep"};
  twostep::UseCompactHelp(&app);
  app.require_subcommand(1);
  twostep::ExitCode code = twostep::kExitBadInput;
  twostep::AddBench(app, twostep::RunBenchmarks, &code);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return twostep::WasCallForHelp(app, error) ? twostep::kExitClean
                                               : twostep::kExitBadInput;
  }
  return twostep::AfterWriting(code, {twostep::FlushStdout()});
}
