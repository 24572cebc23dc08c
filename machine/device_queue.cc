#include "twostep/machine/device_queue.h"

#include <algorithm>
#include <utility>

#include "twostep/machine/check.h"

namespace twostep {

DeviceQueue::DeviceQueue(Timeline& timeline, Clock& clock, Execution execution)
    : timeline_(timeline),
      clock_(clock),
      execution_(execution),
      thread_(execution == Execution::kThread ? Thread([this] { Run(); })
                                              : Thread()) {}

DeviceQueue::~DeviceQueue() {
  {
    MutexLock lock(mutex_);
    ending_ = true;
    changed_.NotifyAll();
  }
  thread_.Join();
}

uint64_t DeviceQueue::idle_at_ns() const {
  MutexLock lock(mutex_);
  return idle_at_ns_;
}

Fence DeviceQueue::last() const {
  MutexLock lock(mutex_);
  return last_;
}

uint64_t DeviceQueue::ReadyNs(absl::Span<const Fence> dependencies) const {
  uint64_t ready_ns = clock_.now_ns();
  for (const Fence& fence : dependencies) {
    if (fence.timeline == nullptr) continue;
    ready_ns = std::max(ready_ns, fence.timeline->DueNs(fence.point));
  }
  return ready_ns;
}

uint64_t DeviceQueue::StartNs(absl::Span<const Fence> dependencies) const {
  return std::max(ReadyNs(dependencies), idle_at_ns());
}

Fence DeviceQueue::Submit(absl::Span<const Fence> dependencies,
                          uint64_t cost_ns, Work work, absl::Status failure) {
  const bool timed = clock_.is_virtual();
  if (!failure.ok()) work = nullptr;
  // Before it is queued: what is submitted once it has been asked for comes
  // behind this, so that nothing which stops it can wait for this.
  for (const Fence& fence : dependencies) {
    if (fence.timeline != nullptr) fence.timeline->AskFor(fence.point);
  }
  // Neither work nor time: done.
  if (execution_ == Execution::kTimeOnly && !timed && failure.ok()) {
    return Fence{};
  }
  // Before the lock: it asks other timelines.
  const uint64_t ready_ns = timed ? ReadyNs(dependencies) : 0;
  {
    MutexLock lock(mutex_);
    if (timed) idle_at_ns_ = std::max(idle_at_ns_, ready_ns) + cost_ns;
    if (execution_ == Execution::kTimeOnly) {
      last_ = timeline_.EmitComplete(idle_at_ns_, failure);
      return last_;
    }
    if (!stopped_) {
      last_ = timeline_.Emit(idle_at_ns_);
      jobs_.push_back(Job{{dependencies.begin(), dependencies.end()},
                          std::move(work),
                          last_.point,
                          std::move(failure)});
      changed_.NotifyAll();
      return last_;
    }
    if (unbegun_ == Unbegun::kDrop) work = nullptr;
    // Behind the job at work, as ever.
    while (work != nullptr && at_work_) changed_.Wait(mutex_);
  }
  if (work != nullptr) work();
  MutexLock lock(mutex_);
  return timeline_.Emit(idle_at_ns_);
}

void DeviceQueue::Stop(Unbegun unbegun) {
  MutexLock lock(mutex_);
  if (stopped_) return;
  stopped_ = true;
  unbegun_ = unbegun;
  unbegun_jobs_.swap(jobs_);
  while (at_work_) changed_.Wait(mutex_);
}

void DeviceQueue::Fail(const absl::Status& error) {
  std::deque<Job> jobs;
  {
    MutexLock lock(mutex_);
    TWOSTEP_CHECK(stopped_);
    if (unbegun_ == Unbegun::kRun) jobs.swap(unbegun_jobs_);
    unbegun_jobs_.clear();
  }
  for (Job& job : jobs) {
    if (job.work != nullptr) job.work();
  }
  timeline_.Fail(error);
}

bool DeviceQueue::lost() const {
  MutexLock lock(mutex_);
  return stopped_ && !at_work_;
}

bool DeviceQueue::NextDependencies(
    absl::InlinedVector<Fence, 4>* dependencies) {
  MutexLock lock(mutex_);
  while (jobs_.empty() && !ending_) changed_.Wait(mutex_);
  if (jobs_.empty()) return false;
  *dependencies = jobs_.front().dependencies;
  return true;
}

void DeviceQueue::Run() {
  absl::InlinedVector<Fence, 4> dependencies;
  while (NextDependencies(&dependencies)) {
    for (const Fence& fence : dependencies) {
      if (fence.timeline != nullptr) fence.timeline->WaitExecuted(fence.point);
    }
    Job job;
    {
      MutexLock lock(mutex_);
      if (jobs_.empty()) continue;  // stopped meanwhile
      job = std::move(jobs_.front());
      jobs_.pop_front();
      at_work_ = true;
    }
    if (job.work != nullptr) job.work();
    timeline_.Complete(job.point, job.failure);
    MutexLock lock(mutex_);
    at_work_ = false;
    changed_.NotifyAll();
  }
}

}  // namespace twostep
