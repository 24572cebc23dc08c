#include "twostep/stress/compute_context.h"

#include <algorithm>
#include <utility>

namespace twostep {

ComputeContext::ComputeContext(World& world, PlacementList places)
    : world_(world),
      places_(places),
      asked_(std::make_shared<Asked>()),
      timeline_(world.machine().NewTimeline("context",
                                            [asked = asked_](uint64_t point) {
                                              MutexLock lock(asked->mutex);
                                              if (asked->context != nullptr)
                                                asked->context->Preempt(point);
                                            })),
      preemption_(world.machine().NewTimeline("preemption"),
                  world.machine().clock(), DeviceQueue::Execution::kThread) {
  MutexLock lock(asked_->mutex);
  asked_->context = this;
}

ComputeContext::~ComputeContext() {
  Stop();
  MutexLock lock(asked_->mutex);
  asked_->context = nullptr;
}

void ComputeContext::Add(KnownBo* bo) { bos_.push_back(bo); }

absl::Status ComputeContext::Run(KnownBo* target, int queue) {
  if (TryRun(target, queue)) return absl::OkStatus();
  Stop();
  return Start(target, queue);
}

absl::Status ComputeContext::Resume() {
  {
    MutexLock lock(mutex_);
    if (running_ && started_at_.size() == bos_.size()) return absl::OkStatus();
  }
  Stop();
  return Start(nullptr, 0);
}

// One that has left since the context started is on its way behind the
// context's fence: its jobs find it where it was, and here they would not.
bool ComputeContext::TryRun(KnownBo* target, int queue) {
  const auto index = static_cast<size_t>(
      std::find(bos_.begin(), bos_.end(), target) - bos_.begin());
  if (index >= started_at_.size()) return false;
  target->bo->Reserve();
  bool running = false;
  if (PlaceOf(*target->bo) == started_at_[index]) {
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
  started_at_.clear();
  for (const KnownBo* bo : bos_) started_at_.push_back(PlaceOf(*bo->bo));
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

void ComputeContext::Preempt(uint64_t point) {
  MutexLock lock(mutex_);
  // Asked for one that was preempted before.
  if (!running_ || point < fence_.point) return;
  running_ = false;
  absl::InlinedVector<Fence, 4> dependencies;
  moves_.AppendDependencies(FenceUse::kWrite, &dependencies);
  jobs_.AppendDependencies(FenceUse::kWrite, &dependencies);
  preemption_.Submit(dependencies, 0, [this, point = fence_.point] {
    timeline_.Complete(point);
  });
}

void ComputeContext::Stop() {
  Fence fence;
  {
    MutexLock lock(mutex_);
    fence = fence_;
  }
  // Which asks for it.
  world_.Expect(WaitFor(fence, WaitLimit{}), "a context that is preempted");
  MutexLock lock(mutex_);
  moves_.Clear();
  jobs_.Clear();
}

}  // namespace twostep
