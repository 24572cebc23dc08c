#ifndef STRESS_COMPUTE_CONTEXT_H_
#define STRESS_COMPUTE_CONTEXT_H_

// Long-running work on a set of bos, as compute drivers have it: the bos do not
// wait for jobs but for the context as a whole, which never ends by itself.
// When somebody waits for one of them, as to evict it, the context is
// preempted: what it has begun it ends, and its one fence signals. To go on,
// all bos must be in place again.
//
//   stopped --Run: all bos validated, a new fence on each--> running
//      ^--Preempt(): from then on no more jobs; fence when the last has
//      ended--'
//
// Wants a real clock: no time is due for a fence that signals when asked to.

#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "twostep/machine/device_queue.h"
#include "twostep/machine/fence_set.h"
#include "twostep/stress/world.h"

namespace twostep {

// Used by one thread, but for what its fence brings about.
class ComputeContext {
 public:
  // `places`: of all its bos. All that it is given must outlive it.
  ComputeContext(World& world, PlacementList places);
  // Stops.
  ~ComputeContext();
  ComputeContext(const ComputeContext&) = delete;
  ComputeContext& operator=(const ComputeContext&) = delete;

  void Add(KnownBo* bo);
  // Submits a job that checks `target` and writes it, starting the context if
  // it must. Jobs of one bo go to one queue. Device::Validate's errors.
  absl::Status Run(KnownBo* target, int queue);
  // Brings all bos back, as the driver does for one that is to go on.
  absl::Status Resume();
  // Until the bos are idle.
  void Stop();

 private:
  // Whom the timeline, which outlives the context, tells that its fence is
  // waited for.
  struct Asked {
    Mutex mutex;
    ComputeContext* context ABSL_GUARDED_BY(mutex);  // null: gone
  };
  struct Place {
    const MemoryManager* memory;
    PageCount start;
    friend bool operator==(const Place&, const Place&) = default;
  };
  static Place PlaceOf(const BufferObject& bo) {
    return {&bo.manager(), bo.start_page()};
  }

  absl::Status Start(KnownBo* target, int queue);
  bool TryRun(KnownBo* target, int queue);
  // Of the context up to `point` of its timeline. Does not wait. From any
  // thread, with bos reserved.
  void Preempt(uint64_t point);
  // `told`: of which submission it is, if of any.
  void SubmitLocked(KnownBo* target, int queue, RunObserver::Job told)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  World& world_;
  const PlacementList places_;
  std::vector<KnownBo*> bos_;
  // Where those of bos_ are that the running context has.
  std::vector<Place> started_at_;
  const std::shared_ptr<Asked> asked_;
  Timeline& timeline_;
  Mutex mutex_;
  bool running_ ABSL_GUARDED_BY(mutex_) = false;
  Fence fence_ ABSL_GUARDED_BY(mutex_);
  FenceSet moves_ ABSL_GUARDED_BY(mutex_);
  FenceSet jobs_ ABSL_GUARDED_BY(mutex_);
  // Signals the fence once the jobs have ended.
  DeviceQueue preemption_;
};

}  // namespace twostep

#endif  // STRESS_COMPUTE_CONTEXT_H_
