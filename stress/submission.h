#ifndef STRESS_SUBMISSION_H_
#define STRESS_SUBMISSION_H_

// What a world is asked: which machine to be, and what to submit. Plain values.

#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "twostep/bo/device.h"
#include "twostep/bo/host_options.h"
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
  // Where WorldOptions::keep_writes: what jobs were to write, and when they
  // have.
  std::vector<std::pair<uint64_t, Fence>> writes;
};

// A device and its GPU. `device` null: it has been taken away.
struct GpuDevice {
  std::unique_ptr<Device> device;
  std::unique_ptr<ModelGpu> gpu;
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
  // Null: the world's first.
  GpuDevice* on = nullptr;
  // Called where set, with all bos in place, and still reserved.
  std::function<void()> in_place;
};

struct WorldOptions {
  MachineConfig machine;
  GpuConfig gpu;
  Backing backing = Backing::kBacked;
  // With one thread a run on a virtual clock repeats exactly.
  Clock::Kind clock = Clock::Kind::kVirtual;
  // Misuse is a failure, unless there is a handler.
  HostOptions host;
  int queues = 4;
  // Must outlive the world; null: what leaves VRAM goes to (NONE, SYSTEM).
  DeviceHooks* hooks = nullptr;
  // For jobs that may be lost with their device: KnownBo::writes. Kept under
  // faults as well.
  bool keep_writes = false;
  // Must outlive the world; null: nobody watches.
  RunObserver* observer = nullptr;
  // See StressOptions.
  Faults* faults = nullptr;
  // One thread at a time uses the world, and nobody its host or machine beside:
  // under faults all of it is then looked at after each, and the eviction
  // policy is "lru", whatever `host` says.
  bool alone = false;

  static WorldOptions Of(const StressOptions& options);
};

}  // namespace twostep

#endif  // STRESS_SUBMISSION_H_
