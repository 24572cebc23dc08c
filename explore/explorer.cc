#include "twostep/explore/explorer.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "twostep/explore/strategy.h"
#include "twostep/machine/check.h"

namespace twostep::explore {
namespace {

std::optional<Failure> FailureOf(const Case& one, const Runner& runner,
                                 const Outcome& outcome) {
  if (outcome.kind == Outcome::Kind::kDone) return std::nullopt;
  if (runner.report().lost_decisions != 0) {
    return Failure{outcome, Script{one.name, {}, 0}, /*too_long=*/true};
  }
  return Failure{outcome, runner.ScriptOf(one)};
}

void Count(const Runner& runner, Found* found) {
  ++found->schedules;
  found->steps = std::max(found->steps, runner.report().steps);
}

// The schedules of a case in an order in which each differs from the one before
// in its last choices: depth first, without keeping more than one.
class Enumeration {
 public:
  explicit Enumeration(int preemptions) : preemptions_(preemptions) {}

  std::vector<uint8_t> Prefix() const {
    std::vector<uint8_t> prefix;
    for (const Node& node : nodes_) prefix.push_back(node.chosen);
    return prefix;
  }

  // What the schedule with this prefix decided, to its end.
  void Extend(absl::Span<const Decision> decisions) {
    TWOSTEP_CHECK(decisions.size() >= nodes_.size());
    int used = 0;
    for (size_t i = 0; i < decisions.size(); ++i) {
      const Decision& at = decisions[i];
      if (i < nodes_.size()) {
        // The case must repeat, or nothing is known of what was left out.
        TWOSTEP_CHECK(at.next == nodes_[i].chosen);
        TWOSTEP_CHECK(at.eligible == nodes_[i].eligible);
      } else {
        nodes_.push_back(NodeOf(at, used));
      }
      used += Costs(at, at.next);
    }
  }

  // On to the next prefix. False: there is none.
  bool Next() {
    while (!nodes_.empty()) {
      Node& node = nodes_.back();
      if (node.open != 0) {
        node.chosen = static_cast<uint8_t>(__builtin_ctz(node.open));
        node.open &= node.open - 1;
        return true;
      }
      nodes_.pop_back();
    }
    return false;
  }

 private:
  struct Node {
    uint32_t eligible;
    uint32_t open;  // choices not yet made
    uint8_t chosen;
  };
  static int Costs(const Decision& at, int choice) {
    return at.can_stay && choice != at.fiber ? 1 : 0;
  }
  Node NodeOf(const Decision& at, int used) const {
    const bool fixed = at.can_stay && (at.relaxed || used >= preemptions_);
    const uint32_t others = at.eligible & ~(uint32_t{1} << at.next);
    return Node{at.eligible, fixed ? 0 : others, at.next};
  }

  const int preemptions_;
  std::vector<Node> nodes_;
};

Found ExploreAll(const Case& one, const Search& search) {
  Found found;
  Runner runner;
  Enumeration all(search.preemptions);
  while (found.schedules < search.schedules) {
    PrefixStrategy strategy(all.Prefix());
    const Outcome outcome = runner.Run(one, strategy, search.limits);
    Count(runner, &found);
    found.failure = FailureOf(one, runner, outcome);
    if (found.failure.has_value()) return found;
    all.Extend(runner.report().decisions());
    if (!all.Next()) {
      found.complete = true;
      return found;
    }
  }
  return found;
}

Found ExploreSome(const Case& one, const Search& search) {
  Found found;
  Runner runner;
  uint64_t length = 0;
  // Seeds of neighbouring searches should have nothing in common.
  std::mt19937_64 seeds(search.seed);
  for (uint64_t i = 0; i < search.schedules; ++i) {
    const uint64_t seed = seeds();
    std::unique_ptr<Strategy> strategy;
    if (i == 0) {
      // How long it is, for those that ask.
      strategy = std::make_unique<PrefixStrategy>(std::vector<uint8_t>());
    } else if (search.kind == Search::Kind::kRandom) {
      strategy = std::make_unique<RandomStrategy>(seed);
    } else {
      strategy = std::make_unique<PctStrategy>(seed, search.pct_depth, length);
    }
    const Outcome outcome = runner.Run(one, *strategy, search.limits);
    Count(runner, &found);
    length = std::max(length, runner.report().decisions().size());
    found.failure = FailureOf(one, runner, outcome);
    if (found.failure.has_value()) break;
  }
  return found;
}

}  // namespace

Found Explore(const Case& one, const Search& search) {
  return search.kind == Search::Kind::kExhaustive ? ExploreAll(one, search)
                                                  : ExploreSome(one, search);
}

// Leaves out ever smaller parts (Zeller and Hildebrandt, "Simplifying and
// Isolating Failure-Inducing Input", 2002).
Failure Shrink(const Case& one, const Failure& failure, const Limits& limits,
               uint64_t schedules) {
  if (failure.too_long) return failure;
  Runner runner;
  Failure best = failure;
  size_t part = (best.script.switches.size() + 1) / 2;
  while (part > 0) {
    bool smaller = false;
    for (size_t begin = 0; begin < best.script.switches.size();) {
      if (schedules-- == 0) return best;
      Script fewer = best.script;
      auto& switches = fewer.switches;
      const size_t end = std::min(begin + part, switches.size());
      switches.erase(switches.begin() + static_cast<ptrdiff_t>(begin),
                     switches.begin() + static_cast<ptrdiff_t>(end));
      ScriptStrategy strategy(fewer);
      const Outcome outcome = runner.Run(one, strategy, limits);
      if (runner.report().lost_decisions != 0) {
        begin += part;
        continue;
      }
      // What ran may have switched less often than the script says.
      const Script ran = runner.ScriptOf(one);
      if (outcome.SameAs(failure.outcome) &&
          ran.switches.size() < best.script.switches.size()) {
        best = Failure{outcome, ran};
        smaller = true;
      } else {
        begin += part;
      }
    }
    if (part == 1 && !smaller) break;
    if (!smaller) part = part / 2;
    part = std::min(part, std::max<size_t>(best.script.switches.size(), 1));
    if (best.script.switches.empty()) break;
  }
  return best;
}

Replayed Replay(const Case& one, const Script& script, const Limits& limits) {
  Runner runner;
  ScriptStrategy strategy(script);
  Replayed replayed;
  replayed.outcome = runner.Run(one, strategy, limits);
  replayed.trace = runner.report().trace;
  return replayed;
}

}  // namespace twostep::explore
