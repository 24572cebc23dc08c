#ifndef CLI_OBSERVED_DEVICE_H_
#define CLI_OBSERVED_DEVICE_H_

// What observers of a run show of a device.

#include <algorithm>
#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "absl/strings/str_cat.h"
#include "twostep/bo/device.h"
#include "twostep/lab/run_observer.h"

namespace twostep {

// Its memory types that hold anything, in the order of their numbers.
inline std::vector<MemoryManager*> MemoryTypesOf(const Device& device) {
  std::vector<MemoryManager*> managers;
  for (int type = 0; type < kMaxMemoryTypes; ++type) {
    MemoryManager* manager = device.manager(static_cast<MemoryType>(type));
    if (manager != nullptr &&
        manager->kind() != MemoryManager::Kind::kNowhere) {
      managers.push_back(manager);
    }
  }
  return managers;
}

// Its DMA types, its own and the host's, in the order of their numbers.
inline std::vector<DmaBinder*> DmaTypesOf(const Device& device) {
  std::vector<DmaBinder*> binders;
  for (int type = 0; type < kMaxDmaTypes; ++type) {
    DmaBinder* binder = device.binder(static_cast<DmaType>(type));
    if (binder != nullptr) binders.push_back(binder);
  }
  return binders;
}

// What a type of `device` is called where several are watched: those of the
// first one, and of none, have no prefix.
inline std::string NameOn(const std::string& first_device,
                          const std::string& device, const std::string& type) {
  if (device.empty() || device == first_device) return type;
  return absl::StrCat(device, " ", type);
}

// How long the queues of one machine stood still before each job, from when it
// could have begun to when it does. As replays have it. Thread-compatible.
class QueueStalls {
 public:
  // In nanoseconds. REQUIRES: called for each job, in the order of its queue.
  uint64_t Before(const RunObserver::Job& job) {
    uint64_t& idle_at_ns = idle_at_ns_[job.fence.timeline];
    const uint64_t could_ns = std::max(job.asked_ns, idle_at_ns);
    idle_at_ns = job.ends_ns;
    return job.starts_ns - std::min(could_ns, job.starts_ns);
  }
  // Another machine.
  void Clear() { idle_at_ns_.clear(); }

 private:
  std::unordered_map<const Timeline*, uint64_t> idle_at_ns_;
};

}  // namespace twostep

#endif  // CLI_OBSERVED_DEVICE_H_
