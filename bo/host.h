#ifndef BO_HOST_H_
#define BO_HOST_H_

// The bos of one machine and what all its devices share: the built-in DMA
// binders, the SYSTEM memory type, storage that waits for its fences, counts.
// Devices and bos must go before their host. Thread-safe.

#include <array>
#include <list>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "twostep/bo/bo_slab.h"
#include "twostep/bo/buffer_object.h"
#include "twostep/bo/dma_owners.h"
#include "twostep/bo/ghosts.h"
#include "twostep/bo/global_names.h"
#include "twostep/bo/host_options.h"
#include "twostep/bo/shrinkers.h"
#include "twostep/dma_types/dma_binder.h"
#include "twostep/eviction/policy_registry.h"
#include "twostep/machine/machine.h"
#include "twostep/placement/placement.h"

namespace twostep {

class KernelMapping;

class Host {
 public:
  // Errors are ParseEvictionPolicy's.
  static absl::StatusOr<std::unique_ptr<Host>> Create(
      Machine& machine, const HostOptions& options);
  ~Host();  // reports bos that are still alive as misuse, one by one
  Host(const Host&) = delete;
  Host& operator=(const Host&) = delete;

  Machine& machine() { return machine_; }
  MoveStats& stats() { return stats_; }
  Events* events() const { return events_.get(); }  // null: off

  // A fresh bo, charged to `client`: in SYSTEM, no contents (reads as zero),
  // bound to nothing. kOutOfRange for 0 bytes or 2^32 - 1 pages up.
  absl::StatusOr<BoRef> CreateBo(uint64_t size_bytes,
                                 ClientRef client = nullptr);
  size_t bo_count() const { return slab_.size(); }  // live ones

  // kInvalidArgument: a budget protects more than it allows, or there are more
  // handles than HandleLimits::kMostHandles.
  absl::StatusOr<ClientRef> CreateClient(const ClientOptions& options);
  // Waits for each bo's reservation, unless this thread has it. With others at
  // work each line is the sum of moments, one for each bo: what moves meanwhile
  // may be missed, or be in two places. Lines always add up to the totals.
  // REQUIRES: this thread has nothing reserved that another waits for.
  UsageReport Report();

  // Of a built-in DMA type.
  DmaBinder& binder(DmaType type) {
    return *binders_[static_cast<size_t>(type)];
  }
  bool IsBuiltIn(const DmaBinder& binder) const;
  MemoryManager& system_manager() { return *system_manager_; }
  GlobalNames& names() { return names_; }
  std::unique_ptr<EvictionPolicy> MakePolicy() const { return make_policy_(); }
  const EvictionPolicyFactory& policy_factory() const { return make_policy_; }
  // Those of all devices, and of binders the built-in ones.
  absl::InlinedVector<MemoryManager*, 16> Managers(
      MemoryManager::Kind kind) const;
  absl::InlinedVector<DmaBinder*, 16> Binders() const;

  // A port of nobody's that reaches up to `highest` (2^n - 1), with these
  // limits, otherwise as `like`. Lives as long as the host.
  DmaPort& JointPort(const DmaPort& like, DmaAddress highest,
                     const SegmentLimits& limits);

  // Gives up storage whose fences have signalled. With kWait and none ready,
  // waits for the storage that has waited longest. False when none was given
  // up.
  bool ReapGhosts(const WaitLimit& limit) {
    return limit.mode == WaitLimit::Mode::kNoWait
               ? ReapIdleGhosts()
               : ReapGhostsOf(limit, nullptr).ok();
  }

  // For a host under pressure: gives memory back until `pages` frames came
  // free, or `max_bos` bos were looked at. Cached blocks go back to coherent
  // memory first, which frees no ordinary frame; then storage that was left
  // behind, then what other shrinkers have, then idle bos are swapped out in
  // the order of eviction. Waits for nobody; bos that are reserved stay where
  // they are.
  static constexpr uint32_t kMaxBosACall = 32;
  using Shrunk = twostep::Shrunk;
  Shrunk Shrink(uint64_t pages, uint32_t max_bos = kMaxBosACall);
  Shrinkers& shrinkers() { return shrinkers_; }
  DmaOwners& dma_owners() { return dma_owners_; }
  // Shrinks up to the high watermark when less than the low one is free. The
  // library calls it after each operation that may have taken frames.
  void KeepWatermark() {
    if (machine_.memory().below_low_watermark()) {
      Shrink(machine_.memory().frames_wanted());
    }
  }

