#ifndef STRESS_WORLD_H_
#define STRESS_WORLD_H_

// The machine of a scenario, its host, a device with a model GPU, and bos whose
// contents are known at any time: every job first compares what it is given,
// on the GPU, and in the end the CPU reads all that is left. What goes wrong is
// counted and the run goes on.
//
// Thread-safe, but for Finish.

#include <array>
#include <deque>
#include <list>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/types/span.h"
#include "twostep/bo/cpu_mapping.h"
#include "twostep/bo/device.h"
#include "twostep/bo/exec.h"
#include "twostep/bo/gpu_runs.h"
#include "twostep/bo/host.h"
#include "twostep/lab/run_observer.h"
#include "twostep/machine/machine.h"
#include "twostep/machine/model_gpu.h"
#include "twostep/stress/fault_judge.h"
#include "twostep/stress/scenario.h"
#include "twostep/stress/submission.h"

namespace twostep {

class World {
 public:
  // A machine that cannot be made is a failure of the verdict, and ok() is
  // false then.
  World(const WorldOptions& options, Verdict* verdict);
  // Finishes.
  ~World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  bool ok() const { return !devices_.empty(); }
  Machine& machine() { return *machine_; }
  Host& host() { return *host_; }
  Device& device() { return *devices_.front().device; }
  ModelGpu& gpu() { return *devices_.front().gpu; }
  GpuDevice& first() { return devices_.front(); }
  // Another one, before threads use the world. Null, and a failure, where it
  // is refused.
  GpuDevice* AddDevice(const GpuConfig& config, DeviceHooks* hooks = nullptr);
  // Ends it in good order. REQUIRES: nobody submits to it.
  void Remove(GpuDevice& gone);
  bool backed() const { return options_.backing == Backing::kBacked; }

  // Zeros at first. Null, and a failure, where the host refuses it.
  KnownBo* Make(uint64_t bytes, ClientRef client = nullptr);
  // Its contents are not looked at any more. REQUIRES: nobody uses it.
  void Drop(KnownBo* bo);

  // Places the bos, checks on the GPU those that are read or written, writes
  // new contents to those that are written. Device::Validate's errors. What may
  // wait for good and is told that it cannot be done is asked for once more
  // when all work has ended: if it can be done then, the first answer was
  // hasty, and the verdict says so.
  absl::Status Submit(const Submission& submission);
  // Places a bo and lets a job on `queue` fill it with zeros, as drivers clear
  // what they bind. The fence is that job's.
  absl::StatusOr<Fence> Clear(KnownBo* bo, PlacementList places, int queue);
  // A job on bos that are reserved, and in place, of which who watches is told;
  // of `told` submission and when it was asked for are known. One that a fault
  // makes the GPU give up writes nothing.
  Fence SubmitJob(GpuDevice& on, int queue, const std::vector<BoUse>& uses,
                  absl::Span<const Fence> dependencies, RunObserver::Job told);
  // Calls `call`, which may wait for good, again as long as it fails because a
  // fault was made.
  absl::Status Absorb(absl::FunctionRef<absl::Status()> call) {
    return judge_.Absorb(/*waits=*/true, call);
  }
  // Tells who watches of a job that uses these, of which submission, fence and
  // when it was asked for are known.
  void Tell(RunObserver::Job job, const std::vector<BoUse>& uses,
            uint64_t cost_ns);
  // Waits when too much is under way.
  void NoteJob(const Fence& fence);
  void WaitForJobs();
  // Jobs may end with ErrorKind::kDeviceLost from now on, and are counted.
  void AllowLostJobs() { may_lose_jobs_.store(true); }
  uint64_t lost_jobs() const { return lost_jobs_.load(); }

