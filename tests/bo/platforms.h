#ifndef TESTS_BO_PLATFORMS_H_
#define TESTS_BO_PLATFORMS_H_

// The kinds of machine that the rules are shown on, and what tests of rules
// look at before and after: where a bo is, and every account of the machine.

#include <cstdint>
#include <ostream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/bo/rig.h"
#include "twostep/stress/accounts.h"

namespace twostep {

enum class MachineKind {
  kBareMetal,    // physical addresses, a 64-bit device
  kIommu,        // IOVAs
  kSwiotlb,      // everything that streams bounces
  kNonCoherent,  // CPU and device have views of their own
};
inline constexpr MachineKind kAllMachines[] = {
    MachineKind::kBareMetal, MachineKind::kIommu, MachineKind::kSwiotlb,
    MachineKind::kNonCoherent};
inline constexpr DmaType kBuiltInDmaTypes[] = {
    DmaType::kNone, DmaType::kDynamic, DmaType::kCoherent, DmaType::kCma};

inline const char* NameOf(MachineKind kind) {
  switch (kind) {
    case MachineKind::kBareMetal:
      return "BareMetal";
    case MachineKind::kIommu:
      return "Iommu";
    case MachineKind::kSwiotlb:
      return "Swiotlb";
    case MachineKind::kNonCoherent:
      return "NonCoherent";
  }
  return "?";
}
inline const char* NameOf(DmaType type) {
  static constexpr const char* kNames[] = {"None", "Dynamic", "Coherent",
                                           "Cma"};
  const auto index = static_cast<size_t>(type);
  return index < 4 ? kNames[index] : "Registered";
}
inline void PrintTo(MachineKind kind, std::ostream* out) {
  *out << NameOf(kind);
}
inline void PrintTo(DmaType type, std::ostream* out) { *out << NameOf(type); }

inline RigOptions OptionsOf(MachineKind kind) {
  RigOptions options =
      RigOptions::Small(kind == MachineKind::kIommu ? IommuMode::kTranslated
                                                    : IommuMode::kAbsent);
  if (kind == MachineKind::kSwiotlb) {
    options.machine.swiotlb.forced = true;
    options.gpu.dma_mask_bits = 32;
  }
  if (kind == MachineKind::kNonCoherent) options.gpu.coherent = false;
  return options;
}

// Whether a bo of this type has to change hands between CPU and device.
inline bool HandsOver(MachineKind kind, DmaType type) {
  return type == DmaType::kDynamic ||
         (type == DmaType::kNone && kind == MachineKind::kNonCoherent);
}

inline Accounts AccountsOf(Rig& rig) {
  return AccountsOf(rig.machine(), rig.device());
}
inline Accounts NothingUsed(const Accounts& like) {
  Accounts nothing = like;
  for (auto& [name, value] : nothing) value = 0;
  return nothing;
}

inline std::string WhereIs(const BoRef& bo) { return WhereIs(*bo); }
inline bool InMemoryType(Rig& rig, const BoRef& bo, MemoryType type) {
  return &bo->manager() == rig.device().manager(type);
}
inline bool BoundThrough(Rig& rig, const BoRef& bo, DmaType type) {
  return bo->binder() == rig.device().binder(type);
}

// Hooks that write down what happens, one line an event.
class RecordingHooks : public DeviceHooks {
 public:
  void Notify(const BufferObject& bo, BoEvent event) override {
    static constexpr const char* kNames[] = {
        "dma bound", "gpu bound",   "gpu unbound", "dma unbound",
        "moved",     "swapped out", "swapped in",  "purged"};
    log.push_back(
        absl::StrCat("bo ", bo.id(), " ", kNames[static_cast<size_t>(event)]));
    if (on_event) on_event(bo, event);
  }
  absl::StatusOr<Fence> Copy(CopyEngine& engine, CopyJob job,
                             absl::Span<const Fence> dependencies) override {
    if (copies_until_failure == 1) {
      copy_failed = true;
      return absl::InternalError("the copy was made to fail");
    }
    if (copies_until_failure > 1) --copies_until_failure;
    ++copies;
    return DeviceHooks::Copy(engine, std::move(job), dependencies);
  }
  PlacementList EvictTo(const BufferObject& bo) override {
    return evict_to.empty() ? DeviceHooks::EvictTo(bo)
                            : PlacementList(evict_to);
  }
  std::optional<Placement> Hop(const BufferObject& bo,
                               const Placement& to) override {
    return hop ? hop(bo, to) : std::nullopt;
  }

  std::vector<std::string> log;
  std::function<void(const BufferObject&, BoEvent)> on_event;
  std::function<std::optional<Placement>(const BufferObject&, const Placement&)>
      hop;
  std::vector<Placement> evict_to;
  // From which copy on all of them fail, counted from now; 0: none.
  int copies_until_failure = 0;
  bool copy_failed = false;
  int copies = 0;
};

inline std::vector<std::string> Lines(
    std::initializer_list<std::pair<const BoRef*, const char*>> events) {
  std::vector<std::string> lines;
  for (const auto& [bo, what] : events) {
    lines.push_back(absl::StrCat("bo ", (*bo)->id(), " ", what));
  }
  return lines;
}

}  // namespace twostep

#endif  // TESTS_BO_PLATFORMS_H_
