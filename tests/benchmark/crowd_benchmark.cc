// One eviction among many bos that cannot be had, or not at once, beside one
// among as many idle ones, in the same run. On an unbacked machine with a
// virtual clock: who is waited for is busy until then.

#include <algorithm>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/benchmark/rig.h"
#include "tests/benchmark/rows.h"
#include "twostep/machine/sync.h"

namespace twostep {
namespace {

enum class Others { kIdle, kBusy, kPinned, kReserved };

// What there is too little of.
enum class Scarce { kVram, kAperture, kIovas };

// Has bos reserved while it lives, on a thread of its own.
class Holder {
 public:
  Holder(Rig& rig, size_t bos)
      : thread_([this, &rig, bos] {
          for (size_t i = 0; i < bos; ++i) rig.bo(i).Reserve();
          MutexLock lock(mutex_);
          held_ = true;
          changed_.NotifyAll();
          while (!stop_) changed_.Wait(mutex_);
          for (size_t i = 0; i < bos; ++i) rig.bo(i).UnreserveUnused();
        }) {
    MutexLock lock(mutex_);
    while (!held_) changed_.Wait(mutex_);
  }
  ~Holder() {
    MutexLock lock(mutex_);
    stop_ = true;
    changed_.NotifyAll();
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  bool held_ ABSL_GUARDED_BY(mutex_) = false;
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  Thread thread_;
};

// A place full of bos, of which 99 % are what `others` says and stand before
// the rest in the order. Each step brings another bo in.
class Crowd {
 public:
  Crowd(Scarce scarce, Others others, size_t fit)
      : scarce_(scarce),
        fit_(fit),
        first_(fit - std::max<size_t>(fit / 100, 1)),
        rig_(SizesFor(scarce, fit)),
        next_(fit) {
    rig_.MakeIn(placement(), fit);
    rig_.Make(fit);
    Timeline& work = rig_.machine().NewTimeline("work");
    const uint64_t now_ns = rig_.machine().clock().now_ns();
    for (size_t i = 0; i < first_; ++i) {
      BufferObject& bo = rig_.bo(i);
      bo.Reserve();
      // In the order of their use, so that none is idle before its turn.
      if (others == Others::kBusy) {
        bo.fences().Add(work.EmitComplete(now_ns + (i + 1) * kJobNs),
                        FenceUse::kRead);
      }
      if (others == Others::kPinned) bo.Pin();
      bo.UnreserveUnused();
    }
    if (others == Others::kReserved) {
      holder_ = std::make_unique<Holder>(rig_, first_);
    }
    for (size_t i = 0; i < fit_ - first_; ++i) Step();
  }

  void Step() {
    rig_.Validate(rig_.bo(next_), placement());
    if (++next_ == 2 * fit_) next_ = first_;
  }
  // Processor time of each, of so many.
  double StepNs(uint64_t steps) {
    const double start_ns = CpuNs();
    for (uint64_t i = 0; i < steps; ++i) Step();
    return (CpuNs() - start_ns) / static_cast<double>(steps);
  }
  uint64_t evictions() {
    return scarce_ == Scarce::kIovas
               ? rig_.device().binder(DmaType::kDynamic)->stats().evictions
               : rig_.device().manager(placement().memory)->evictions();
  }

 private:
  // Longer than all else that is done together takes of virtual time.
  static constexpr uint64_t kJobNs = 1'000'000'000;

  static Sizes SizesFor(Scarce scarce, size_t fit) {
    Sizes sizes{.clock = Clock::Kind::kVirtual};
    switch (scarce) {
      case Scarce::kVram:
        sizes.vram_pages = fit;
        break;
      case Scarce::kAperture:
        sizes.aperture_pages = fit;
        break;
      case Scarce::kIovas:
        sizes.aperture_pages = 2 * fit;
        sizes.iova_pages = fit;
        break;
    }
    return sizes;
  }
  const Placement& placement() const {
    return scarce_ == Scarce::kVram ? kVram : kTt;
  }

  const Scarce scarce_;
  const size_t fit_;
  const size_t first_;
  Rig rig_;
  size_t next_;
  std::unique_ptr<Holder> holder_;
};

// The value is times an eviction among idle ones.
void EvictAmong(benchmark::State& state, Scarce scarce, Others others) {
  const auto fit = static_cast<size_t>(Size(state));
  Crowd idle(scarce, Others::kIdle, fit);
  Crowd crowd(scarce, others, fit);
  // In turn, as what else runs here comes and goes; none is idle all the while.
  constexpr int kTurns = 10;
  const uint64_t steps = std::max<uint64_t>(fit / 2 / kTurns, 1);
  std::vector<double> idle_ns;
  std::vector<double> crowd_ns;
  const uint64_t before = crowd.evictions();
  for (auto _ : state) {
    for (int turn = 0; turn < kTurns; ++turn) {
      idle_ns.push_back(idle.StepNs(steps));
      crowd_ns.push_back(crowd.StepNs(steps));
    }
  }
  if (crowd.evictions() - before != steps * crowd_ns.size()) {
    state.SkipWithError("not one eviction each");
  }
  const auto median = [](std::vector<double> all) {
    std::nth_element(all.begin(), all.begin() + all.size() / 2, all.end());
    return all[all.size() / 2];
  };
  SetValue(state, median(crowd_ns) / median(idle_ns));
  state.counters["idle_ns"] = median(idle_ns);
  state.counters["ns"] = median(crowd_ns);
}

}  // namespace

std::vector<Row> CrowdRows() {
  std::vector<Row> rows;
  for (const auto& [place, scarce] :
       {std::pair{"vram", Scarce::kVram}, std::pair{"tt", Scarce::kAperture},
        std::pair{"iova", Scarce::kIovas}}) {
    for (const auto& [name, others] :
         {std::pair{"busy", Others::kBusy},
          std::pair{"pinned", Others::kPinned},
          std::pair{"reserved", Others::kReserved}}) {
      rows.push_back(
          {.name = absl::StrCat("evict_among/", place, "_", name),
           .run = [scarce = scarce, others = others](
                      auto& state) { EvictAmong(state, scarce, others); },
           .size = 100000,
           .iterations = 1});
    }
  }
  return rows;
}

}  // namespace twostep
