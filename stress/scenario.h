#ifndef STRESS_SCENARIO_H_
#define STRESS_SCENARIO_H_

// A stress scenario: a name, where it comes from, what must hold, and the
// function that plays it. Plain values. What a run comes to is a Verdict; no
// scenario stops the process or asserts anything itself.

#include <algorithm>
#include <array>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <string>
#include <vector>

#include "twostep/bo/audit.h"
#include "twostep/machine/faults.h"
#include "twostep/machine/machine_config.h"
#include "twostep/machine/memory.h"

namespace twostep {

class RunObserver;

struct StressOptions {
  uint64_t seed = 0;
  // Of scenarios with threads or clients; 0: as many as the scenario says.
  int threads = 0;
  // Never fewer than `least` nor more than `most`, beyond which the scenario
  // would be another one.
  int ThreadsOr(int otherwise, int least = 1, int most = 64) const {
    return threads == 0 ? otherwise : std::clamp(threads, least, most);
  }
  Backing backing = Backing::kBacked;
  // The sizes of a scenario follow from gpu.vram_bytes.
  MachineConfig machine;
  GpuConfig gpu;
  // Told of what happens in the worlds of the scenario; null: nobody.
  RunObserver* observer = nullptr;
  // What is to fail; null: nothing. A world then calls again what failed for
  // that reason, as its users would.
  Faults* faults = nullptr;

  // 32 MiB of VRAM, so that all scenarios end in minutes; unbacked the 4 GiB
  // that the suites assume.
  static StressOptions Default(Backing backing);
};

// Of one kind: points passed, those that were made to fail, and those of which
// somebody was told, by an error or by a fence. The rest was absorbed.
struct FaultCount {
  uint64_t points = 0;
  uint64_t made = 0;
  uint64_t passed_on = 0;
};

struct Verdict {
  uint64_t operations = 0;  // submissions, and CPU accesses of a whole bo
  uint64_t gpu_evictions = 0;
  uint64_t dma_evictions = 0;
  uint64_t bytes_checked = 0;
  uint64_t bytes_wrong = 0;
  uint64_t rule_violations = 0;
  std::vector<Violation> violations;  // the first few
  // Calls that failed, and whatever else the scenario expected and did not get.
  uint64_t failures = 0;
  std::string first_failure;
  // Calls that were allowed to wait and said that it cannot be done, and were
  // wrong: with all work at rest it could.
  uint64_t hasty = 0;
  std::array<FaultCount, kFaultKinds> faults{};
  // Where WorldOptions::alone: submissions after which all that a fault must
  // leave was looked at, which failed, or in which it was absorbed.
  uint64_t looked_after_failed = 0;
  uint64_t looked_after_absorbed = 0;
  double seconds = 0;

  bool clean() const {
    return bytes_wrong == 0 && rule_violations == 0 && failures == 0 &&
           hasty == 0;
  }
  // Adds up two runs; the first words stay.
  void Add(const Verdict& other);
};

// Kinds of faults: bit i is for FaultKind(i).
using FaultSet = uint32_t;
constexpr FaultSet FaultsOf(std::initializer_list<FaultKind> kinds) {
  FaultSet set = 0;
  for (const FaultKind kind : kinds)
    set |= FaultSet{1} << static_cast<int>(kind);
  return set;
}
constexpr bool Has(FaultSet set, FaultKind kind) {
  return (set >> static_cast<int>(kind) & 1) != 0;
}
inline constexpr FaultSet kNoFaults = 0;
inline constexpr FaultSet kAllFaults = (FaultSet{1} << kFaultKinds) - 1;
inline constexpr FaultSet kAllFaultsButLost =
    kAllFaults & ~FaultsOf({FaultKind::kLost});

struct Scenario {
  std::string family;  // "xe_evict"; "twostep" for our own
  std::string name;    // "evict-small-cm"
  std::string what;    // what it does, and what must hold: one line
  std::function<void(const StressOptions&, Verdict*)> play;
  // Under which its own demands still hold.
  FaultSet faults = kNoFaults;
  // Its machine and its sizes follow from the seed, whatever the options say.
  bool own_machine = false;

  std::string full_name() const { return family + "/" + name; }
};

// Plays it and takes the time.
Verdict PlayScenario(const Scenario& scenario, const StressOptions& options);

}  // namespace twostep

#endif  // STRESS_SCENARIO_H_
