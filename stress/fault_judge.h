#ifndef STRESS_FAULT_JUDGE_H_
#define STRESS_FAULT_JUDGE_H_

// What a world makes of a call that failed under faults made to order: whether
// one of them was the reason, and then calls again, as its user would. Bytes,
// rules and accounts are nobody's to excuse.
//
// Thread-safe.

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "twostep/machine/faults.h"
#include "twostep/machine/sync.h"
#include "twostep/stress/scenario.h"

namespace twostep {

class FaultJudge {
 public:
  // `faults` null: every failure is one.
  explicit FaultJudge(Faults* faults) : faults_(faults) {}

  bool on() const { return faults_ != nullptr; }
  // Calls `call` until it succeeds, or fails for another reason than a fault
  // that was made meanwhile. `waits`: it may wait for good. Then a shortage
  // that lasts for one question is none of its caller's business, for it asks
  // again: to be told of one, and none the next time, is counted as hasty. A
  // call that has failed kMostTries times is given up with an error that says
  // so.
  static constexpr int kMostTries = 100;
  absl::Status Absorb(bool waits, absl::FunctionRef<absl::Status()> call);
  // Whether it is what faults come to later: a job that was given up, a device
  // that has gone.
  bool Excuses(const absl::Status& status) const;
  void NotePassedOn(FaultKind kind, uint64_t count = 1);
  void NoteDeviceLost() { lost_.store(true); }
  bool device_lost() const { return lost_.load(); }

  // What was counted since the last time.
  void MoveTo(Verdict* verdict);

 private:
  Faults* const faults_;
  Atomic<bool> lost_{false};
  Atomic<uint64_t> hasty_{0};
  std::array<Atomic<uint64_t>, kFaultKinds> passed_on_{};
};

}  // namespace twostep

#endif  // STRESS_FAULT_JUDGE_H_
