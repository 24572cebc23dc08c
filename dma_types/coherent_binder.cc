#include <utility>

#include "twostep/dma_types/binders.h"
#include "twostep/dma_types/coherent_memory.h"
#include "twostep/dma_types/own_memory_binder.h"

namespace twostep {
namespace {

class CoherentBinder final : public OwnMemoryBinder {
 public:
  CoherentBinder(Machine& machine, std::unique_ptr<EvictionPolicy> policy)
      : OwnMemoryBinder("coherent", machine, std::move(policy)) {}

  uint64_t unit_bytes() const override {
    return machine().config().coherent_bytes;
  }

 private:
  PagePool& pool() const { return machine().coherent_pool(); }
  // A device that does not see the CPU's caches needs pages that pass them by.
  Shortage::Kind TakeFrames(std::span<FrameNumber> frames,
                            DmaBinding* binding) override {
    const DmaPort& port = *binding->port;
    return TakeCoherentMemory(
        machine(), port, &port,
        port.coherent() ? Caching::kCached : Caching::kUncached, frames);
  }
  void ReturnFrames(std::span<const FrameNumber> frames,
                    const DmaBinding&) override {
    pool().Free(frames);
  }
  FrameNumber highest_own_frame() const override {
    return pool().frames() == 0 ? kNoFrame : pool().highest_on_bus();
  }
  Shortage DoDescribe(PageCount pages, const DmaPort&,
                      BindOutcome::Scarce) const override {
    return pool().Describe(pages);
  }
};

}  // namespace

std::unique_ptr<DmaBinder> MakeCoherentBinder(
    Machine& machine, std::unique_ptr<EvictionPolicy> policy) {
  return std::make_unique<CoherentBinder>(machine, std::move(policy));
}

}  // namespace twostep
