#ifndef MACHINE_FAULTS_H_
#define MACHINE_FAULTS_H_

// Failures made to order. Wherever something can fail there is a point of some
// kind; told to, the n-th point of a kind fails, or each with a probability, in
// the way and the words of the real failure. For stress runs and for tests of
// drivers: a machine is given one (MachineOptions::faults), or none, and then a
// point costs the test of a null pointer.
//
// Thread-safe.

#include <array>
#include <cstdint>
#include <optional>

#include "absl/strings/string_view.h"
#include "twostep/machine/sync.h"

namespace twostep {

// What can be made to fail, and what that is told as where nobody can help.
enum class FaultKind : uint8_t {
  kFrame,     // page frames for bos, or for who makes way for one, are short:
              // kCannotFit
  kIova,      // an IOVA space is full: kCannotFit
  kSlot,      // bounce buffers are short: kCannotFit
  kCma,       // the CMA area is full: kCannotFit
  kCoherent,  // coherent memory is full: kCannotFit
  kTable,     // there is no frame for the page tables of a mapping: kCannotFit
  kBackoff,   // an older thread wants what is about to be reserved: kContended,
              // or kBusy where waiting is forbidden
  kFence,     // a job is not done, and its fence signals with kAborted
  kCopy,      // the copy engine refuses a job: kInternal
  kSwap,      // the swap store takes no more: kCannotFit
  kLost,  // the device goes: kDeviceLost. No point of the machine's: whoever
          // has the device passes it, and unplugs the device.
};
inline constexpr int kFaultKinds = 11;
// "frame", "iova", and so on.
const char* NameOf(FaultKind kind);
// Nothing where there is none of that name.
std::optional<FaultKind> FaultKindNamed(absl::string_view name);

class Faults {
 public:
  using Counts = std::array<uint64_t, kFaultKinds>;

  Faults() = default;
  Faults(const Faults&) = delete;
  Faults& operator=(const Faults&) = delete;

  // The `nth` point of that kind from now on, counted from 1, fails, once; 0:
  // they are only counted. Replaces what was asked for before of that kind.
  void Arm(FaultKind kind, uint64_t nth);
  // Each point fails with that probability, in [0, 1]. Which ones follows from
  // the seed and from how many of the kind were passed before.
  void Rate(FaultKind kind, double probability, uint64_t seed);

  // Whether this point fails. What a point calls.
  bool Hit(FaultKind kind);

  // Points passed while they were armed or had a rate, and those that failed.
  uint64_t points(FaultKind kind) const;
  uint64_t made(FaultKind kind) const;
  // Those that failed on this thread, by kind, whichever Faults made them: who
  // compares before and after knows what failed within a call.
  static const Counts& MadeOnThisThread();

  // While it lives nothing fails on this thread, and points are not counted:
  // for what has no caller that could be told, as an access through a mapping.
  // Nests.
  class Quiet {
   public:
    Quiet();
    ~Quiet();
    Quiet(const Quiet&) = delete;
    Quiet& operator=(const Quiet&) = delete;
  };

 private:
  enum class Mode : uint8_t { kOff, kNth, kRate };
  struct State {
    Mode mode = Mode::kOff;
    uint64_t left = 0;       // of kNth: points until it fails; 0: none does
    uint64_t threshold = 0;  // of kRate: below it of 2^53
    uint64_t seed = 0;
    uint64_t points = 0;
    uint64_t made = 0;
  };

  mutable SpinLock lock_;
  std::array<State, kFaultKinds> states_ ABSL_GUARDED_BY(lock_);
};

// Whether a point of a machine that may have no faults fails.
inline bool FaultAt(Faults* faults, FaultKind kind) {
  return faults != nullptr && faults->Hit(kind);
}

}  // namespace twostep

#endif  // MACHINE_FAULTS_H_