  void ReportMisuse(const Misuse& misuse);

 private:
  friend class Audit;
  friend class Device;
  friend class Evacuation;
  friend struct Ghost;
  friend class KernelMapping;
  friend class Mover;
  friend class Sharing;
  friend void intrusive_ptr_release(Client* client);
  friend void intrusive_ptr_release(BufferObject* bo);

  Host(Machine& machine, HostOptions options,
       EvictionPolicyFactory make_policy);
  void RemoveClient(Client& client);
  // Returns which of SYSTEM's orders its bos stand in: devices take turns.
  uint8_t AddDevice(Device& device);
  void RemoveDevice(Device& device);
  // The last reference is gone. Must not wait: a bo that an evictor is at work
  // on is left to whoever comes by once it is free.
  void Retire(BufferObject& bo);
  void Destroy(BufferObject& bo);  // REQUIRES: reserved by this thread
  void GiveUp(BufferObject& bo);   // all that it holds and is charged for
  void FinishRetiring() {
    if (any_retiring_.load()) DestroyRetired();
  }
  void DestroyRetired();
  // Until everything that others were in the middle of has ended, and bos whose
  // last reference is gone have given up their storage.
  void AwaitOthers();
  // Takes over what `bo` holds, leaving it without contents; gives it up now if
  // nothing is pending, else once its fences have signalled.
  void DiscardStorage(BufferObject& bo);
  // As Ghosts' calls; what others have taken from there is on its way to be
  // free.
  bool ReapIdleGhosts(uint64_t* frames = nullptr);
  // As of a moment ago.
  bool NothingLeftBehind() const {
    return !any_retiring_.load() && ghosts_.none();
  }
  absl::Status ReapGhostsOf(const WaitLimit& limit, const void* part);

  // What step 1 fills in. A few that were given back are kept, so that binding
  // and unbinding in turn allocates nothing.
  std::unique_ptr<DmaBinding> TakeBinding();
  void ReturnBinding(std::unique_ptr<DmaBinding> binding);

  static constexpr uint8_t kSystemOrders = 8;
  static constexpr size_t kMaxSpares = 64;  // bindings

  Machine& machine_;
  const HostOptions options_;
  const EvictionPolicyFactory make_policy_;
  const std::unique_ptr<Events> events_;
  MoveStats stats_;
  std::unique_ptr<MemoryManager> system_manager_;
  std::array<std::unique_ptr<DmaBinder>, 4> binders_;
  BoSlab slab_;
  GlobalNames names_;
  Ghosts ghosts_{*this};
  mutable Mutex mutex_;
  // Without references, reserved by evictors when last seen.
  std::vector<BufferObject*> retiring_ ABSL_GUARDED_BY(mutex_);
  Atomic<bool> any_retiring_{false};
  std::vector<Client*> clients_ ABSL_GUARDED_BY(mutex_);
  std::vector<Device*> devices_ ABSL_GUARDED_BY(mutex_);
  size_t devices_made_ ABSL_GUARDED_BY(mutex_) = 0;
  std::list<DmaPort> joint_ports_ ABSL_GUARDED_BY(mutex_);
  // Each comes and goes with its bo reserved.
  std::vector<KernelMapping*> kernel_mappings_ ABSL_GUARDED_BY(mutex_);
  Shrinkers shrinkers_;
  DmaOwners dma_owners_;
  SpinLock binding_lock_;
  std::vector<std::unique_ptr<DmaBinding>> spare_bindings_
      ABSL_GUARDED_BY(binding_lock_);
};

}  // namespace twostep

#endif  // BO_HOST_H_
