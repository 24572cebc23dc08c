#ifndef MACHINE_TIMELINE_H_
#define MACHINE_TIMELINE_H_

// Fences. A timeline counts the work of one device queue; a fence is a point on
// it, and signals once the queue has got there. A fence is a value of two
// words: it costs nothing to copy, and no allocation. A timeline must outlive
// every fence on it; the machine owns them.
//
//   Emit() / EmitAt(t)          Complete(p)
//   pending ------------------> executed --(virtual: and now >= t)--> signalled
//      '--Fail()--> signalled, with an error; Complete() with one: in its turn
//
// A timeline may signal on demand only: of work that never ends by itself, like
// a compute queue's, which has to be preempted. Whoever waits for a point of
// it, or queues work behind it, asks its driver first.
//
// On a virtual clock a point signals when its time has come, whenever the real
// work was done: decisions then depend on virtual time only, and a run repeats
// exactly, while whoever sees the signal still waits for the real work.

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "twostep/machine/clock.h"
#include "twostep/machine/sync.h"
#include "twostep/machine/wait_limit.h"

namespace twostep {

class Timeline;

struct Fence {
  Timeline* timeline = nullptr;  // null: signalled since ever
  uint64_t point = 0;

  inline bool Signalled() const;
  // Why it signalled without its work being done; OK while it is pending.
  inline absl::Status Error() const;
  friend bool operator==(const Fence&, const Fence&) = default;
};

// Thread-safe.
class Timeline {
 public:
  // Tells the driver that somebody waits for a point of work that does not end
  // by itself, or that a bo was given up which it uses: it is to stop the work
  // and Complete() the point soon, at once or from another thread. Once for
  // each point at most; once a later one has been asked for, for none before
  // it, but for calls that are under way. Runs on the thread that waits or
  // gives up, perhaps on several at once, for as long as the machine lives;
  // under reservations of the library, and no other lock of it. Must not
  // reserve, validate or wait.
  using EnableSignaling = std::function<void(uint64_t point)>;

  // `number` is its machine's name for it; 0: it has none. REQUIRES: a real
  // clock where it signals on demand: no time is due for its points.
  Timeline(std::string name, Clock& clock, uint16_t number = 0,
           EnableSignaling enable_signaling = nullptr);
  Timeline(const Timeline&) = delete;
  Timeline& operator=(const Timeline&) = delete;

  const std::string& name() const { return name_; }
  uint16_t number() const { return number_; }

  // The next point, pending. On a virtual clock it is due at `due_ns`, not
  // before the one emitted last; a real clock ignores `due_ns`.
  Fence Emit(uint64_t due_ns);
  // The same for work that takes no real time: emitted and complete.
  Fence EmitComplete(uint64_t due_ns,
                     const absl::Status& error = absl::OkStatus());
  // The work up to `point` has been done. Never goes back. With an error that
  // of `point` itself has not, and will not be: it signals in its turn, with
  // the error; those after it fare as they would have. REQUIRES: points with an
  // error grow.
  void Complete(uint64_t point, const absl::Status& error = absl::OkStatus());
  // No more work will be done: all that is pending signals with `error`, as
  // does whatever is emitted from now on. The first call counts. Who does the
  // work stops first. REQUIRES: not OK.
  void Fail(const absl::Status& error);

  bool on_demand() const { return enable_signaling_ != nullptr; }
  // Has `point` signal soon, where that needs to be asked for. What waits
  // longer than not at all does so by itself.
  void AskFor(uint64_t point) {
    if (on_demand()) AskDriver(point);
  }
  bool Signalled(uint64_t point) {
    return signalled_.load(std::memory_order_acquire) >= point ||
           Advance(point);
  }
  // As Fence::Error.
  absl::Status Error(uint64_t point);
  // When `point` is due on a virtual clock; 0 if it has signalled.
  uint64_t DueNs(uint64_t point);
  // kUnavailable naming the fence when it is pending and waiting was forbidden;
  // kDeadlineExceeded past the limit, kCancelled when interrupted; what Fail()
  // was told, of a point that failed. A virtual clock advances to the point.
  absl::Status Wait(uint64_t point, const WaitLimit& limit);
  // Waits for the real work of `point`, whatever its virtual time: what a queue
  // does that depends on another.
  void WaitExecuted(uint64_t point);

 private:
  Fence EmitLocked(uint64_t due_ns) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void CompleteLocked(uint64_t point, const absl::Status& error)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status ErrorLocked(uint64_t point) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool Advance(uint64_t point);
  void AskDriver(uint64_t point);
  // Signals what is due; with kNoWait only as far as it has been executed.
  void AdvanceLocked(WaitLimit::Mode mode)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void WaitExecutedLocked(uint64_t point) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status Pending(uint64_t point, absl::StatusCode code) const;

  const std::string name_;
  Clock& clock_;
  const uint16_t number_;
  const EnableSignaling enable_signaling_;
  // The last point that its driver was asked for.
  Atomic<uint64_t> asked_for_{0};
  // All points up to this one have signalled.
  Atomic<uint64_t> signalled_{0};
  Mutex mutex_;
  CondVar executed_changed_;
  uint64_t emitted_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t executed_ ABSL_GUARDED_BY(mutex_) = 0;
  // Due times (virtual clocks): from due_ns_[first_due_] on, those of the
  // points after signalled_. What lies before is used again, so that a queue of
  // steady length allocates nothing.
  std::vector<uint64_t> due_ns_ ABSL_GUARDED_BY(mutex_);
  size_t first_due_ ABSL_GUARDED_BY(mutex_) = 0;
  // No point before this one has failed, nor will.
  Atomic<uint64_t> failed_from_{~uint64_t{0}};
  // Points that failed by themselves, in their order, and why; and from where
  // on all have, with error_.
  std::vector<std::pair<uint64_t, absl::Status>> failed_points_
      ABSL_GUARDED_BY(mutex_);
  uint64_t all_failed_from_ ABSL_GUARDED_BY(mutex_) = ~uint64_t{0};
  absl::Status error_ ABSL_GUARDED_BY(mutex_);
};

inline bool Fence::Signalled() const {
  return timeline == nullptr || timeline->Signalled(point);
}

inline absl::Status Fence::Error() const {
  return timeline == nullptr ? absl::OkStatus() : timeline->Error(point);
}

// The fence that was not waited for long enough, of an error of Timeline::Wait;
// null for any other. Good as long as the machine.
Fence PendingFence(const absl::Status& status);
// `to`, telling of the same fence.
absl::Status WithPendingFence(absl::Status to, const absl::Status& from);

// Waits for `fence`; see Timeline::Wait.
inline absl::Status WaitFor(const Fence& fence, const WaitLimit& limit) {
  if (fence.Signalled()) return fence.Error();
  return fence.timeline->Wait(fence.point, limit);
}

}  // namespace twostep

#endif  // MACHINE_TIMELINE_H_
