#ifndef STRESS_COMPUTE_CONTEXT_H_
#define STRESS_COMPUTE_CONTEXT_H_

// Long-running work on a set of bos, as compute drivers have it: the bos do not
// wait for jobs but for the context as a whole, which never ends by itself.
// When one of them is to be evicted the context is preempted: what it has begun
// it ends, and its one fence signals. To go on, all bos must be in place again.
//
//   stopped --Run: all bos validated, a new fence on each--> running
//      ^--Preempt(): from then on no more jobs; fence when the last has
//      ended--'
//
// Wants a real clock: no time is due for a fence that signals when asked to.

#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "twostep/machine/device_queue.h"
#include "twostep/machine/fence_set.h"
#include "twostep/stress/world.h"

namespace twostep {

class ComputeContext;

// Preempts the context of a bo that is to leave VRAM, for TT or SYSTEM.
class PreemptingHooks final : public DeviceHooks {
 public:
  explicit PreemptingHooks(DmaType dma) : evict_to_{InTt(dma), kInSystem} {}
  PlacementList EvictTo(const BufferObject& bo) override;

  // From now on `bo` is `context`'s; null: nobody's.
  void SetContext(const BufferObject& bo, ComputeContext* context);

 private:
  const std::vector<Placement> evict_to_;
  Mutex mutex_;
  absl::flat_hash_map<const BufferObject*, ComputeContext*> contexts_
      ABSL_GUARDED_BY(mutex_);
};

// Used by one thread, but for Preempt.
class ComputeContext {
 public:
  // `places`: of all its bos. All that it is given must outlive it.
  ComputeContext(World& world, PreemptingHooks& hooks, PlacementList places);
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
  // Does not wait. From any thread, with bos reserved.
  void Preempt();
  uint64_t preemptions() const { return preemptions_.load(); }

 private:
  absl::Status Start(KnownBo* target, int queue);
  bool TryRun(KnownBo* target, int queue);
  // `told`: of which submission it is, if of any.
  void SubmitLocked(KnownBo* target, int queue, RunObserver::Job told)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  World& world_;
  PreemptingHooks& hooks_;
  const PlacementList places_;
  std::vector<KnownBo*> bos_;
  // How many of bos_ the running context has.
  size_t started_with_ = 0;
  Atomic<uint64_t> preemptions_{0};
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
