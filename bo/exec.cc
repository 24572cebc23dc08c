#include "twostep/bo/exec.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "twostep/bo/error.h"
#include "twostep/bo/telling.h"

namespace twostep {

Exec::~Exec() { Clear(); }

void Exec::Add(BufferObject& bo, PlacementList placements, FenceUse use) {
  TWOSTEP_CHECK(!ticket_.has_value());
  entries_.push_back(Entry{&bo, placements, use});
}

void Exec::Add(BufferObject& bo, FenceUse use) {
  TWOSTEP_CHECK(!ticket_.has_value());
  TWOSTEP_CHECK(placer_ != nullptr);
  entries_.push_back(Entry{&bo, {}, use, /*placed_by_policy=*/true});
}

absl::Status Exec::Run(ValidateContext* context) {
  TWOSTEP_CHECK(!ticket_.has_value());
  const Telling::Submission submission(device_.host());
  submission_ = submission.number();
  nested_ = Ticket::Exists();
  context->ForgetFailure();
  // One age for all attempts: in the end it is the oldest.
  ticket_.emplace();
  for (;;) {
    absl::Status status = Attempt(context);
    if (status.ok()) return status;
    UnreserveAll();
    if (KindOf(status) == ErrorKind::kContended && !nested_) {
      ++restarts_;
      status = context->contention.Wait(context->wait);
      if (status.ok()) continue;
    }
    Clear();
    return status;
  }
}

absl::Status Exec::Attempt(ValidateContext* context) {
  absl::Status status = ReserveAll(context);
  if (!status.ok()) return status;
  dependencies_.clear();
  hits_ = 0;
  missed_bytes_ = 0;
  const uint64_t moved_before = context->bytes_moved;
  if (placer_ != nullptr) placer_->Begin(device_);
  status = ValidateAll(context);
  if (placer_ != nullptr) {
    placer_->End(device_, context->bytes_moved - moved_before);
  }
  context->hit = hits_ == entries_.size();
  return status;
}

absl::Status Exec::ValidateAll(ValidateContext* context) {
  const uint64_t moved_before = context->bytes_moved;
  for (const Entry& entry : entries_) {
    const PlacementList placements =
        entry.placed_by_policy
            ? placer_->Choose(device_, *entry.bo,
                              context->bytes_moved - moved_before)
            : entry.placements;
    absl::Status status = device_.Validate(*entry.bo, placements, context);
    if (!status.ok()) return status;
    if (context->hit) {
      ++hits_;
    } else {
      missed_bytes_ += entry.bo->size_bytes();
    }
    FenceSet& fences = entry.bo->fences();
    fences.AppendDependencies(entry.use, &dependencies_);
    if (options_.fence_slots != 0) fences.ReserveSlots(options_.fence_slots);
  }
  return absl::OkStatus();
}

absl::Status Exec::ReserveAll(ValidateContext* context) {
  using Outcome = ReservationLock::Outcome;
  while (reserved_ < entries_.size()) {
    BufferObject& bo = *entries_[reserved_].bo;
    // Who holds nothing is in nobody's way.
    const auto meeting = reserved_ == 0 && !nested_
                             ? ReservationLock::Meeting::kWait
                             : ReservationLock::Meeting::kBackOff;
    const bool fault =
        meeting == ReservationLock::Meeting::kBackOff &&
        FaultAt(device_.host().machine().faults(), FaultKind::kBackoff);
    const Outcome outcome = fault ? ReservationLock::MadeWay(context->wait)
                                  : bo.lock_.LockWithin(context->wait, meeting);
    switch (outcome) {
      case Outcome::kTaken:
        ++reserved_;
        break;
      case Outcome::kMine: {
        absl::Status merged = Merge(reserved_);
        if (!merged.ok()) return merged;
        break;
      }
      default:
        context->contention = Contention{BoRef(&bo)};
        return ReservationError(outcome, bo.DebugName());
    }
  }
  return absl::OkStatus();
}

// Into the entry that has the bo already.
absl::Status Exec::Merge(size_t entry) {
  BufferObject& bo = *entries_[entry].bo;
  const auto end = entries_.begin() + static_cast<ptrdiff_t>(entry);
  const auto first = std::find_if(entries_.begin(), end,
                                  [&](const Entry& e) { return e.bo == &bo; });
  if (first == end) {
    return MakeError(ErrorKind::kMisuse,
                     absl::StrCat(bo.DebugName(),
                                  " is reserved by this thread, and not by "
                                  "this exec: unreserve it first"));
  }
  if (options_.duplicates == ExecOptions::Duplicates::kRefuse) {
    return absl::AlreadyExistsError(
        absl::StrCat(bo.DebugName(), " is in this exec twice"));
  }
  first->use = std::min(first->use, end->use);
  entries_.erase(end);
  return absl::OkStatus();
}

void Exec::Finish(const Fence& fence) {
  TWOSTEP_CHECK(ticket_.has_value());
  for (const Entry& entry : entries_) entry.bo->fences().Add(fence, entry.use);
  Clear();
  device_.Note(EvictionBoundary::kSubmission);
}

void Exec::UnreserveAll() {
  for (size_t i = 0; i < reserved_; ++i) entries_[i].bo->Unreserve();
  reserved_ = 0;
}

void Exec::Clear() {
  UnreserveAll();
  entries_.clear();
  ticket_.reset();
}

}  // namespace twostep
