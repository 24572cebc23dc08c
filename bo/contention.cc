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

absl::Status WithReserved(BufferObject& bo,
                          absl::FunctionRef<absl::Status(Contention*)> use) {
  // One age for all tries: nobody passes for ever.
  const Ticket ticket;
  for (;;) {
    Contention contention;
    bo.Reserve();
    absl::Status status = use(&contention);
    bo.UnreserveUnused();
    if (KindOf(status) != ErrorKind::kContended) return status;
    absl::Status waited = contention.Wait(WaitLimit{});
    if (!waited.ok()) return waited;
  }
}

}  // namespace twostep
