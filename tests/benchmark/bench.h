#ifndef TESTS_BENCHMARK_BENCH_H_
#define TESTS_BENCHMARK_BENCH_H_

// Runs rows, and says what came out: a table beside peers and goals, and JSON.

#include "twostep/cli/bench_command.h"

namespace twostep {

// What `twostep bench` does. kExitWrong when a row failed, kExitBadInput when
// a name, a file or this machine is not up to what is asked.
ExitCode RunBenchmarks(const BenchOptions& options);

}  // namespace twostep

#endif  // TESTS_BENCHMARK_BENCH_H_
