#ifndef EXAMPLES_CUSTOM_DMA_TYPE_WINDOW_BINDER_H_
#define EXAMPLES_CUSTOM_DMA_TYPE_WINDOW_BINDER_H_

// A DMA type of one's own: a window of neighbouring frames set aside at the
// start of memory, for a device whose 30 address bits do not reach the rest. A
// bo's pages stay where they are; the device works on copies in the window,
// which runs out, and fragments.
//
// What a type says for itself: how to bind and unbind, how bytes change hands,
// what is short. Ownership of pages, accounts, eviction order and the choice of
// victims are the library's.

#include <cstring>
#include <memory>
#include <numeric>
#include <utility>

#include "absl/status/statusor.h"
#include "twostep/dma_types/dma_binder.h"
#include "twostep/machine/range_allocator.h"

namespace twostep::example {

class WindowBinder final : public DmaBinder {
 public:
  // Before the machine has given out any frame. kResourceExhausted when it has
  // no room for the window.
  static absl::StatusOr<std::unique_ptr<WindowBinder>> Create(
      Machine& machine, PageCount pages,
      std::unique_ptr<EvictionPolicy> policy) {
    const absl::StatusOr<FrameNumber> first = machine.memory().Carve(pages);
    if (!first.ok()) return first.status();
    return std::unique_ptr<WindowBinder>(
        new WindowBinder(machine, *first, pages, std::move(policy)));
  }

  uint64_t used_pages() const {
    SpinLockHolder hold(lock_);
    return space_.used();
  }

 private:
  WindowBinder(Machine& machine, FrameNumber first, PageCount pages,
               std::unique_ptr<EvictionPolicy> policy)
      : DmaBinder("window", machine, Sharing::kHandedOver, CanRunOut::kYes,
                  std::move(policy)),
        end_(first + pages),
        space_(first, pages) {}

  // Step by step, each one undone if a later one fails.
  BindOutcome DoBind(Pages& pages, DmaPort& port, Contents contents,
                     DmaBinding* binding) override {
    if (end_ - 1 > port.highest_frame()) {
      return {BindOutcome::Scarce::kRefused, Shortage::Kind::kNeverFits,
              "the window is beyond the device's DMA mask"};
    }
    Shortage::Kind kind = Allocate(pages.count(), &binding->storage);
    if (kind != Shortage::Kind::kNone) {
      return {BindOutcome::Scarce::kUnit, kind};
    }
    const bool absent = !pages.present();
    kind =
        pages.Populate(machine().memory(), kNoFrame - 1,
                       contents == Contents::kKeep ? PhysicalMemory::Zero::kYes
                                                   : PhysicalMemory::Zero::kNo);
    if (kind != Shortage::Kind::kNone) {
      Free(binding->storage);
      return {BindOutcome::Scarce::kHostFrames, kind};
    }
    binding->bounce = std::make_unique<BouncePages>(pages.count());
    std::iota(binding->bounce->frames.get(),
              binding->bounce->frames.get() + pages.count(),
              static_cast<FrameNumber>(binding->storage.start));
    const BindOutcome mapped = MapFrames(
        {binding->bounce->frames.get(), pages.count()}, port, binding);
    if (!mapped.ok()) {
      if (absent) pages.Release(machine().memory(), machine().swap());
      Free(binding->storage);
      return mapped;
    }
    // Where the machine has no IOMMU, addresses are those of the window.
    if (binding->addressing == DmaBinding::Addressing::kFrames) {
      binding->addressing = DmaBinding::Addressing::kBounced;
    }
    return {};
  }

  BindOutcome DoUnbind(Pages& pages, DmaBinding& binding, Contents) override {
    UnmapFrames({binding.bounce->frames.get(), pages.count()}, binding);
    Free(binding.storage);
    return {};
  }

  // The library calls this for exactly the pages that change hands, or the
  // bytes of them that it was asked to sync.
  void DoSync(Pages& pages, DmaBinding& binding, ByteRange bytes,
              Sync direction) override {
    ForEachPart(bytes, [&](PageCount page, ByteRange in_page) {
      const FrameNumber frame = pages.frames()[page];
      const FrameNumber window = (*binding.bounce)[page];
      const bool for_device = direction == Sync::kForDevice;
      CopyPart(for_device ? frame : window, for_device ? window : frame,
               in_page, machine().cost().cpu_copy_mib_per_s);
    });
    stats().bounced_bytes.fetch_add(bytes.count, std::memory_order_relaxed);
  }

  Shortage DoDescribe(PageCount pages, const DmaPort&,
                      BindOutcome::Scarce) const override {
    SpinLockHolder hold(lock_);
    return space_.Describe(SpaceRequest{.size = pages});
  }

  // Lets the library choose victims that together make one hole.
  bool DoWithSpace(BindOutcome::Scarce scarce, PageCount pages, DmaPort& port,
                   absl::FunctionRef<void(RangeAllocator&, const SpaceRequest&)>
                       use) override {
    if (scarce != BindOutcome::Scarce::kUnit) {
      return DmaBinder::DoWithSpace(scarce, pages, port, use);
    }
    SpinLockHolder hold(lock_);
    use(space_, SpaceRequest{.size = pages});
    return true;
  }

  Shortage::Kind Allocate(PageCount pages, SpaceBlock* block) {
    SpinLockHolder hold(lock_);
    return space_.Allocate(SpaceRequest{.size = pages}, block);
  }
  void Free(const SpaceBlock& block) {
    SpinLockHolder hold(lock_);
    space_.Free(block.node);
  }

  const FrameNumber end_;
  mutable SpinLock lock_;
  RangeAllocator space_ ABSL_GUARDED_BY(lock_);  // of frame numbers
};

}  // namespace twostep::example

#endif  // EXAMPLES_CUSTOM_DMA_TYPE_WINDOW_BINDER_H_