  // What the CPU sees of it. A failure where it cannot be read.
  void CheckByCpu(KnownBo& bo);
  // The same through a mapping, and new contents through one. REQUIRES: nobody
  // else uses the contents meanwhile; others may move them.
  void CheckThrough(CpuMapping& mapping, const KnownBo& known);
  void WriteThrough(CpuMapping& mapping, KnownBo* known);
  // A page as somebody sees it, against what must be in it; null: nothing.
  void CheckPage(const std::byte* bytes, uint64_t seed, PageCount page);
  // What the CPU sees of a bo of which jobs were lost: the last of its writes
  // that was not, or a later one, whole; or zeros where the contents may be
  // gone. REQUIRES: keep_writes; nobody uses the world, no job is under way.
  void CheckAfterLoss(const KnownBo& known, bool may_be_gone);
  // Counts a step done. And one that should have been: `what` says which.
  void NoteOperation() { operations_.fetch_add(1); }
  void Fail(const std::string& what);
  // Whether it was. No failure where a fault that was made is the reason.
  bool Expect(const absl::Status& status, const std::string& what) {
    if (!status.ok() && !judge_.Excuses(status)) {
      Fail(what + ": " + std::string(status.message()));
    }
    return status.ok();
  }
  // The same for what must hold.
  bool Require(bool holds, const std::string& what) {
    if (!holds) Fail(what);
    return holds;
  }
  // That something had to be evicted, unless the device went.
  void ExpectEvictions() {
    if (gpu_evictions() == 0 && !judge_.device_lost()) {
      Fail("nothing had to be evicted");
    }
  }
  // That the host was short of frames.
  void ExpectSwapping() {
    Require(host_->stats().swap_out_bytes.load() != 0 || judge_.device_lost(),
            "nothing had to be swapped out");
  }
  void CheckRules();
  bool failed() const { return failures_.load() != 0; }
  // By the memory types of the devices, and by all DMA types, so far.
  uint64_t gpu_evictions() const;
  uint64_t dma_evictions() const;

  // Waits for all work, reads every bo, audits, drops the bos and sees that
  // nothing is left of them. Fills in the verdict. REQUIRES: nobody else uses
  // the world.
  void Finish();

 private:
  // What a submission finds that a failed one must leave.
  struct Before;

  absl::Status SetUp();
  // That bos have not taken frames of the host's reserve.
  void CheckReserve();
  absl::Status SubmitOnce(const Submission& submission);
  // This thread uses the world, which matters under faults.
  void Enter();
  Before Look(GpuDevice& on, const std::vector<BoUse>& uses);
  // That a failed submission has left what one thread can know of, where it
  // alone uses the world: its bos, unless it placed them, stand as they did;
  // where WorldOptions::alone, all others as well, and accounts and rules hold.
  void CheckFailed(const Submission& submission, const Before& before,
                   uint64_t faults);
  // The same of one that went through, where alone, but for its own bos.
  void CheckAbsorbed(const Submission& submission, const Before& before);
  // The steps of a job on bos that are reserved, and in place, and its time.
  GpuJob JobFor(const std::vector<BoUse>& uses, uint64_t* cost_ns);
  bool KeepsWrites() const { return options_.keep_writes || judge_.on(); }
  void Lose(GpuDevice& gone);
  // Shows all of a bo that is idle to the CPU.
  bool TouchAll(CpuMapping& mapping, BufferObject& bo, Access access);
  void AwaitJob(const Fence& fence);
  uint64_t LeftBehind();
  uint64_t Wrong(const KnownBo& bo, const std::byte* bytes) const;

  const WorldOptions options_;
  Verdict* const verdict_;
  FaultJudge judge_;
  Atomic<uint64_t> operations_{0};
  Atomic<uint64_t> failures_{0};
  Atomic<uint64_t> hasty_{0};
  Atomic<uint64_t> looked_after_failed_{0};
  Atomic<uint64_t> looked_after_absorbed_{0};
  Atomic<bool> may_lose_jobs_{false};
  Atomic<uint64_t> lost_jobs_{0};
  // A place of the first thread that entered, and whether there are others.
  Atomic<const void*> first_thread_{nullptr};
  Atomic<bool> shared_{false};
  Atomic<uint64_t> next_seed_{1};
  Atomic<uint64_t> checked_pages_{0};
  Atomic<uint64_t> wrong_pages_{0};
  Mutex mutex_;
  std::deque<Fence> in_flight_ ABSL_GUARDED_BY(mutex_);
  std::list<KnownBo> bos_ ABSL_GUARDED_BY(mutex_);
  // In the order in which they must outlive each other.
  std::unique_ptr<Machine> machine_;
  std::unique_ptr<Host> host_;
  std::list<GpuDevice> devices_;
  std::array<uint64_t, 2> frames_for_bos_{};  // of each zone
  uint64_t evictions_of_the_gone_ = 0;
};

}  // namespace twostep

#endif  // STRESS_WORLD_H_
