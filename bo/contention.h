#ifndef BO_CONTENTION_H_
#define BO_CONTENTION_H_

// What a call lost to an older one (kAborted): the caller gives back all it has
// reserved, waits for this, and repeats the call. Exec does all three itself.
// Thread-compatible.

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "twostep/bo/buffer_object.h"

namespace twostep {

struct Contention {
  // The bo, or the gate of the room, that the older one has; both null when it
  // is enough to have given back everything.
  BoRef bo;
  ReservationLock* gate = nullptr;

  // Waits until it is free. kUnavailable, kDeadlineExceeded, kCancelled as
  // `limit` says. REQUIRES: this thread has nothing reserved; the device that
  // the call was for still exists.
  absl::Status Wait(const WaitLimit& limit);
};

// Calls `use` with `bo` reserved, again as long as it loses to an older one:
// with one reservation there is nothing else to give back. `use` fills in what
// it lost, and keeps to `limit` in its own waits. For uses that are none by a
// device: the eviction orders stay as they are. Errors are those of `use`, or
// kUnavailable, kDeadlineExceeded, kCancelled as `limit` says.
// REQUIRES: this thread has nothing reserved.
absl::Status WithReserved(BufferObject& bo, const WaitLimit& limit,
                          absl::FunctionRef<absl::Status(Contention*)> use);

}  // namespace twostep

#endif  // BO_CONTENTION_H_
