#ifndef MACHINE_DEVICE_QUEUE_H_
#define MACHINE_DEVICE_QUEUE_H_

// A queue of device work, done in order, each job after the fences it depends
// on. With a thread the work is real; without (an unbacked machine) only its
// time passes. Knows nothing of what a job does. Thread-safe.

#include <cstdint>
#include <deque>
#include <string>

#include "absl/container/inlined_vector.h"
#include "absl/functional/any_invocable.h"
#include "absl/types/span.h"
#include "twostep/machine/sync.h"
#include "twostep/machine/timeline.h"

namespace twostep {

class DeviceQueue {
 public:
  using Work = absl::AnyInvocable<void()>;

  enum class Execution : uint8_t { kThread, kTimeOnly };

  DeviceQueue(Timeline& timeline, Clock& clock, Execution execution);
  // Finishes all that was submitted.
  ~DeviceQueue();
  DeviceQueue(const DeviceQueue&) = delete;
  DeviceQueue& operator=(const DeviceQueue&) = delete;

  // Queues `work`, to start after `dependencies`, taking `cost_ns` of virtual
  // time. `work` is dropped unseen where nothing executes. The fence signals
  // when it is done; with `failure`, unless that is OK, in its turn and
  // instead.
  Fence Submit(absl::Span<const Fence> dependencies, uint64_t cost_ns,
               Work work, absl::Status failure = absl::OkStatus());

  // What becomes of jobs that were not begun when the queue stopped.
  enum class Unbegun : uint8_t {
    kDrop,
    kRun,  // on the thread that fails the queue, whatever they depend on
  };
  // The device has stopped: waits until the job at work, if any, has ended, and
  // begins no other. Jobs submitted later fare as those that were not begun.
  // The first call counts. Queues of one device all stop before one of them
  // fails: a fence that fails would begin what waits for it in another.
  void Stop(Unbegun unbegun);
  // Fails the timeline. The first call counts. REQUIRES: it has stopped.
  void Fail(const absl::Status& error);
  // To a job that is run: whether it was not begun when the queue stopped, so
  // that its fence will not say that it is done.
  bool lost() const;

  // Of the last job submitted: those before it end earlier.
  Fence last() const;
  // When the last job submitted ends, in virtual time.
  uint64_t idle_at_ns() const;
  // When a job with these dependencies could start, in virtual time.
  uint64_t StartNs(absl::Span<const Fence> dependencies) const;
  const std::string& name() const { return timeline_.name(); }
  Execution execution() const { return execution_; }

 private:
  struct Job {
    absl::InlinedVector<Fence, 4> dependencies;
    Work work;  // null: nothing to be done
    uint64_t point;
    absl::Status failure;
  };
  // The dependencies of the first job, once there is one; false at the end.
  bool NextDependencies(absl::InlinedVector<Fence, 4>* dependencies);
  // When the last of the dependencies is due, and not before now.
  uint64_t ReadyNs(absl::Span<const Fence> dependencies) const;
  void Run();

  Timeline& timeline_;
  Clock& clock_;
  const Execution execution_;
  mutable Mutex mutex_;
  CondVar changed_;
  std::deque<Job> jobs_ ABSL_GUARDED_BY(mutex_);
  // Those that were not begun, from Stop to Fail.
  std::deque<Job> unbegun_jobs_ ABSL_GUARDED_BY(mutex_);
  bool ending_ ABSL_GUARDED_BY(mutex_) = false;
  bool at_work_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  Unbegun unbegun_ ABSL_GUARDED_BY(mutex_) = Unbegun::kDrop;
  uint64_t idle_at_ns_ ABSL_GUARDED_BY(mutex_) = 0;
  Fence last_ ABSL_GUARDED_BY(mutex_);
  Thread thread_;
};

}  // namespace twostep

#endif  // MACHINE_DEVICE_QUEUE_H_
