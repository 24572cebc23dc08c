#ifndef PLACEMENT_PLACEMENT_POLICY_H_
#define PLACEMENT_PLACEMENT_POLICY_H_

// Where the bos of a submission may go: which DMA type and memory types, in
// which order, whether moving is worth it at all (what lies in TT can be used
// over the bus), when to come back, how much to move at a time. A policy
// chooses among lists and nothing else: it moves nothing, knows no bo but by
// its facts, holds no lock, reads no clock. Thread-compatible: its Placer
// locks.

#include <cstdint>

#include "twostep/machine/machine_config.h"
#include "twostep/placement/placement.h"

namespace twostep {

// What a policy can go by before there is a bo: what the machine and its GPU
// report, and what the driver asks for.
struct PlacementSite {
  static PlacementSite Of(const MachineConfig& machine, const GpuConfig& gpu);

  // 0: there is no such memory type.
  uint64_t vram_bytes = 0;
  uint64_t aperture_bytes = 0;
  // Whatever is bound as DYNAMIC is copied, as under Xen PV.
  bool bounces = false;
  uint64_t coherent_bytes = 0;
  CostModel cost;
  // Step 1 of what goes to TT, for policies that do not choose it.
  DmaType dma = DmaType::kDynamic;
};

// A bo that a submission uses, or that is to leave fixed memory.
struct PlacementFacts {
  uint64_t key = 0;  // the same all the bo's life
  uint64_t bytes = 0;
  MemoryType memory = MemoryType::kSystem;  // where it is
  // Moving it means copying it; otherwise it reads as zero wherever it goes.
  bool has_contents = false;
  // In bytes of whole pages: what the CPU took back since the last submission,
  // and the device must take away again.
  uint64_t cpu_bytes = 0;
};

// How things stand in the middle of a submission.
struct PlacementMoment {
  uint64_t now_ns = 0;
  uint64_t free_vram_bytes = 0;
  // Copied for this submission so far, its victims' bytes included.
  uint64_t moved_bytes = 0;
};

class PlacementPolicy {
 public:
  virtual ~PlacementPolicy() = default;

  // A submission begins; Choose will be called for each of its bos. Several may
  // be under way at once.
  virtual void Begin(const PlacementMoment& moment);
  // Where the bo may go, best first; not empty. Asked once for every use. A
  // list that is returned lives as long as the policy and does not change.
  virtual PlacementList Choose(const PlacementFacts& bo,
                               const PlacementMoment& moment) = 0;
  // Where the bo may go when it is evicted from fixed memory. A list as above;
  // by (NONE, SYSTEM) at its end it can always be evicted while there are
  // frames.
  virtual PlacementList EvictTo(const PlacementFacts& bo) = 0;
  // All bos of a submission are in place, or it failed.
  virtual void End(const PlacementMoment& moment);
  // The bo is no more. What is kept of others is bounded by their number.
  virtual void Forget(uint64_t key);
};

}  // namespace twostep

#endif  // PLACEMENT_PLACEMENT_POLICY_H_
