#include "twostep/bo/contention.h"

#include "twostep/bo/error.h"
#include "twostep/bo/validate_context.h"

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

namespace {

// Tries until `use`, with `bo` reserved, has not lost to an older one.
template <typename Use>
absl::Status Insist(BufferObject& bo, const WaitLimit& limit,
                    Contention* contention, Use use) {
  // One age for all tries: nobody passes for ever.
  const Ticket ticket;
  for (;;) {
    absl::Status status = bo.ReserveAgain(limit);
    if (!status.ok()) return status;
    status = use();
    if (KindOf(status) != ErrorKind::kContended) return status;
    status = contention->Wait(limit);
    if (!status.ok()) return status;
  }
}

}  // namespace

absl::Status WithReserved(BufferObject& bo, const WaitLimit& limit,
                          absl::FunctionRef<absl::Status(Contention*)> use) {
  Contention contention;
  return Insist(bo, limit, &contention, [&] {
    absl::Status status = use(&contention);
    bo.UnreserveUnused();
    return status;
  });
}

absl::Status WithReserved(BufferObject& bo, ValidateContext* context,
                          absl::FunctionRef<absl::Status()> use) {
  return Insist(bo, context->wait, &context->contention, [&] {
    absl::Status status = use();
    if (status.ok()) {
      bo.Unreserve();
    } else {
      bo.UnreserveUnused();
    }
    return status;
  });
}

}  // namespace twostep
