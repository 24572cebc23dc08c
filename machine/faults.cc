#include "twostep/machine/faults.h"

#include "twostep/machine/check.h"

namespace twostep {
namespace {

constexpr const char* kNames[kFaultKinds] = {
    "frame",   "iova",  "slot", "cma",  "coherent", "table",
    "backoff", "fence", "copy", "swap", "lost"};

struct OfThread {
  Faults::Counts made{};
  uint32_t quiet = 0;
};
OfThread& ThisThread() { return PerThread<OfThread, OfThread>::Get(); }

// SplitMix64: neighbouring numbers come out far apart.
uint64_t Mixed(uint64_t x) {
  x += 0x9e3779b97f4a7c15;
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
  x = (x ^ x >> 27) * 0x94d049bb133111eb;
  return x ^ x >> 31;
}

}  // namespace

const char* NameOf(FaultKind kind) { return kNames[static_cast<int>(kind)]; }

std::optional<FaultKind> FaultKindNamed(absl::string_view name) {
  for (int i = 0; i < kFaultKinds; ++i) {
    if (name == kNames[i]) return static_cast<FaultKind>(i);
  }
  return std::nullopt;
}

void Faults::Arm(FaultKind kind, uint64_t nth) {
  SpinLockHolder hold(lock_);
  State& state = states_[static_cast<int>(kind)];
  state.mode = Mode::kNth;
  state.left = nth;
}

void Faults::Rate(FaultKind kind, double probability, uint64_t seed) {
  TWOSTEP_CHECK(probability >= 0 && probability <= 1);
  SpinLockHolder hold(lock_);
  State& state = states_[static_cast<int>(kind)];
  state.mode = Mode::kRate;
  state.threshold =
      static_cast<uint64_t>(probability * static_cast<double>(1ull << 53));
  state.seed = Mixed(seed * kFaultKinds + static_cast<uint64_t>(kind));
}

bool Faults::Hit(FaultKind kind) {
  OfThread& mine = ThisThread();
  if (mine.quiet != 0) return false;
  const int index = static_cast<int>(kind);
  {
    SpinLockHolder hold(lock_);
    State& state = states_[index];
    if (state.mode == Mode::kOff) return false;
    ++state.points;
    const bool fails =
        state.mode == Mode::kNth
            ? state.left != 0 && --state.left == 0
            : Mixed(state.seed + state.points) >> 11 < state.threshold;
    if (!fails) return false;
    ++state.made;
  }
  ++mine.made[index];
  return true;
}

uint64_t Faults::points(FaultKind kind) const {
  SpinLockHolder hold(lock_);
  return states_[static_cast<int>(kind)].points;
}

uint64_t Faults::made(FaultKind kind) const {
  SpinLockHolder hold(lock_);
  return states_[static_cast<int>(kind)].made;
}

const Faults::Counts& Faults::MadeOnThisThread() { return ThisThread().made; }

Faults::Quiet::Quiet() { ++ThisThread().quiet; }

Faults::Quiet::~Quiet() { --ThisThread().quiet; }

}  // namespace twostep
