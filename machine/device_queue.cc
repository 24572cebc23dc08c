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
    stopping_ = true;
    changed_.NotifyAll();
  }
  thread_.Join();
}

uint64_t DeviceQueue::idle_at_ns() const {
  MutexLock lock(mutex_);
  return idle_at_ns_;
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
                          uint64_t cost_ns, Work work) {
  const bool timed = clock_.is_virtual();
  // Neither work nor time: done.
  if (execution_ == Execution::kTimeOnly && !timed) return Fence{};
  // Before the lock: it asks other timelines.
  const uint64_t ready_ns = timed ? ReadyNs(dependencies) : 0;
  MutexLock lock(mutex_);
  if (timed) idle_at_ns_ = std::max(idle_at_ns_, ready_ns) + cost_ns;
  if (execution_ == Execution::kTimeOnly) {
    return timeline_.EmitComplete(idle_at_ns_);
  }
  const Fence fence = timeline_.Emit(idle_at_ns_);
  jobs_.push_back(Job{{dependencies.begin(), dependencies.end()},
                      std::move(work),
                      fence.point});
  changed_.NotifyAll();
  return fence;
}

void DeviceQueue::Run() {
  for (;;) {
    Job job;
    {
      MutexLock lock(mutex_);
      while (jobs_.empty() && !stopping_) changed_.Wait(mutex_);
      if (jobs_.empty()) return;
      job = std::move(jobs_.front());
      jobs_.pop_front();
    }
    for (const Fence& fence : job.dependencies) {
      if (fence.timeline != nullptr) fence.timeline->WaitExecuted(fence.point);
    }
    job.work();
    timeline_.Complete(job.point);
  }
}

}  // namespace twostep
