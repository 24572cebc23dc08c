#ifndef MACHINE_MACHINE_H_
#define MACHINE_MACHINE_H_

// The host under the devices: memory, pools, IOMMU domains, swap and the
// clock, put together from a MachineConfig. Owns the timelines, which outlive
// every fence on them. Knows nothing of bos. Thread-safe once created.

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "twostep/machine/clock.h"
#include "twostep/machine/cma_area.h"
#include "twostep/machine/dma_debug.h"
#include "twostep/machine/dma_domain.h"
#include "twostep/machine/faults.h"
#include "twostep/machine/frame_map.h"
#include "twostep/machine/machine_config.h"
#include "twostep/machine/memory.h"
#include "twostep/machine/page_pool.h"
#include "twostep/machine/swap_store.h"
#include "twostep/machine/swiotlb.h"
#include "twostep/machine/timeline.h"

namespace twostep {

// Whether wrong uses of DMA are looked for; kDefault: in builds without NDEBUG,
// but for those on fibers, where each look would be a step to schedule.
enum class CheckDma : uint8_t { kDefault, kOff, kOn };

struct MachineOptions {
  Backing backing = Backing::kBacked;
  Clock::Kind clock = Clock::Kind::kReal;
  // Of the hypervisor under several Xen PV guests, which it must outlive; null:
  // a guest has one of its own.
  ExchangePool* exchange_pool = nullptr;
  // What is to fail in it, which it must not outlive; null: nothing.
  Faults* faults = nullptr;
  CheckDma check_dma = CheckDma::kDefault;
  // Told of every wrong use while no Host is there, which tells its own. Null:
  // print it and stop the process.
  DmaMisuseHandler dma_misuse_handler;
};

class Machine {
 public:
  // kInvalidArgument naming the field that is wrong; kResourceExhausted when
  // the pools do not fit into DMA32, or this process cannot have that much
  // address space.
  static absl::StatusOr<std::unique_ptr<Machine>> Create(
      const MachineConfig& config, const MachineOptions& options);
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;

  const MachineConfig& config() const { return config_; }
  const CostModel& cost() const { return config_.cost; }
  Clock& clock() { return clock_; }
  PhysicalMemory& memory() { return *memory_; }
  // Null: nothing is made to fail.
  Faults* faults() const { return memory_->faults(); }
  // Null: nothing is checked.
  DmaDebug* dma_debug() const { return dma_debug_.get(); }
  // Null but for a Xen PV guest.
  const FrameMap* frame_map() const { return frame_map_.get(); }
  // REQUIRES: number < domains().
  DmaDomain& domain(uint32_t number = 0) { return *domains_[number]; }
  uint32_t domains() const { return static_cast<uint32_t>(domains_.size()); }
  // Of no frames when the machine has none.
  Swiotlb& bounce_pool() const { return *bounce_pool_; }
  PagePool& coherent_pool() const { return *coherent_pool_; }
  CmaArea& cma() const { return *cma_; }
  SwapStore& swap() const { return *swap_; }

  // A timeline that lives as long as the machine; one that signals on demand,
  // where it is given how to ask for that.
  Timeline& NewTimeline(std::string name,
                        Timeline::EnableSignaling enable_signaling = nullptr);
  // Of that number; null where there is none.
  Timeline* timeline(uint16_t number);

 private:
  Machine(const MachineConfig& config, const MachineOptions& options);
  absl::Status SetUpFrameMap(ExchangePool* shared);

  const MachineConfig config_;
  Clock clock_;
  std::unique_ptr<PhysicalMemory> memory_;
  std::unique_ptr<ExchangePool> own_exchange_pool_;
  std::unique_ptr<FrameMap> frame_map_;
  std::unique_ptr<DmaDebug> dma_debug_;
  std::vector<std::unique_ptr<DmaDomain>> domains_;
  std::unique_ptr<Swiotlb> bounce_pool_;
  std::unique_ptr<PagePool> coherent_pool_;
  std::unique_ptr<CmaArea> cma_;
  std::unique_ptr<SwapStore> swap_;
  Mutex mutex_;
  std::deque<Timeline> timelines_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace twostep

#endif  // MACHINE_MACHINE_H_
