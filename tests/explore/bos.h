#ifndef TESTS_EXPLORE_BOS_H_
#define TESTS_EXPLORE_BOS_H_

// What cases with bos have in common: a small machine on which one thing is
// scarce, and submissions to its device.

#include <string>
#include <vector>

#include "tests/bo/rig.h"
#include "twostep/bo/exec.h"
#include "twostep/explore/case.h"

namespace twostep::explore {

// What there are kPages pages of, and little else.
struct Scarce {
  const char* name;
  Placement placement;
  SpaceAllocator vram_allocator = SpaceAllocator::kRange;
};
inline const Scarce kScarce[] = {
    {"vram", kVram},
    {"vram_buddy", kVram, SpaceAllocator::kBuddy},
    {"aperture", Tt(DmaType::kNone)},
    {"iova", Tt(DmaType::kDynamic)},
    {"coherent", Tt(DmaType::kCoherent)},
    {"cma", Tt(DmaType::kCma)},
};
inline constexpr uint64_t kPages = 4;

inline RigOptions Small(const Scarce& scarce,
                        Backing backing = Backing::kUnbacked) {
  RigOptions options = RigOptions::Small();
  const auto size_for = [&](DmaType dma, MemoryType memory) {
    const bool scarce_one =
        memory == MemoryType::kVram
            ? scarce.placement.memory == memory
            : scarce.placement.memory == memory && scarce.placement.dma == dma;
    return scarce_one ? kPages * kPageSize : 16 * kPageSize;
  };
  options.machine.dma32_bytes = 3 * kMiB;
  options.machine.normal_bytes = 0;
  options.machine.swap_bytes = kMiB;
  options.machine.swiotlb.bytes = 16 * kPageSize;
  options.machine.coherent_bytes =
      size_for(DmaType::kCoherent, MemoryType::kTt);
  options.machine.cma_bytes = size_for(DmaType::kCma, MemoryType::kTt);
  options.machine.iommu.iova_bytes =
      size_for(DmaType::kDynamic, MemoryType::kTt);
  options.gpu.vram_bytes = size_for(DmaType::kNone, MemoryType::kVram);
  options.gpu.vram_visible_bytes = options.gpu.vram_bytes;
  options.gpu.aperture_bytes = size_for(DmaType::kNone, MemoryType::kTt);
  options.gpu.vram_allocator = scarce.vram_allocator;
  options.options.backing = backing;
  options.host.name_seed = 1;
  return options;
}

class Bos {
 public:
  explicit Bos(const Scarce& scarce, Backing backing = Backing::kUnbacked)
      : Bos(scarce.placement, Small(scarce, backing)) {}
  Bos(const Placement& placement, const RigOptions& options)
      : placement_(placement), rig_(options) {}

  Rig& rig() { return rig_; }
  const Placement& placement() const { return placement_; }
  BoRef Make(uint64_t pages) { return rig_.Make(pages * kPageSize); }

  // One submission; its work ends at a time of its own.
  absl::Status TrySubmit(const std::vector<BoRef>& bos) {
    Exec exec(rig_.device());
    for (const BoRef& bo : bos) {
      exec.Add(*bo, {&placement_, 1}, FenceUse::kWrite);
    }
    ValidateContext context;
    const absl::Status status = exec.Run(&context);
    if (!status.ok()) return status;
    for (const BoRef& bo : bos) Expect(InPlace(*bo), "not where it was asked");
    exec.Finish(Emit());
    Progress();
    return status;
  }
  // Of what fits alone.
  void Submit(const std::vector<BoRef>& bos) {
    const absl::Status status = TrySubmit(bos);
    Expect(status.ok(), "a submission failed: " + status.ToString());
  }
  bool InPlace(const BufferObject& bo) {
    return &bo.manager() == rig_.device().manager(placement_.memory);
  }
  // REQUIRES: no references. Each has been destroyed, and once.
  void ExpectNoneLeft() {
    rig_.host().ReapGhosts({});
    const auto count = static_cast<int64_t>(rig_.host().bo_count());
    Expect(count >= 0, "a bo was destroyed twice");
    Expect(count == 0, "a bo is left without references");
  }
  void Check() {
    const std::string broken = rig_.Broken();
    Expect(broken.empty(), broken);
    Expect(rig_.misuses().empty(), "misuse");
  }

 private:
  // One at a time: the ring ends work in the order in which it was emitted.
  Fence Emit() {
    MutexLock lock(ring_mutex_);
    return ring_.EmitComplete(rig_.machine().clock().now_ns() + 1000);
  }

  const Placement placement_;
  Rig rig_;
  Mutex ring_mutex_;
  Timeline& ring_{rig_.machine().NewTimeline("ring")};
};

// The body `run` of a case, for each thing that can be scarce: "bo/name/vram"
// and so on.
inline void AddForEachScarce(const char* name, const char* about,
                             void (*run)(const Scarce& scarce),
                             std::vector<Case>* cases) {
  for (const Scarce& scarce : kScarce) {
    cases->push_back(Case{std::string("bo/") + name + "/" + scarce.name, about,
                          [run, &scarce] {
                            // A check of the rig's own ends the schedule.
                            testing::FLAGS_gtest_break_on_failure = true;
                            run(scarce);
                          }});
  }
}

}  // namespace twostep::explore

#endif  // TESTS_EXPLORE_BOS_H_
