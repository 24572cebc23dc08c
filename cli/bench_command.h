#ifndef CLI_BENCH_COMMAND_H_
#define CLI_BENCH_COMMAND_H_

// `twostep bench`: its command line. What it runs is handed in, so that the
// command as it is installed carries no benchmarks.

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "twostep/cli/command.h"

namespace twostep {

struct BenchOptions {
  std::vector<std::string> rows;  // names or globs; empty: all
  bool list = false;
  bool quick = false;
  bool instructions = false;
  int64_t repetitions = 5;
  int64_t iterations = 0;  // 0: as many as fill the time
  std::string json;
  std::string baseline;
};

using RunBench = std::function<ExitCode(const BenchOptions&)>;

// Without `run` the command says where it can be had.
void AddBench(CLI::App& app, RunBench run, ExitCode* code);

}  // namespace twostep

#endif  // CLI_BENCH_COMMAND_H_
