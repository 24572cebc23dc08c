#include <algorithm>
#include <utility>
#include <vector>

#include "twostep/dma_types/binders.h"

namespace twostep {
namespace {

class NoneBinder final : public DmaBinder {
 public:
  NoneBinder(Machine& machine, std::unique_ptr<EvictionPolicy> policy)
      : DmaBinder("none", machine, Sharing::kSharedIfCoherent, CanRunOut::kNo,
                  std::move(policy)) {}

 private:
  BindOutcome DoBind(Pages& pages, DmaPort& port, Contents contents,
                     DmaBinding* binding) override {
    const Shortage::Kind kind =
        TakeOrdinaryFrames(pages, port.highest_frame(), contents);
    if (kind != Shortage::Kind::kNone) {
      return {BindOutcome::Scarce::kHostFrames, kind};
    }
    BindOutcome outcome = ReplaceUnreachable(pages, port);
    if (!outcome.ok()) return outcome;
    // Physical addresses also where the domain translates: an identity mapping
    // beside its IOVA space.
    port.domain().MapDirect(pages.frames());
    binding->addressing = DmaBinding::Addressing::kFrames;
    return outcome;
  }

  // Copies frames beyond the device's mask to ones below it. Fails, with
  // nothing changed, when there are not enough of those.
  BindOutcome ReplaceUnreachable(Pages& pages, const DmaPort& port) {
    std::vector<FrameNumber> beyond;
    for (const FrameNumber frame : pages.frames()) {
      if (frame > port.highest_frame()) beyond.push_back(frame);
    }
    if (beyond.empty()) return {};
    std::vector<FrameNumber> within(beyond.size());
    PhysicalMemory& memory = machine().memory();
    if (memory.Allocate(within, port.highest_frame(),
                        PhysicalMemory::Zero::kNo) != Shortage::Kind::kNone) {
      return {BindOutcome::Scarce::kHostFrames, Shortage::Kind::kFull};
    }
    CopyFrames(beyond, within);
    auto next = within.begin();
    for (FrameNumber& frame : pages.frames()) {
      if (frame > port.highest_frame()) frame = *next++;
    }
    memory.Free(beyond);
    BindOutcome outcome;
    outcome.replaced_pages = static_cast<PageCount>(beyond.size());
    return outcome;
  }

  BindOutcome DoUnbind(Pages& pages, DmaBinding& binding, Contents) override {
    binding.port->domain().UnmapDirect(pages.frames());
    return {};
  }

  bool Reaches(const DmaPort&) const override { return true; }
  bool Contiguous(const DmaPort&) const override { return false; }
  // It has nothing of its own that could be short.
  Shortage DoDescribe(PageCount, const DmaPort&,
                      BindOutcome::Scarce) const override {
    return {};
  }
  FrameNumber HighestFrame(const DmaPort& port) const override {
    return port.highest_frame();
  }
};

}  // namespace

std::unique_ptr<DmaBinder> MakeNoneBinder(
    Machine& machine, std::unique_ptr<EvictionPolicy> policy) {
  return std::make_unique<NoneBinder>(machine, std::move(policy));
}

}  // namespace twostep
