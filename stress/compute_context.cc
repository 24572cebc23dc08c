#include "twostep/stress/compute_context.h"

#include <algorithm>
#include <utility>

namespace twostep {

PlacementList PreemptingHooks::EvictTo(const BufferObject& bo) {
  ComputeContext* context = nullptr;
  {
    MutexLock lock(mutex_);
    const auto found = contexts_.find(&bo);
    if (found != contexts_.end()) context = found->second;
  }
  // It outlives the bo's membership, which ends with the bo reserved.
  if (context != nullptr) context->Preempt();
  return evict_to_;
}

void PreemptingHooks::SetContext(const BufferObject& bo,
                                 ComputeContext* context) {
  MutexLock lock(mutex_);
  if (context == nullptr) {
    contexts_.erase(&bo);
  } else {
    contexts_[&bo] = context;
  }
}

ComputeContext::ComputeContext(World& world, PreemptingHooks& hooks,
                               PlacementList places)
    : world_(world),
      hooks_(hooks),
      places_(places),
      timeline_(world.machine().NewTimeline("context")),
      preemption_(world.machine().NewTimeline("preemption"),
                  world.machine().clock(), DeviceQueue::Execution::kThread) {}

ComputeContext::~ComputeContext() {
  Stop();
  for (KnownBo* bo : bos_) {
    bo->bo->Reserve();
    hooks_.SetContext(*bo->bo, nullptr);
    bo->bo->UnreserveUnused();
  }
}

void ComputeContext::Add(KnownBo* bo) {
  bo->bo->Reserve();
  hooks_.SetContext(*bo->bo, this);
  bo->bo->UnreserveUnused();
  bos_.push_back(bo);
}

absl::Status ComputeContext::Run(KnownBo* target, int queue) {
  if (TryRun(target, queue)) return absl::OkStatus();
  Stop();
  return Start(target, queue);
}

absl::Status ComputeContext::Resume() {
  {
    MutexLock lock(mutex_);
    if (running_ && started_with_ == bos_.size()) return absl::OkStatus();
  }
  Stop();
  return Start(nullptr, 0);
}

// While the context runs its bos are where they were when it started.
bool ComputeContext::TryRun(KnownBo* target, int queue) {
  const auto known = bos_.begin() + static_cast<std::ptrdiff_t>(started_with_);
  if (std::find(bos_.begin(), known, target) == known) return false;
  target->bo->Reserve();
  bool running = false;
  {
    MutexLock lock(mutex_);
    running = running_;
    if (running) {
      SubmitLocked(target, queue,
                   {.asked_ns = world_.machine().clock().now_ns()});
    }
  }
  target->bo->Unreserve();
  return running;
}

absl::Status ComputeContext::Start(KnownBo* target, int queue) {
  const uint64_t asked_ns = world_.machine().clock().now_ns();
  Exec exec(world_.device());
  absl::Status placed = world_.Absorb([&] {
    for (KnownBo* bo : bos_) exec.Add(*bo->bo, places_, FenceUse::kWrite);
    ValidateContext context;
    return exec.Run(&context);
  });
  if (!placed.ok()) return placed;
  started_with_ = bos_.size();
  Fence fence;
  {
    MutexLock lock(mutex_);
    running_ = true;
    fence_ = timeline_.Emit(world_.machine().clock().now_ns());
    fence = fence_;
    for (const Fence& move : exec.dependencies()) {
      moves_.Add(move, FenceUse::kWrite);
    }
    const RunObserver::Job told{.submission = exec.submission(),
                                .asked_ns = asked_ns};
    if (target != nullptr) {
      SubmitLocked(target, queue, told);
    } else {
      world_.Tell(told, {}, 0);
    }
  }
  exec.Finish(fence);
  return placed;
}

void ComputeContext::SubmitLocked(KnownBo* target, int queue,
                                  RunObserver::Job told) {
  // Its earlier jobs were on the same queue.
  absl::InlinedVector<Fence, 4> dependencies;
  moves_.AppendDependencies(FenceUse::kWrite, &dependencies);
  jobs_.Add(
      world_.SubmitJob(world_.first(), queue, {{target, BoUse::Does::kWrite}},
                       dependencies, std::move(told)),
      FenceUse::kWrite);
  world_.NoteOperation();
}

void ComputeContext::Preempt() {
  MutexLock lock(mutex_);
  if (!running_) return;
  running_ = false;
  preemptions_.fetch_add(1);
  absl::InlinedVector<Fence, 4> dependencies;
  moves_.AppendDependencies(FenceUse::kWrite, &dependencies);
  jobs_.AppendDependencies(FenceUse::kWrite, &dependencies);
  preemption_.Submit(dependencies, 0, [this, point = fence_.point] {
    timeline_.Complete(point);
  });
}

void ComputeContext::Stop() {
  Preempt();
  Fence fence;
  {
    MutexLock lock(mutex_);
    fence = fence_;
  }
  world_.Expect(WaitFor(fence, WaitLimit{}), "a context that is preempted");
  MutexLock lock(mutex_);
  moves_.Clear();
  jobs_.Clear();
}

}  // namespace twostep
