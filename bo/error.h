#ifndef BO_ERROR_H_
#define BO_ERROR_H_

// What an error of Device::Validate, Exec and CreateBo means for the caller,
// made and asked for in one place: an absl::Status with a kind attached, since
// one status code can stand for causes that call for different actions.

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "twostep/machine/reservation_lock.h"
#include "twostep/machine/space.h"
#include "twostep/machine/timeline.h"

namespace twostep {

enum class ErrorKind : uint8_t {
  kNone,         // no error of ours
  kCannotFit,    // kResourceExhausted: give up, or free or unpin something
  kNeverFits,    // kOutOfRange: change the request
  kBusy,         // kUnavailable: call again, or let it wait
  kContended,    // kAborted: lost to an older one; see Contention
  kTimeUp,       // kDeadlineExceeded: call again
  kInterrupted,  // kCancelled: call again
  kWrongPlace,   // kInvalidArgument: the device has no such type
  kPinned,       // kFailedPrecondition: unpin it first
  kMisuse,       // kFailedPrecondition: a bug in the caller
  kAbsent,       // kNotFound: no such handle or name, or no longer
  kOverLimit,    // kResourceExhausted: the client's own limit; others have room
  kDeviceLost,   // kUnavailable: the device is gone, drop it
};

ErrorKind KindOf(const absl::Status& status);
absl::Status MakeError(ErrorKind kind, absl::string_view message);

// A wait for a fence that ended early, with its kind; as it is if it has one:
// why the fence failed.
absl::Status WaitError(const absl::Status& status);

// Why `what` could not be reserved. REQUIRES: it could not be, and this thread
// has it not.
absl::Status ReservationError(ReservationLock::Outcome outcome,
                              absl::string_view what);

// What stood in the way of one placement.
struct Obstacle {
  enum class Cause : uint8_t {
    kFull,          // others have it, and cannot be evicted
    kNeverFits,     // whoever leaves
    kSegmentLimit,  // longer than what the device takes in one piece
    kFragmented,    // the largest hole is shortage.largest_hole
    kPinned,        // it would fit without what is pinned
    kBusy,          // until fence `pending`, and waiting was forbidden
    kContended,     // other threads have it reserved; waiting was forbidden
    kOverLimit,     // of its client: others may have room
    kRefused,       // the type takes no such bo, or is out of use: see `detail`
  };
  Cause cause = Cause::kFull;
  std::string place;  // "dynamic + tt"
  std::string what;   // the resource that is short: "vram", "iova space"
  Shortage shortage;  // in pages
  uint64_t wanted_pages = 0;
  uint64_t pinned_pages = 0;
  uint64_t held_pages = 0;  // in use and not pinned, yet not to be had
  std::string detail;       // anything else worth saying
  // The first that would have had to be waited for; null: none. Good as long as
  // the machine.
  Fence pending;
};

// The error for a bo that none of its placements would take: kBusy when one
// failed only because waiting was forbidden, and then `busy` says for what;
// kNeverFits when none could ever take it, kCannotFit otherwise. The message
// has one clause an obstacle.
absl::Status NoPlacement(absl::string_view bo,
                         const std::vector<Obstacle>& obstacles,
                         absl::string_view busy);

}  // namespace twostep

#endif  // BO_ERROR_H_
