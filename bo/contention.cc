#include "twostep/bo/contention.h"

#include "twostep/bo/error.h"

namespace twostep {

absl::Status Contention::Wait(const WaitLimit& limit) {
  const BoRef keeps = std::move(bo);
  ReservationLock* const lock =
      keeps != nullptr ? &keeps->lock_ : std::exchange(gate, nullptr);
  if (lock == nullptr) {
    YieldFor(0);
    return absl::OkStatus();
  }
  const auto outcome = lock->LockWithin(limit, ReservationLock::Meeting::kWait);
  if (outcome == ReservationLock::Outcome::kTaken) {
    lock->Unlock();
    return absl::OkStatus();
  }
  return ReservationError(
      outcome, keeps != nullptr ? keeps->DebugName() : "room being made");
}

}  // namespace twostep
