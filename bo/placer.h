#ifndef BO_PLACER_H_
#define BO_PLACER_H_

// Asks a placement policy on behalf of a device: where the bos of a submission
// may go (see Exec), and where they are evicted to (as the device's hooks).
// One for each device. A driver with hooks of its own derives from it, or calls
// its EvictTo. Thread-safe.
//
//   Placer placer(MakePolicy(PlacementSite::Of(machine, gpu)));
//   auto device = Device::Create(host, gpu, &placer);
//   Exec exec(*device, &placer);
//   exec.Add(bo, FenceUse::kRead);

#include <memory>
#include <utility>

#include "twostep/bo/device_hooks.h"
#include "twostep/machine/sync.h"
#include "twostep/placement/placement_policy.h"

namespace twostep {

class Device;

class Placer : public DeviceHooks {
 public:
  explicit Placer(std::unique_ptr<PlacementPolicy> policy)
      : policy_(std::move(policy)) {}

  // A submission on `device` that has moved so many bytes so far; and one of
  // its bos, which is reserved by this thread.
  void Begin(Device& device);
  PlacementList Choose(Device& device, const BufferObject& bo,
                       uint64_t moved_bytes);
  void End(Device& device, uint64_t moved_bytes);
  // The bo is about to go. Not telling costs the policy's memory of it.
  void Forget(const BufferObject& bo);

  PlacementList EvictTo(const BufferObject& bo) override;

 private:
  Mutex mutex_;
  const std::unique_ptr<PlacementPolicy> policy_ ABSL_PT_GUARDED_BY(mutex_);
};

}  // namespace twostep

#endif  // BO_PLACER_H_
