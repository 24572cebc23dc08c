#ifndef BO_DEVICE_H_
#define BO_DEVICE_H_

// One device on a host: how it reaches memory (a port), what it can bind to
// (DMA types and memory types), its copy engine, its driver's hooks. Validate
// is the main path of the library.
//
//   auto device = Device::Create(host, {.name = "gpu", .vram_bytes = kGiB});
//   bo->Reserve();
//   absl::Status s = device->Validate(*bo, placements, &context);
//   ... submit work, bo->fences().Add(fence, FenceUse::kWrite) ...
//   bo->Unreserve();
//
// Thread-safe, with each bo guarded by its reservation; types are registered
// before the device is used.

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "twostep/bo/buffer_object.h"
#include "twostep/bo/contention.h"
#include "twostep/bo/device_hooks.h"
#include "twostep/machine/copy_engine.h"
#include "twostep/machine/dma_port.h"
#include "twostep/machine/machine_config.h"
#include "twostep/placement/placement.h"

namespace twostep {

class Host;

// What a validation may do, and what it did.
struct ValidateContext {
  WaitLimit wait;
  // Once `bytes_moved` has come to this, only what is in none of its places is
  // moved: a bo stays in its fallback or last resort, and takes a fallback
  // before others are evicted for it. One context for all bos of a submission
  // bounds what the submission moves, but for what it cannot do without.
  uint64_t move_budget = ~uint64_t{0};
  // Out: whether the bo was already in one of the places, and stays there.
  bool hit = false;
  // Out, added to: contents copied to another place, this bo's and its
  // victims'; swapping and bouncing do not count.
  uint64_t bytes_moved = 0;
  // Out, after kAborted: what an older one has.
  Contention contention;
};

class Device {
 public:
  // SYSTEM and the four built-in DMA types are there from the start; TT and
  // VRAM where their sizes are not 0. `hooks` may be null, and must outlive the
  // device. kInvalidArgument naming the field that is wrong.
  static absl::StatusOr<std::unique_ptr<Device>> Create(
      Host& host, const GpuConfig& config, DeviceHooks* hooks = nullptr);
  // Bos still bound to the device are reported as misuse, one by one, and then
  // unbound; contents that fit nowhere else are dropped. Others may use other
  // devices meanwhile. REQUIRES: this thread has nothing reserved.
  ~Device();
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  const std::string& name() const { return name_; }
  Host& host() const { return host_; }
  DmaPort& port() const { return *port_; }
  CopyEngine& copy_engine() { return *copy_engine_; }
  DeviceHooks& hooks() { return *hooks_; }

  // Null where the device has no such type.
  DmaBinder* binder(DmaType type) const {
    const auto index = static_cast<size_t>(type);
    return index < binders_.size() ? binders_[index] : nullptr;
  }
  MemoryManager* manager(MemoryType type) const {
    const auto index = static_cast<size_t>(type);
    return index < managers_.size() ? managers_[index] : nullptr;
  }

  // Adds a type of the device's own. kAlreadyExists when the name is taken,
  // kResourceExhausted past kMaxDmaTypes / kMaxMemoryTypes.
  absl::StatusOr<DmaType> RegisterDmaType(std::unique_ptr<DmaBinder> binder);
  absl::StatusOr<MemoryType> RegisterMemoryType(
      std::unique_ptr<MemoryManager> manager);

  // Brings `bo` to one of `placements`, evicting others where they allow it,
  // and hands all its pages to the device. What the device does next with the
  // bo must wait for bo.fences() (FenceSet::AppendDependencies).
  // No placement at all: the contents are given up.
  //   kResourceExhausted  it cannot be done now; says what stood in the way
  //   kOutOfRange         no placement could ever hold it
  //   kUnavailable        it might be, but waiting was forbidden
  //   kInvalidArgument    a placement names a type the device lacks
  //   kFailedPrecondition pinned elsewhere, or misuse (a live kernel mapping)
  //   kDeadlineExceeded, kCancelled  the limit ended a wait
  //   kAborted            an older ticket has what it would take: unreserve
  //                       all, wait for context->contention, begin again (Exec
  //                       does)
  //   anything else       what DeviceHooks::Copy returned
  // After an error the bo has its contents and is where it was; but for one
  // that had to pass through a hop, which may be there, and one that came from
  // another device and whose place there was taken meanwhile, which is
  // anonymous.
  // REQUIRES: `bo` is reserved by this thread.
  absl::Status Validate(BufferObject& bo, PlacementList placements,
                        ValidateContext* context) {
    bo.AssertHeld();
    for (const Placement& placement : placements) {
      // A fallback is left for a better place as soon as there is room, a last
      // resort even where others have to make it.
      if (placement.use < Placement::Use::kFallback &&
          Satisfies(bo, placement)) {
        context->hit = true;
        return bo.flags_ & BufferObject::kCpuOwnsPages ? TakePagesFromCpu(bo)
                                                       : absl::OkStatus();
      }
    }
    return ValidateSlow(bo, placements, context);
  }
  // The placement that describes where `bo` is. REQUIRES: it is on this device.
  Placement PlacementOf(const BufferObject& bo) const;
  // Whether `bo` is where `placement` asks.
  bool Satisfies(const BufferObject& bo, const Placement& placement) const {
    const MemoryManager* manager = this->manager(placement.memory);
    if (bo.manager_ != manager || manager == nullptr) return false;
    if (manager->kind() == MemoryManager::Kind::kNowhere) {
      return SatisfiesNowhere(bo, placement);
    }
    const bool anywhere = placement.first_page == 0 &&
                          placement.end_page == 0 && !placement.contiguous;
    return (manager->fixed() || bo.binder_ == binder(placement.dma)) &&
           (anywhere || StandsWithin(bo, placement));
  }

  // For eviction policies that go by it: the driver has come to the end of a
  // frame, or of a submission.
  void Note(EvictionBoundary boundary);

 private:
  friend class Mover;

  Device(Host& host, std::string name);
  MemoryManager* Adopt(std::unique_ptr<MemoryManager> manager);
  absl::Status ValidateSlow(BufferObject& bo, PlacementList placements,
                            ValidateContext* context);
  absl::Status CheckPlacements(const BufferObject& bo,
                               PlacementList placements) const;
  absl::Status TakePagesFromCpu(BufferObject& bo);
  bool SatisfiesNowhere(const BufferObject& bo,
                        const Placement& placement) const;
  static bool StandsWithin(const BufferObject& bo, const Placement& placement);
  // As the device goes: unbinds what the bo has here. Notes in `reported` that
  // it was reported. kAborted: wait for `contention` and call again.
  absl::Status LoseBo(BufferObject& bo, bool* reported, Contention* contention);
  // Waits for storage left behind here until there is none.
  void ReapOwnGhosts();

  Host& host_;
  const std::string name_;
  std::unique_ptr<DmaPort> port_;
  DeviceHooks default_hooks_;
  DeviceHooks* hooks_ = &default_hooks_;
  std::array<DmaBinder*, kMaxDmaTypes> binders_{};
  std::array<MemoryManager*, kMaxMemoryTypes> managers_{};
  std::vector<std::unique_ptr<DmaBinder>> own_binders_;
  std::vector<std::unique_ptr<MemoryManager>> own_managers_;
  std::unique_ptr<CopyEngine> copy_engine_;
};

}  // namespace twostep

#endif  // BO_DEVICE_H_
