#include <cstring>
#include <utility>
#include <vector>

#include "twostep/dma_types/binders.h"

namespace twostep {
namespace {

class DynamicBinder final : public DmaBinder {
 public:
  DynamicBinder(Machine& machine, std::unique_ptr<EvictionPolicy> policy)
      : DmaBinder("dynamic", machine, Sharing::kHandedOver, CanRunOut::kYes,
                  std::move(policy)) {}

 private:
  BindOutcome DoBind(Pages& pages, DmaPort& port, Contents contents,
                     DmaBinding* binding) override {
    const bool absent = !pages.present();
    const Shortage::Kind kind =
        TakeOrdinaryFrames(pages, kNoFrame - 1, contents);
    if (kind != Shortage::Kind::kNone) {
      return {BindOutcome::Scarce::kHostFrames, kind};
    }
    const BindOutcome outcome = port.domain().translated()
                                    ? MapFrames(pages.frames(), port, binding)
                                    : MapOrBounce(pages, port, binding);
    if (!outcome.ok() && absent) {
      pages.Release(machine().memory(), machine().swap());
    }
    return outcome;
  }

  bool NeedsBounce(FrameNumber frame, const DmaPort& port) const {
    return machine().config().swiotlb.forced || frame > port.highest_frame();
  }

  BindOutcome MapOrBounce(Pages& pages, DmaPort& port, DmaBinding* binding) {
    std::vector<FrameNumber> bounced;
    for (const FrameNumber frame : pages.frames()) {
      if (NeedsBounce(frame, port)) bounced.push_back(frame);
    }
    if (bounced.empty()) return MapFrames(pages.frames(), port, binding);
    FramePool& pool = machine().bounce_pool();
    if (pool.frames() != 0 && pool.end_frame() - 1 > port.highest_frame()) {
      return {BindOutcome::Scarce::kRefused, Shortage::Kind::kNeverFits,
              "the bounce pool is beyond the device's DMA mask"};
    }
    const Shortage::Kind kind = pool.Allocate(bounced);
    if (kind != Shortage::Kind::kNone) {
      return {BindOutcome::Scarce::kUnit, kind};
    }
    binding->bounce =
        std::make_unique_for_overwrite<FrameNumber[]>(pages.count());
    auto next = bounced.begin();
    for (PageCount i = 0; i < pages.count(); ++i) {
      binding->bounce[i] =
          NeedsBounce(pages.frames()[i], port) ? *next++ : kNoFrame;
    }
    // Untranslated: cannot fail.
    MapFrames(DeviceFrames(pages, *binding), port, binding);
    binding->addressing = DmaBinding::Addressing::kBounced;
    return {};
  }

  // The frames that the device sees.
  static std::vector<FrameNumber> DeviceFrames(const Pages& pages,
                                               const DmaBinding& binding) {
    std::vector<FrameNumber> frames(pages.frames().begin(),
                                    pages.frames().end());
    for (PageCount i = 0; i < pages.count(); ++i) {
      if (binding.bounce[i] != kNoFrame) frames[i] = binding.bounce[i];
    }
    return frames;
  }

  BindOutcome DoUnbind(Pages& pages, DmaBinding& binding, Contents) override {
    if (binding.bounce == nullptr) {
      UnmapFrames(pages.frames(), binding);
      return {};
    }
    UnmapFrames(DeviceFrames(pages, binding), binding);
    std::vector<FrameNumber> bounced;
    for (PageCount i = 0; i < pages.count(); ++i) {
      if (binding.bounce[i] != kNoFrame) bounced.push_back(binding.bounce[i]);
    }
    machine().bounce_pool().Free(bounced);
    return {};
  }

  // Where only some frames are out of reach, it depends on the frames.
  bool Reaches(const DmaPort& port) const override {
    if (port.domain().translated()) return DmaBinder::Reaches(port);
    const FramePool& pool = machine().bounce_pool();
    return !machine().config().swiotlb.forced ||
           (pool.frames() != 0 && pool.end_frame() - 1 <= port.highest_frame());
  }

  void DoSync(Pages& pages, DmaBinding& binding, PageRange range,
              Sync direction) override {
    if (binding.bounce == nullptr) {
      DmaBinder::DoSync(pages, binding, range, direction);
      return;
    }
    for (PageCount i = range.first; i < range.first + range.count; ++i) {
      if (binding.bounce[i] == kNoFrame) {
        DmaBinder::DoSync(pages, binding, PageRange{i, 1}, direction);
      } else {
        Bounce(pages.frames()[i], binding.bounce[i], direction);
      }
    }
  }

  void Bounce(FrameNumber frame, FrameNumber bounce, Sync direction) {
    PhysicalMemory& memory = machine().memory();
    if (memory.backed()) {
      const bool for_device = direction == Sync::kForDevice;
      std::memcpy(memory.CpuBytes(for_device ? bounce : frame),
                  memory.CpuBytes(for_device ? frame : bounce), kPageSize);
    }
    machine().clock().Charge(
        TransferNs(kPageSize, machine().cost().bounce_mib_per_s));
    stats().bounced_bytes.fetch_add(kPageSize, std::memory_order_relaxed);
  }

  bool DoHolds(BindOutcome::Scarce scarce,
               const DmaBinding& binding) const override {
    return scarce != BindOutcome::Scarce::kUnit || binding.bounce != nullptr;
  }

  Shortage DoDescribe(PageCount pages, const DmaPort&,
                      BindOutcome::Scarce) const override {
    return machine().bounce_pool().Describe(pages);
  }
};

}  // namespace

std::unique_ptr<DmaBinder> MakeDynamicBinder(
    Machine& machine, std::unique_ptr<EvictionPolicy> policy) {
  return std::make_unique<DynamicBinder>(machine, std::move(policy));
}

}  // namespace twostep
