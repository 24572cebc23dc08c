#include "twostep/bo/error.h"

#include <algorithm>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "twostep/machine/types.h"

namespace twostep {
namespace {

constexpr absl::string_view kKindUrl = "type.twostep/error-kind";

absl::StatusCode CodeOf(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kNone:
      return absl::StatusCode::kUnknown;
    case ErrorKind::kCannotFit:
      return absl::StatusCode::kResourceExhausted;
    case ErrorKind::kNeverFits:
      return absl::StatusCode::kOutOfRange;
    case ErrorKind::kBusy:
    case ErrorKind::kDeviceLost:
      return absl::StatusCode::kUnavailable;
    case ErrorKind::kContended:
      return absl::StatusCode::kAborted;
    case ErrorKind::kTimeUp:
      return absl::StatusCode::kDeadlineExceeded;
    case ErrorKind::kInterrupted:
      return absl::StatusCode::kCancelled;
    case ErrorKind::kWrongPlace:
      return absl::StatusCode::kInvalidArgument;
    case ErrorKind::kPinned:
    case ErrorKind::kMisuse:
      return absl::StatusCode::kFailedPrecondition;
    case ErrorKind::kAbsent:
      return absl::StatusCode::kNotFound;
    case ErrorKind::kOverLimit:
      return absl::StatusCode::kResourceExhausted;
  }
  return absl::StatusCode::kUnknown;
}

std::string KiB(uint64_t pages) {
  return absl::StrCat(PagesToBytes(pages) / kKiB, " KiB");
}

std::string Describe(const Obstacle& obstacle) {
  std::string text = absl::StrCat(obstacle.place, ": ", obstacle.what);
  const Shortage& shortage = obstacle.shortage;
  switch (shortage.kind) {
    case Shortage::Kind::kNone:
      break;
    case Shortage::Kind::kFull:
      absl::StrAppend(&text, " is full (", KiB(obstacle.wanted_pages),
                      " wanted, ", KiB(shortage.free), " free)");
      break;
    case Shortage::Kind::kFragmented:
      absl::StrAppend(&text, " is fragmented (", KiB(obstacle.wanted_pages),
                      " wanted, ", KiB(shortage.free), " free, largest hole ",
                      KiB(shortage.largest_hole), ")");
      break;
    case Shortage::Kind::kNeverFits:
      absl::StrAppend(&text, " can never hold ", KiB(obstacle.wanted_pages));
      break;
    case Shortage::Kind::kTooLong:
      absl::StrAppend(&text, " cannot take ", KiB(obstacle.wanted_pages));
      break;
    case Shortage::Kind::kNotInUse:
      absl::StrAppend(&text, " is out of use");
      break;
    case Shortage::Kind::kNoFrames:
      absl::StrAppend(&text, " are too few for the pages that must make way (",
                      KiB(shortage.free), " free)");
      break;
    case Shortage::Kind::kNoTables:
      absl::StrAppend(&text, " has no memory for page tables");
      break;
  }
  if (obstacle.pinned_pages != 0) {
    absl::StrAppend(&text, ", ", KiB(obstacle.pinned_pages), " pinned");
  }
  if (obstacle.held_pages != 0) {
    absl::StrAppend(&text, ", ", KiB(obstacle.held_pages),
                    " reserved or waiting for a fence");
  }
  if (!obstacle.detail.empty()) absl::StrAppend(&text, ", ", obstacle.detail);
  return text;
}

}  // namespace

ErrorKind KindOf(const absl::Status& status) {
  const absl::optional<absl::Cord> payload = status.GetPayload(kKindUrl);
  if (!payload.has_value() || payload->size() != 1) return ErrorKind::kNone;
  return static_cast<ErrorKind>((*payload)[0]);
}

absl::Status MakeError(ErrorKind kind, absl::string_view message) {
  absl::Status status(CodeOf(kind), message);
  const char byte = static_cast<char>(kind);
  status.SetPayload(kKindUrl, absl::Cord(absl::string_view(&byte, 1)));
  return status;
}

absl::Status WaitError(const absl::Status& status) {
  if (KindOf(status) != ErrorKind::kNone) return status;
  ErrorKind kind = ErrorKind::kNone;
  switch (status.code()) {
    case absl::StatusCode::kUnavailable:
      kind = ErrorKind::kBusy;
      break;
    case absl::StatusCode::kDeadlineExceeded:
      kind = ErrorKind::kTimeUp;
      break;
    case absl::StatusCode::kCancelled:
      kind = ErrorKind::kInterrupted;
      break;
    default:
      return status;
  }
  return WithPendingFence(MakeError(kind, status.message()), status);
}

absl::Status ReservationError(ReservationLock::Outcome outcome,
                              absl::string_view what) {
  switch (outcome) {
    case ReservationLock::Outcome::kTaken:
    case ReservationLock::Outcome::kMine:
      break;
    case ReservationLock::Outcome::kBackOff:
      return MakeError(
          ErrorKind::kContended,
          absl::StrCat(what,
                       " is reserved by somebody older: give back all "
                       "that is reserved, wait for it, and begin again"));
    case ReservationLock::Outcome::kBusy:
      return MakeError(ErrorKind::kBusy,
                       absl::StrCat(what, " is reserved by another thread"));
    case ReservationLock::Outcome::kDeadline:
      return MakeError(ErrorKind::kTimeUp,
                       absl::StrCat("waiting for ", what, " took too long"));
    case ReservationLock::Outcome::kInterrupted:
      return MakeError(ErrorKind::kInterrupted,
                       absl::StrCat("waiting for ", what, " was interrupted"));
  }
  return absl::InternalError("a reservation that was taken is no error");
}

absl::Status NoPlacement(absl::string_view bo,
                         const std::vector<Obstacle>& obstacles,
                         absl::string_view busy) {
  std::string message = absl::StrCat(bo, " fits nowhere");
  for (const Obstacle& obstacle : obstacles) {
    absl::StrAppend(&message, "; ", Describe(obstacle));
  }
  if (!busy.empty()) {
    absl::StrAppend(&message, "; waiting was forbidden: ", busy);
  }
  const bool never = !obstacles.empty() &&
                     std::all_of(obstacles.begin(), obstacles.end(),
                                 [](const Obstacle& obstacle) {
                                   const Shortage::Kind kind =
                                       obstacle.shortage.kind;
                                   return kind == Shortage::Kind::kNeverFits ||
                                          kind == Shortage::Kind::kTooLong;
                                 });
  return MakeError(!busy.empty() ? ErrorKind::kBusy
                   : never       ? ErrorKind::kNeverFits
                                 : ErrorKind::kCannotFit,
                   message);
}

}  // namespace twostep
