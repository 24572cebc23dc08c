#ifndef STRESS_WORLD_H_
#define STRESS_WORLD_H_

// The machine of a scenario, its host, a device with a model GPU, and bos whose
// contents are known at any time: every job first compares what it is given,
// on the GPU, and in the end the CPU reads all that is left. What goes wrong is
// counted and the run goes on.
//
// Thread-safe, but for Finish.

#include <deque>
#include <list>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "twostep/bo/cpu_mapping.h"
#include "twostep/bo/device.h"
#include "twostep/bo/exec.h"
#include "twostep/bo/gpu_runs.h"
#include "twostep/bo/host.h"
#include "twostep/machine/machine.h"
#include "twostep/machine/model_gpu.h"
#include "twostep/stress/scenario.h"

namespace twostep {

inline constexpr Placement kInVram{.memory = MemoryType::kVram};
inline constexpr Placement kInSystem{};
constexpr Placement InTt(DmaType dma,
                         Placement::Use use = Placement::Use::kAlways) {
  return Placement{.dma = dma, .memory = MemoryType::kTt, .use = use};
}

struct KnownBo {
  BoRef bo;
  // What is, or will be when its fences have signalled, in all its pages: the
  // pattern of this seed (machine/page_pattern.h); 0: zeros. Guarded by the
  // reservation.
  uint64_t seed = 0;
};

struct BoUse {
  // kHold: it must be in place, and nothing more.
  enum class Does : uint8_t { kHold, kRead, kWrite };
  KnownBo* bo;
  Does does = Does::kWrite;
};

struct Submission {
  int queue = 0;
  std::vector<BoUse> uses;
  PlacementList places;
  WaitLimit wait;
  // Where not null, the bytes moved are added.
  uint64_t* moved_bytes = nullptr;
};

struct WorldOptions {
  MachineConfig machine;
  GpuConfig gpu;
  Backing backing = Backing::kBacked;
  // With one thread a run on a virtual clock repeats exactly.
  Clock::Kind clock = Clock::Kind::kVirtual;
  HostOptions host;
  int queues = 4;
  // Must outlive the world; null: what leaves VRAM goes to (NONE, SYSTEM).
  DeviceHooks* hooks = nullptr;

  static WorldOptions Of(const StressOptions& options);
};

class World {
 public:
  // A machine that cannot be made is a failure of the verdict, and ok() is
  // false then.
  World(const WorldOptions& options, Verdict* verdict);
  // Finishes.
  ~World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  bool ok() const { return gpu_ != nullptr; }
  Machine& machine() { return *machine_; }
  Host& host() { return *host_; }
  Device& device() { return *device_; }
  ModelGpu& gpu() { return *gpu_; }
  bool backed() const { return options_.backing == Backing::kBacked; }

  // Zeros at first. Null, and a failure, where the host refuses it.
  KnownBo* Make(uint64_t bytes, ClientRef client = nullptr);
  // Its contents are not looked at any more. REQUIRES: nobody uses it.
  void Drop(KnownBo* bo);

  // Places the bos, checks on the GPU those that are read or written, writes
  // new contents to those that are written. Device::Validate's errors.
  absl::Status Submit(const Submission& submission);
  // Places a bo and lets a job on `queue` fill it with zeros, as drivers clear
  // what they bind. The fence is that job's.
  absl::StatusOr<Fence> Clear(KnownBo* bo, PlacementList places, int queue);
  // The steps of a job on bos that are reserved, and in place, and its time.
  GpuJob JobFor(const std::vector<BoUse>& uses, uint64_t* cost_ns);
  // Waits when too much is under way.
  void NoteJob(const Fence& fence);
  void WaitForJobs();
  // What the CPU sees of it. A failure where it cannot be read.
  void CheckByCpu(KnownBo& bo);
  // Counts a step done. And one that should have been: `what` says which.
  void NoteOperation() { operations_.fetch_add(1); }
  void Fail(const std::string& what);
  // Whether it was.
  bool Expect(const absl::Status& status, const std::string& what) {
    if (!status.ok()) Fail(what + ": " + std::string(status.message()));
    return status.ok();
  }
  // That something had to be evicted.
  void ExpectEvictions() {
    if (gpu_evictions() == 0) Fail("nothing had to be evicted");
  }
  void CheckRules();
  bool failed() const { return failures_.load() != 0; }
  // By the device's memory types, so far.
  uint64_t gpu_evictions() const;

  // Waits for all work, reads every bo, audits, drops the bos and sees that
  // nothing is left of them. Fills in the verdict. REQUIRES: nobody else uses
  // the world.
  void Finish();

 private:
  absl::Status SetUp();
  uint64_t Wrong(const KnownBo& bo, const std::byte* bytes) const;

  const WorldOptions options_;
  Verdict* const verdict_;
  Atomic<uint64_t> operations_{0};
  Atomic<uint64_t> failures_{0};
  Atomic<uint64_t> next_seed_{1};
  Atomic<uint64_t> checked_pages_{0};
  Atomic<uint64_t> wrong_pages_{0};
  Mutex mutex_;
  std::deque<Fence> in_flight_ ABSL_GUARDED_BY(mutex_);
  std::list<KnownBo> bos_ ABSL_GUARDED_BY(mutex_);
  // In the order in which they must outlive each other.
  std::unique_ptr<Machine> machine_;
  std::unique_ptr<Host> host_;
  std::unique_ptr<Device> device_;
  std::unique_ptr<ModelGpu> gpu_;
};

}  // namespace twostep

#endif  // STRESS_WORLD_H_
