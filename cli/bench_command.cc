#include "twostep/cli/bench_command.h"

#include <memory>
#include <utility>

#include "twostep/cli/number_option.h"

namespace twostep {

void AddBench(CLI::App& app, RunBench run, ExitCode* code) {
  CLI::App* bench = app.add_subcommand(
      "bench", "Measure what operations cost, in a clone of the sources");
  auto options = std::make_shared<BenchOptions>();
  bench->add_option(
      "ROW", options->rows,
      "names of rows, with * and ?, see docs/performance.md; none: "
      "all there are");
  bench->add_flag("--list", options->list,
                  "name the rows, their peers and goals, and stop");
  bench
      ->add_option("--repetitions", options->repetitions,
                   "of each row; best and median are of these")
      ->transform(WholeNumber(1, 1000))
      ->type_name("N")
      ->capture_default_str();
  bench
      ->add_option("--iterations", options->iterations,
                   "of each repetition, exactly (default: for 0.1 s)")
      ->transform(WholeNumber(1, 1'000'000'000))
      ->type_name("N");
  bench->add_flag("--instructions", options->instructions,
                  "count them too, with valgrind: takes minutes");
  bench->add_flag("--quick", options->quick,
                  "each row once on small sizes: whether it works, no figures");
  bench
      ->add_option("--json", options->json,
                   "write the figures; '-': print them")
      ->type_name("FILE");
  bench
      ->add_option("--baseline", options->baseline,
                   "what --json wrote before: medians are compared with it")
      ->type_name("FILE");
  bench->footer("Example: twostep bench 'validate_*' --repetitions 9");
  bench->callback([options, run = std::move(run), code] {
    *code = run ? run(*options)
                : BadInput(absl::UnavailableError(
                      "bench: the benchmarks are not part of this program; in "
                      "a clone of the sources ./twostep bench builds and runs "
                      "them"));
  });
}

}  // namespace twostep
