#ifndef STRESS_SCENARIO_H_
#define STRESS_SCENARIO_H_

// A stress scenario: a name, where it comes from, what must hold, and the
// function that plays it. Plain values. What a run comes to is a Verdict; no
// scenario stops the process or asserts anything itself.

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "twostep/bo/audit.h"
#include "twostep/machine/machine_config.h"
#include "twostep/machine/memory.h"

namespace twostep {

class RunObserver;

struct StressOptions {
  uint64_t seed = 0;
  // Of scenarios with threads or clients; 0: as many as the scenario says.
  int threads = 0;
  int ThreadsOr(int otherwise) const {
    return threads == 0 ? otherwise : threads;
  }
  Backing backing = Backing::kBacked;
  // The sizes of a scenario follow from gpu.vram_bytes.
  MachineConfig machine;
  GpuConfig gpu;
  // Told of what happens in the worlds of the scenario; null: nobody.
  RunObserver* observer = nullptr;

  // 32 MiB of VRAM, so that all scenarios end in minutes; unbacked the 4 GiB
  // that the suites assume.
  static StressOptions Default(Backing backing);
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
  double seconds = 0;

  bool clean() const {
    return bytes_wrong == 0 && rule_violations == 0 && failures == 0 &&
           hasty == 0;
  }
  // Adds up two runs; the first words stay.
  void Add(const Verdict& other);
};

struct Scenario {
  std::string family;  // "xe_evict"; "twostep" for our own
  std::string name;    // "evict-small-cm"
  std::string what;    // what it does, and what must hold: one line
  std::function<void(const StressOptions&, Verdict*)> play;

  std::string full_name() const { return family + "/" + name; }
};

// Plays it and takes the time.
Verdict PlayScenario(const Scenario& scenario, const StressOptions& options);

}  // namespace twostep

#endif  // STRESS_SCENARIO_H_
