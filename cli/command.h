#ifndef CLI_COMMAND_H_
#define CLI_COMMAND_H_

// What the subcommands share. Each has a function that adds it to the command
// line; when it is the one asked for, it runs and leaves its exit code.

#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/status/status.h"
#include "twostep/stress/scenario.h"

namespace twostep {

enum ExitCode : int {
  kExitClean = 0,
  kExitWrong = 1,  // a byte was wrong, or a rule broken
  kExitBadInput = 2,
  kExitNotAllRan = 3,  // twostep compare: the rows say which cells, and why
};

// Says on standard error what is wrong with the input.
ExitCode BadInput(const absl::Status& status);
// Says on standard error which outputs could not be written: kExitBadInput if
// there are any, otherwise `code`.
ExitCode AfterWriting(ExitCode code, const std::vector<absl::Status>& written);
// On standard output lines of which parts come from files: with nothing in them
// that could drive a terminal.
void PrintLines(const std::string& text);

void AddPolicies(CLI::App& app, ExitCode* code);
void AddReplay(CLI::App& app, ExitCode* code);
void AddCompare(CLI::App& app, ExitCode* code);
void AddMerge(CLI::App& app, ExitCode* code);
void AddExplain(CLI::App& app, ExitCode* code);
void AddDiff(CLI::App& app, ExitCode* code);
// Of these scenarios.
void AddStress(CLI::App& app, std::vector<Scenario> scenarios, ExitCode* code);

}  // namespace twostep

#endif  // CLI_COMMAND_H_
