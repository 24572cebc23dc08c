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
// Thread-safe; bos by their reservations, types are registered before its use.

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "twostep/bo/buffer_object.h"
#include "twostep/bo/device_hooks.h"
#include "twostep/bo/device_life.h"
#include "twostep/bo/validate_context.h"
#include "twostep/machine/copy_engine.h"
#include "twostep/machine/dma_port.h"
#include "twostep/machine/machine_config.h"
#include "twostep/placement/placement.h"

namespace twostep {

class Host;

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
  //   kUnavailable        also when it is suspended, or lost (kDeviceLost)
  //   anything else       what DeviceHooks::Copy returned
  // After an error the bo has its contents and is where it was; but for one
  // that had to pass through a hop, which may be there, and one that came from
  // another device and whose place there was taken meanwhile, which is
  // anonymous.
  // REQUIRES: `bo` is reserved by this thread.
  absl::Status Validate(BufferObject& bo, PlacementList placements,
                        ValidateContext* context) {
    bo.AssertHeld();
    if ((bo.flags_ & BufferObject::kCpuOwnsPages) == 0 &&
        state() == DeviceState::kRunning && Stays(bo, placements)) {
      context->hit = true;
      return absl::OkStatus();
    }
    return ValidateSlow(bo, placements, context);
  }
  // The placement that describes where `bo` is. REQUIRES: it is on this device.
  Placement PlacementOf(const BufferObject& bo) const;
  // Whether `bo` is where `placement` asks.
  bool Satisfies(const BufferObject& bo, const Placement& placement) const {
    const MemoryManager* const manager = this->manager(placement.memory);
    if (bo.manager_ != manager || manager == nullptr) return false;
    if (manager->kind() == MemoryManager::Kind::kNowhere) {
      return SatisfiesNowhere(bo, placement);
    }
    const bool anywhere = placement.first_page == 0 &&
                          placement.end_page == 0 && !placement.contiguous;
    return (manager->fixed() || bo.binder_ == binder(placement.dma)) &&
           (anywhere || StandsWithin(bo, placement));
  }

  // --- Coming and going; other threads may use the device meanwhile, and get
  // errors from it. One of these calls at a time: another waits for it, as its
  // limit says. With nothing reserved by this thread. ---
  DeviceState state() const { return state_.load(std::memory_order_acquire); }
  // The device is gone for good. Its fences signal with an error, its bos come
  // home or lose their contents, as asked: BufferObject::purged() says which
  // did. Nothing of it is held afterwards; it may be destroyed.
  // docs/embedding.md says what becomes of pins and mappings.
  Unplugged Unplug(const Unplugging& how);
  // Takes everything off the device and lets its memory lose its bytes; those
  // of pinned bos are kept in frames. Waits for its work. After an error it is
  // running as before, some bos gone from it; unless a pinned one with a kernel
  // mapping is reserved by another thread for longer than `limit` allows: then
  // it is suspended, with its memory intact, and Resume() is to be called.
  //   kResourceExhausted   no frames for it; kOutOfRange: there can be none
  //   kUnavailable, kDeadlineExceeded, kCancelled  as `limit` says
  //   kFailedPrecondition  not running
  absl::Status Suspend(const WaitLimit& limit = {});
  // Gives pinned bos their bytes back where they were; the others come when
  // they are validated. A copy that has begun is waited for. As `limit` says,
  // or what DeviceHooks::Copy returned: still suspended, call again, with the
  // memory as it is now. kFailedPrecondition when not suspended.
  absl::Status Resume(const WaitLimit& limit = {});

  // Gives up step 2 and the DMA addresses of a bo, and keeps its contents and
  // the frames that they are in, also those of a DMA type's own memory: what
  // evicting from an IOVA space would do, and no more. It may be pinned in
  // nothing. The next Validate gets it addresses again. Errors as Validate.
  // REQUIRES: `bo` is reserved by this thread.
  absl::Status GiveUpAddresses(BufferObject& bo, ValidateContext* context);

  // For eviction policies that go by it: the driver has come to the end of a
  // frame; or of a submission, which Exec::Finish tells by itself.
  void Note(EvictionBoundary boundary);

 private:
  friend class CpuMapping;
  friend class Evacuation;
  friend class Mover;
  friend class Sharing;

  Device(Host& host, std::string name);
  // REQUIRES: life_ is held.
  absl::Status SuspendLocked(const WaitLimit& limit);
  // Why nothing can be validated. REQUIRES: not running.
  absl::Status StateError() const;
  // Whether bytes can be copied to and from its memory.
  bool copies() const { return copies_.load(std::memory_order_acquire); }
  MemoryManager* Adopt(std::unique_ptr<MemoryManager> manager);
  absl::Status ValidateSlow(BufferObject& bo, PlacementList placements,
                            ValidateContext* context);
  absl::Status CheckPlacements(const BufferObject& bo,
                               PlacementList placements) const;
  absl::Status TakePagesFromCpu(BufferObject& bo);
  // Whether it is in one of them, and need not go to another.
  bool Stays(const BufferObject& bo, PlacementList placements) const {
    for (const Placement& placement : placements) {
      // A fallback is left for a better place as soon as there is room, a last
      // resort even where others have to make it.
      if (placement.use < Placement::Use::kFallback &&
          Satisfies(bo, placement)) {
        return true;
      }
    }
    return false;
  }
  bool SatisfiesNowhere(const BufferObject& bo,
                        const Placement& placement) const;
  static bool StandsWithin(const BufferObject& bo, const Placement& placement);
  // Waits for storage left behind here until there is none.
  void ReapOwnGhosts();

  Host& host_;
  const std::string name_;
  std::unique_ptr<DmaPort> port_;
  DeviceHooks default_hooks_;
  DeviceHooks* hooks_ = &default_hooks_;
  std::array<DmaBinder*, kMaxDmaTypes> binders_{};
  std::array<MemoryManager*, kMaxMemoryTypes> managers_{};
  uint8_t system_order_ = 0;
  Atomic<DeviceState> state_{DeviceState::kRunning};
  Atomic<bool> copies_{true};
  // Of who makes it come or go.
  ReservationLock life_;
  std::vector<SavedContents> saved_;  // guarded by life_
  std::vector<std::unique_ptr<DmaBinder>> own_binders_;
  std::vector<std::unique_ptr<MemoryManager>> own_managers_;
  std::unique_ptr<CopyEngine> copy_engine_;
};

}  // namespace twostep

#endif  // BO_DEVICE_H_
