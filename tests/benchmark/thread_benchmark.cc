// Two threads, each with bos of its own.

#include <sched.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "tests/benchmark/rig.h"
#include "tests/benchmark/rows.h"
#include "twostep/machine/sync.h"

namespace twostep {
namespace {

using ThreadStep = absl::FunctionRef<void(size_t thread, size_t i)>;

// Millions of steps a second, of all `threads` together.
double OnThreads(int threads, uint64_t steps, ThreadStep step) {
  Atomic<int> ready{0};
  const auto body = [&](int thread) {
    // Short runs end before a scheduler has spread them.
    cpu_set_t cpus;
    CPU_ZERO(&cpus);
    CPU_SET(thread, &cpus);
    sched_setaffinity(0, sizeof(cpus), &cpus);
    ++ready;
    while (ready.load() < threads) CpuRelax();
    for (uint64_t i = 0; i < steps; ++i) step(thread, i);
  };
  const double start_ns = WallNs();
  {
    std::vector<Thread> running;
    for (int i = 0; i < threads; ++i) running.emplace_back([&, i] { body(i); });
  }
  return static_cast<double>(steps) * threads * 1e3 / (WallNs() - start_ns);
}

// What threads share. With a host each they share nothing: that is what the
// machine can do, and what the other rows are to be compared with.
enum class Shared : uint8_t { kDevice, kHost, kNothing };

// A machine, or one for each thread, on which each thread has bos of its own:
// as many as fit into its share, or twice as many.
class Threads {
 public:
  Threads(const Placement& placement, Shared shared, size_t times_fit)
      : placement_(placement),
        hosts_(shared == Shared::kNothing ? kThreads : 1),
        devices_(shared == Shared::kHost ? kThreads : 1),
        count_(kFit * times_fit) {
    const size_t fit = shared == Shared::kDevice ? kFit * kThreads : kFit;
    for (size_t i = 0; i < hosts_; ++i) {
      rigs_.push_back(
          std::make_unique<Rig>(Sizes{.vram_pages = fit,
                                      .aperture_pages = fit,
                                      .devices = static_cast<int>(devices_)}));
      rigs_.back()->Make(count_ * kThreads / hosts_);
    }
  }

  double MillionsASecond(int threads, uint64_t steps) {
    return OnThreads(threads, steps, [this](size_t thread, size_t i) {
      Rig& rig = *rigs_[thread % hosts_];
      rig.Validate(rig.bo(thread / hosts_ * count_ + i % count_), placement_,
                   thread % devices_);
    });
  }

 private:
  static constexpr size_t kThreads = 2;
  static constexpr size_t kFit = 1024;

  const Placement placement_;
  const size_t hosts_;
  const size_t devices_;
  const size_t count_;
  std::vector<std::unique_ptr<Rig>> rigs_;
};

// The value is two threads beside one. Beside that, what two threads make that
// share nothing, as two processors are seldom twice one.
void TwoThreads(benchmark::State& state, const Placement& placement,
                Shared shared, size_t times_fit) {
  const uint64_t steps = Steps(state, 300'000, 64);
  Threads sharing(placement, shared, times_fit);
  Threads apart(placement, Shared::kNothing, times_fit);
  for (auto _ : state) {
    const double one = sharing.MillionsASecond(1, steps);
    const double two = sharing.MillionsASecond(2, steps);
    const double nothing_shared = apart.MillionsASecond(2, steps);
    SetValue(state, two / one);
    state.counters["one_thread"] = one;
    state.counters["two_threads"] = two;
    state.counters["nothing_shared"] = nothing_shared;
    state.counters["beside_nothing_shared"] = two / nothing_shared;
  }
}

}  // namespace

std::vector<Row> ThreadRows() {
  struct Kind {
    const char* name;
    Placement placement;
    Shared shared;
    size_t times_fit;
  };
  std::vector<Row> rows;
  for (const Kind& kind : {Kind{"hit_vram", kVram, Shared::kDevice, 1},
                           Kind{"hit_tt", kTt, Shared::kDevice, 1},
                           Kind{"hit_tt_own_device", kTt, Shared::kHost, 1},
                           Kind{"evict_from_tt", kTt, Shared::kHost, 2},
                           Kind{"evict_from_vram", kVram, Shared::kHost, 2}}) {
    rows.push_back({.name = absl::StrCat("two_threads/", kind.name),
                    .run =
                        [kind](auto& state) {
                          TwoThreads(state, kind.placement, kind.shared,
                                     kind.times_fit);
                        },
                    .iterations = 1,
                    .real_time = true});
  }
  return rows;
}

}  // namespace twostep
