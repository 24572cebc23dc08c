#include "twostep/machine/timeline.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "twostep/machine/check.h"

namespace twostep {
namespace {

constexpr absl::string_view kFenceUrl = "type.twostep/pending-fence";

}  // namespace

Fence PendingFence(const absl::Status& status) {
  const absl::optional<absl::Cord> payload = status.GetPayload(kFenceUrl);
  Fence fence;
  if (!payload.has_value() || payload->size() != sizeof(fence)) return fence;
  const std::string bytes(*payload);
  std::memcpy(&fence, bytes.data(), sizeof(fence));
  return fence;
}

absl::Status WithPendingFence(absl::Status to, const absl::Status& from) {
  const absl::optional<absl::Cord> payload = from.GetPayload(kFenceUrl);
  if (payload.has_value()) to.SetPayload(kFenceUrl, *payload);
  return to;
}

Timeline::Timeline(std::string name, Clock& clock, uint16_t number,
                   EnableSignaling enable_signaling)
    : name_(std::move(name)),
      clock_(clock),
      number_(number),
      enable_signaling_(std::move(enable_signaling)) {
  TWOSTEP_CHECK(!on_demand() || !clock.is_virtual());
}

void Timeline::AskDriver(uint64_t point) {
  if (Signalled(point)) return;
  uint64_t asked_for = asked_for_.load(std::memory_order_relaxed);
  do {
    if (asked_for >= point) return;
  } while (!asked_for_.compare_exchange_weak(asked_for, point,
                                             std::memory_order_acq_rel));
  enable_signaling_(point);
}

Fence Timeline::Emit(uint64_t due_ns) {
  MutexLock lock(mutex_);
  return EmitLocked(due_ns);
}

Fence Timeline::EmitComplete(uint64_t due_ns, const absl::Status& error) {
  MutexLock lock(mutex_);
  const Fence fence = EmitLocked(due_ns);
  CompleteLocked(fence.point, error);
  return fence;
}

void Timeline::Complete(uint64_t point, const absl::Status& error) {
  MutexLock lock(mutex_);
  CompleteLocked(point, error);
}

Fence Timeline::EmitLocked(uint64_t due_ns) {
  ++emitted_;
  if (!error_.ok()) {
    executed_ = emitted_;
    signalled_.store(emitted_, std::memory_order_release);
  } else if (clock_.is_virtual()) {
    TWOSTEP_DCHECK(due_ns_.empty() || due_ns >= due_ns_.back());
    // Nobody may ever ask for the points behind: forget them as we go.
    AdvanceLocked(WaitLimit::Mode::kNoWait);
    if (2 * first_due_ >= due_ns_.size()) {
      due_ns_.erase(due_ns_.begin(), due_ns_.begin() + first_due_);
      first_due_ = 0;
    }
    due_ns_.push_back(due_ns);
  }
  return Fence{this, emitted_};
}

void Timeline::CompleteLocked(uint64_t point, const absl::Status& error) {
  TWOSTEP_CHECK(point <= emitted_);
  // Before it can be seen to have signalled.
  if (!error.ok() && point < all_failed_from_) {
    failed_points_.emplace_back(point, error);
    const uint64_t first = failed_from_.load(std::memory_order_relaxed);
    failed_from_.store(std::min(first, point), std::memory_order_release);
  }
  executed_ = std::max(executed_, point);
  if (!clock_.is_virtual()) {
    signalled_.store(executed_, std::memory_order_release);
  }
  executed_changed_.NotifyAll();
}

void Timeline::Fail(const absl::Status& error) {
  TWOSTEP_CHECK(!error.ok());
  MutexLock lock(mutex_);
  if (!error_.ok()) return;
  error_ = error;
  if (clock_.is_virtual()) AdvanceLocked(WaitLimit::Mode::kNoWait);
  // On a virtual clock work that is not due yet has not happened, even if it is
  // done.
  const uint64_t done = clock_.is_virtual()
                            ? signalled_.load(std::memory_order_relaxed)
                            : executed_;
  all_failed_from_ = done + 1;
  const uint64_t first = failed_from_.load(std::memory_order_relaxed);
  failed_from_.store(std::min(first, done + 1), std::memory_order_release);
  executed_ = emitted_;
  due_ns_.clear();
  first_due_ = 0;
  signalled_.store(emitted_, std::memory_order_release);
  executed_changed_.NotifyAll();
}

absl::Status Timeline::Error(uint64_t point) {
  if (point < failed_from_.load(std::memory_order_acquire)) {
    return absl::OkStatus();
  }
  MutexLock lock(mutex_);
  return ErrorLocked(point);
}

absl::Status Timeline::ErrorLocked(uint64_t point) const {
  if (point > signalled_.load(std::memory_order_relaxed)) {
    return absl::OkStatus();
  }
  if (point >= all_failed_from_) return error_;
  const auto failed = std::lower_bound(
      failed_points_.begin(), failed_points_.end(), point,
      [](const auto& one, uint64_t sought) { return one.first < sought; });
  return failed != failed_points_.end() && failed->first == point
             ? failed->second
             : absl::OkStatus();
}

void Timeline::WaitExecutedLocked(uint64_t point) {
  while (executed_ < point) executed_changed_.Wait(mutex_);
}

void Timeline::WaitExecuted(uint64_t point) {
  AskFor(point);
  MutexLock lock(mutex_);
  WaitExecutedLocked(point);
}

void Timeline::AdvanceLocked(WaitLimit::Mode mode) {
  const uint64_t now_ns = clock_.now_ns();
  while (first_due_ < due_ns_.size() && due_ns_[first_due_] <= now_ns) {
    const uint64_t next = signalled_.load(std::memory_order_relaxed) + 1;
    if (executed_ < next) {
      if (mode == WaitLimit::Mode::kNoWait) return;
      // Its virtual time has come: the real work has to be there as well.
      // Waiting lets go of the mutex: another thread may have signalled it.
      WaitExecutedLocked(next);
      continue;
    }
    ++first_due_;
    signalled_.store(next, std::memory_order_release);
  }
}

bool Timeline::Advance(uint64_t point) {
  if (!clock_.is_virtual()) return false;
  MutexLock lock(mutex_);
  AdvanceLocked(WaitLimit::Mode::kWait);
  return signalled_.load(std::memory_order_relaxed) >= point;
}

uint64_t Timeline::DueNs(uint64_t point) {
  if (!clock_.is_virtual()) return 0;
  MutexLock lock(mutex_);
  const uint64_t signalled = signalled_.load(std::memory_order_relaxed);
  if (point <= signalled) return 0;
  TWOSTEP_CHECK(point <= emitted_);
  return due_ns_[first_due_ + (point - signalled - 1)];
}

absl::Status Timeline::Pending(uint64_t point, absl::StatusCode code) const {
  absl::Status pending(code,
                       absl::StrCat("busy until fence ", name_, ":", point));
  const Fence fence{const_cast<Timeline*>(this), point};
  pending.SetPayload(
      kFenceUrl, absl::Cord(absl::string_view(
                     reinterpret_cast<const char*>(&fence), sizeof(fence))));
  return pending;
}

absl::Status Timeline::Wait(uint64_t point, const WaitLimit& limit) {
  if (Signalled(point)) return Error(point);
  if (limit.mode == WaitLimit::Mode::kNoWait) {
    return Pending(point, absl::StatusCode::kUnavailable);
  }
  if (clock_.is_virtual()) {
    clock_.AdvanceTo(DueNs(point));
    // It may have failed between the two.
    TWOSTEP_CHECK(Signalled(point));
    return Error(point);
  }
  AskFor(point);
  Interrupt::Sleep sleep(limit.interrupt, mutex_, executed_changed_);
  MutexLock lock(mutex_);
  while (executed_ < point) {
    switch (limit.Ended()) {
      case WaitLimit::End::kNot:
        limit.SleepOn(executed_changed_, mutex_);
        break;
      case WaitLimit::End::kDeadline:
        return Pending(point, absl::StatusCode::kDeadlineExceeded);
      case WaitLimit::End::kInterrupted:
        return Pending(point, absl::StatusCode::kCancelled);
    }
  }
  return ErrorLocked(point);
}

}  // namespace twostep
