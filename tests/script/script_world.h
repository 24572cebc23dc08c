#ifndef TESTS_SCRIPT_SCRIPT_WORLD_H_
#define TESTS_SCRIPT_SCRIPT_WORLD_H_

// What scripts are played on: a machine so small that all of it runs out, two
// devices (behind an IOMMU in two domains), two clients with budgets, and a
// queue of work for each device. Knows nothing of scripts or of what bos
// contain.

#include <array>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tests/bo/platforms.h"
#include "tests/script/script.h"
#include "twostep/machine/device_queue.h"

namespace twostep {

// Where in a page a value is written and looked for: both ends and the middle.
void WritePage(std::byte* page, uint32_t value);
bool PageHolds(const std::byte* page, uint32_t value);

// One page that device work reads, and perhaps writes.
struct PageAccess {
  // Finds the page when the work gets there; null is a fault, which the audit
  // reports.
  std::function<std::byte*()> find;
  uint32_t holds = 0;
  Access access = Access::kRead;
  uint32_t writes = 0;
};

class ScriptWorld {
 public:
  // `hooks` are the first device's, and must outlive this.
  ScriptWorld(MachineKind kind, DeviceHooks* hooks);

  Machine& machine() { return rig_.machine(); }
  Host& host() { return rig_.host(); }
  Device& device(uint32_t number) {
    return number == 0 ? rig_.device() : *second_;
  }
  const ClientRef& client(uint32_t number) const { return clients_[number]; }
  std::vector<Misuse>& misuses() { return rig_.misuses(); }
  std::string Broken() { return rig_.Broken(); }
  bool AnySuspended();

  Placement PlacementOf(Place place) const;
  // Whether `bo` is where that says, on that device. REQUIRES: reserved.
  bool Stands(const BufferObject& bo, Device& device, const Placement& where);

  // How the device of `bo` finds a page of it. Null where the GPU does not see
  // the bo. REQUIRES: reserved.
  std::function<std::byte*()> Finder(const BufferObject& bo, Device& device,
                                     PageCount page, Access access);
  // Queues the accesses as one job of the device.
  Fence Submit(uint32_t device, absl::Span<const Fence> dependencies,
               std::vector<PageAccess> accesses);
  // Pages that work found to hold something else, so far.
  uint64_t wrong_pages() const { return wrong_pages_.load(); }

  // Frames for the host's own work, until they are given back.
  void TakeFrames(uint32_t count);
  void GiveFramesBack();

  // Ends all work, and says what is still in use; empty when nothing is.
  // REQUIRES: all bos are gone.
  std::string LeftBehind();

 private:
  Rig rig_;
  std::unique_ptr<Device> second_;
  std::array<ClientRef, kScriptClients> clients_;  // 0: nobody
  std::vector<FrameNumber> hosts_frames_;
  Atomic<uint64_t> wrong_pages_{0};
  std::array<std::unique_ptr<DeviceQueue>, kScriptDevices> queues_;
};

}  // namespace twostep

#endif  // TESTS_SCRIPT_SCRIPT_WORLD_H_
