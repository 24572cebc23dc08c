#include "twostep/stress/scenario.h"

#include <chrono>

namespace twostep {

StressOptions StressOptions::Default(Backing backing) {
  StressOptions options;
  options.backing = backing;
  options.machine.name = "stress";
  const uint64_t vram =
      backing == Backing::kBacked ? 32 * kMiB : uint64_t{4} * kGiB;
  options.gpu.vram_bytes = vram;
  options.gpu.aperture_bytes = 4 * vram;
  options.machine.normal_bytes = 4 * vram;
  options.machine.swap_bytes = 4 * vram;
  return options;
}

void Verdict::Add(const Verdict& other) {
  operations += other.operations;
  gpu_evictions += other.gpu_evictions;
  dma_evictions += other.dma_evictions;
  bytes_checked += other.bytes_checked;
  bytes_wrong += other.bytes_wrong;
  rule_violations += other.rule_violations;
  if (violations.empty()) violations = other.violations;
  failures += other.failures;
  if (first_failure.empty()) first_failure = other.first_failure;
  hasty += other.hasty;
  for (int i = 0; i < kFaultKinds; ++i) {
    faults[i].points += other.faults[i].points;
    faults[i].made += other.faults[i].made;
    faults[i].passed_on += other.faults[i].passed_on;
  }
  looked_after_failed += other.looked_after_failed;
  looked_after_absorbed += other.looked_after_absorbed;
  seconds += other.seconds;
}

Verdict PlayScenario(const Scenario& scenario, const StressOptions& options) {
  Verdict verdict;
  const auto started = std::chrono::steady_clock::now();
  scenario.play(options, &verdict);
  verdict.seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - started)
          .count();
  return verdict;
}

}  // namespace twostep
