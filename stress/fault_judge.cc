#include "twostep/stress/fault_judge.h"

#include "absl/strings/str_cat.h"
#include "twostep/bo/error.h"

namespace twostep {
namespace {

// What is short for as long as it is asked once.
constexpr FaultSet kShortages =
    FaultsOf({FaultKind::kFrame, FaultKind::kIova, FaultKind::kSlot,
              FaultKind::kCma, FaultKind::kCoherent, FaultKind::kTable});

// Whether a fault of that kind can be why a call failed so.
bool Explains(FaultKind kind, const absl::Status& status) {
  const ErrorKind error = KindOf(status);
  switch (kind) {
    case FaultKind::kFrame:
    case FaultKind::kIova:
    case FaultKind::kSlot:
    case FaultKind::kCma:
    case FaultKind::kCoherent:
    case FaultKind::kTable:
    case FaultKind::kSwap:
      return error == ErrorKind::kCannotFit || error == ErrorKind::kBusy;
    case FaultKind::kBackoff:
      return error == ErrorKind::kBusy;
    case FaultKind::kCopy:
      return status.code() == absl::StatusCode::kInternal;
    case FaultKind::kFence:
    case FaultKind::kLost:
      return false;
  }
  return false;
}

}  // namespace

absl::Status FaultJudge::Absorb(bool waits,
                                absl::FunctionRef<absl::Status()> call) {
  bool hasty = false;
  for (int tries = 1;; ++tries) {
    const Faults::Counts before = Faults::MadeOnThisThread();
    absl::Status status = call();
    if (status.ok() && hasty) hasty_ += 1;
    if (faults_ == nullptr || status.ok()) return status;
    const Faults::Counts& after = Faults::MadeOnThisThread();
    bool explained = false;
    uint64_t made = 0;
    bool shortages = true;
    for (int i = 0; i < kFaultKinds; ++i) {
      if (after[i] == before[i]) continue;
      const auto kind = static_cast<FaultKind>(i);
      explained |= Explains(kind, status);
      made += after[i] - before[i];
      shortages &= Has(kShortages, kind);
    }
    if (!explained) return status;
    if (tries == kMostTries) {
      return absl::Status(
          status.code(),
          absl::StrCat("given up: failed ", tries,
                       " times for faults made to order (a lower rate leaves "
                       "calls a chance); last: ",
                       status.message()));
    }
    hasty = waits && made == 1 && shortages;
    for (int i = 0; i < kFaultKinds; ++i) {
      NotePassedOn(static_cast<FaultKind>(i), after[i] - before[i]);
    }
  }
}

bool FaultJudge::Excuses(const absl::Status& status) const {
  if (faults_ == nullptr) return false;
  if (KindOf(status) == ErrorKind::kDeviceLost) return lost_.load();
  return status.code() == absl::StatusCode::kAborted &&
         KindOf(status) == ErrorKind::kNone &&
         faults_->made(FaultKind::kFence) != 0;
}

void FaultJudge::NotePassedOn(FaultKind kind, uint64_t count) {
  passed_on_[static_cast<int>(kind)].fetch_add(count);
}

void FaultJudge::MoveTo(Verdict* verdict) {
  verdict->hasty += hasty_.exchange(0);
  for (int i = 0; i < kFaultKinds; ++i) {
    verdict->faults[i].passed_on += passed_on_[i].exchange(0);
  }
}

}  // namespace twostep
