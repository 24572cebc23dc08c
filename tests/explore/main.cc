// Explores, replays and shrinks: docs/schedules.md.

#include <chrono>
#include <cstdio>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/debugging/symbolize.h"
#include "absl/strings/match.h"
#include "tests/explore/cases.h"
#include "twostep/explore/explorer.h"

namespace twostep::explore {
namespace {

struct Options {
  std::string cases;
  std::string strategy = "pct";
  std::string schedule;
  bool one = false;
  bool steps = false;
  Search search;
};

void Show(const char* title, const Outcome& outcome, const Script& script) {
  std::printf("%s (%s, %zu switches):\n%s\n\n%s\n", title, NameOf(outcome.kind),
              script.switches.size(), outcome.message.c_str(),
              Print(script).c_str());
}

// Found, shrunk, and where the fibers of the shrunk schedule stop.
void ShowFailure(const Case& one, const Failure& failure,
                 const Search& search) {
  if (failure.too_long) {
    std::printf("found (%s, too long for a script):\n%s\n\n",
                NameOf(failure.outcome.kind), failure.outcome.message.c_str());
    return;
  }
  Show("found", failure.outcome, failure.script);
  const Failure shrunk = Shrink(one, failure, search.limits);
  Limits limits = search.limits;
  limits.explain = Limits::Explain::kSwitches;
  Show("shrunk", Replay(one, shrunk.script, limits).outcome, shrunk.script);
}

int ExploreCases(const std::vector<Case>& all, const Options& options) {
  int failures = 0;
  // A name in full is that case alone.
  const bool one_alone = FindCase(all, options.cases) != nullptr;
  for (const Case& one : all) {
    if (one_alone ? one.name != options.cases
                  : !absl::StartsWith(one.name, options.cases)) {
      continue;
    }
    const auto began = std::chrono::steady_clock::now();
    const Found found = Explore(one, options.search);
    const std::chrono::duration<double> took =
        std::chrono::steady_clock::now() - began;
    std::printf("%-36s %8llu schedules%s, %6llu steps at most, %7.2f s: %s\n",
                one.name.c_str(),
                static_cast<unsigned long long>(found.schedules),
                found.complete ? " (all)" : "",
                static_cast<unsigned long long>(found.steps), took.count(),
                found.failure.has_value() ? NameOf(found.failure->outcome.kind)
                                          : "nothing found");
    std::fflush(stdout);
    if (!found.failure.has_value()) continue;
    ++failures;
    ShowFailure(one, *found.failure, options.search);
  }
  return failures == 0 ? 0 : 1;
}

// One random schedule of a case, as a script: whatever it comes to, it can be
// replayed.
int ShowOne(const std::vector<Case>& all, const Options& options) {
  const Case* one = FindCase(all, options.cases);
  if (one == nullptr) {
    std::fprintf(stderr, "--case %s: no such case\n", options.cases.c_str());
    return 2;
  }
  Runner runner;
  RandomStrategy strategy(options.search.seed);
  Limits limits = options.search.limits;
  if (options.steps) limits.explain = Limits::Explain::kSteps;
  const Outcome outcome = runner.Run(*one, strategy, limits);
  if (runner.report().lost_decisions != 0) {
    std::fprintf(stderr, "%s: too long for a script\n", one->name.c_str());
    return 2;
  }
  Show("ran", outcome, runner.ScriptOf(*one));
  return outcome.kind == Outcome::Kind::kDone ? 0 : 1;
}

int ReplayFile(const std::vector<Case>& all, const Options& options) {
  std::ifstream file(options.schedule);
  std::stringstream text;
  text << file.rdbuf();
  const absl::StatusOr<Script> script = Parse(text.str());
  const Case* one = script.ok() ? FindCase(all, script->case_name) : nullptr;
  if (one == nullptr) {
    std::fprintf(
        stderr, "%s: %s\n", options.schedule.c_str(),
        script.ok() ? "no such case" : script.status().ToString().c_str());
    return 2;
  }
  Limits limits = options.search.limits;
  limits.explain =
      options.steps ? Limits::Explain::kSteps : Limits::Explain::kSwitches;
  const Replayed replayed = Replay(*one, *script, limits);
  Script ran = *script;
  ran.trace = replayed.trace;
  Show("replayed", replayed.outcome, ran);
  if (script->trace != 0 && script->trace != replayed.trace) {
    std::printf("not the same schedule: the code has changed since\n");
    return 2;
  }
  return replayed.outcome.kind == Outcome::Kind::kDone ? 0 : 1;
}

int Main(int argc, char** argv) {
  absl::InitializeSymbolizer(argv[0]);
  Options options;
  CLI::App app("Deterministic schedules: docs/schedules.md");
  bool list = false;
  app.add_flag("--list", list, "the cases");
  app.add_option("--case", options.cases,
                 "this one, or those that begin with this");
  app.add_option("--strategy", options.strategy, "random, pct or exhaustive")
      ->check(CLI::IsMember({"random", "pct", "exhaustive"}));
  app.add_option("--most", options.search.schedules,
                 "schedules of each case, at most");
  app.add_option("--seed", options.search.seed, "of random and pct");
  app.add_option("--depth", options.search.pct_depth, "of pct");
  app.add_option("--preemptions", options.search.preemptions, "of exhaustive");
  app.add_option("--schedule", options.schedule,
                 "replay the script in this file");
  app.add_flag("--one", options.one,
               "one random schedule of the case, as a script");
  app.add_flag("--steps", options.steps, "show every step");
  CLI11_PARSE(app, argc, argv);
  const std::vector<Case> all = AllCases();
  if (list) {
    for (const Case& one : all) {
      std::printf("%-36s %s\n", one.name.c_str(), one.about.c_str());
    }
    return 0;
  }
  if (!options.schedule.empty()) return ReplayFile(all, options);
  if (options.one) return ShowOne(all, options);
  options.search.kind = options.strategy == "random" ? Search::Kind::kRandom
                        : options.strategy == "pct"  ? Search::Kind::kPct
                                                    : Search::Kind::kExhaustive;
  return ExploreCases(all, options);
}

}  // namespace
}  // namespace twostep::explore

int main(int argc, char** argv) { return twostep::explore::Main(argc, argv); }
