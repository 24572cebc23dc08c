#ifndef BO_DEVICE_HOOKS_H_
#define BO_DEVICE_HOOKS_H_

// What a driver may say about its device's bos. Every hook has a default that
// works. Hooks run under the reservations that the call holds (of the bo, of
// bos of the same exec, of victims) and no other lock of the library; a CPU
// fault runs them inside its signal handler.

#include <optional>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "twostep/bo/buffer_object.h"
#include "twostep/machine/copy_engine.h"
#include "twostep/placement/placement.h"

namespace twostep {

enum class BoEvent : uint8_t {
  kDmaBound,
  kGpuBound,    // its aperture pages show its addresses
  kGpuUnbound,  // they no longer do
  kDmaUnbound,
  kMoved,  // the contents are on their way to another place
  kSwappedOut,
  kSwappedIn,
  kPurged,  // the contents were dropped
};

class DeviceHooks {
 public:
  virtual ~DeviceHooks() = default;

  // Something happened to `bo`. Told as each step of a move is done: between
  // the steps manager() may still be where the bo comes from.
  virtual void Notify(const BufferObject& bo, BoEvent event);
  // Where `bo` may go when it is evicted from the fixed memory it is in, best
  // first; the list must outlive the call. Default: (NONE, SYSTEM).
  virtual PlacementList EvictTo(const BufferObject& bo);
  // The third place a move must pass through. Default: none.
  virtual std::optional<Placement> Hop(const BufferObject& bo,
                                       const Placement& to);
  // The device has been unplugged and will do no more work. Fail the timelines
  // of its queues with `error` (DeviceQueue::Fail, ModelGpu::Fail), or bos are
  // waited for that will never be idle. Called once, with nothing reserved,
  // before any bo leaves. Default: nothing.
  virtual void Lost(const absl::Status& error);
  // Copies contents. An error makes the move fail, with the bo where it was.
  // Default: the device's copy engine, which reaches the built-in kinds of
  // memory and those that have a Vram. Who waits for `dependencies` otherwise
  // than by a DeviceQueue or WaitFor asks for each first: Timeline::AskFor.
  virtual absl::StatusOr<Fence> Copy(CopyEngine& engine, CopyJob job,
                                     absl::Span<const Fence> dependencies);
};

}  // namespace twostep

#endif  // BO_DEVICE_HOOKS_H_
