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
    const bool absent = !pages.present();
    const Shortage::Kind kind =
        TakeOrdinaryFrames(pages, port.highest_frame(), contents);
    if (kind != Shortage::Kind::kNone) {
      return {BindOutcome::Scarce::kHostFrames, kind};
    }
    BindOutcome outcome = ReplaceUnreachable(pages, port);
    if (!outcome.ok()) {
      if (absent) pages.Release(machine().memory(), machine().swap());
      return outcome;
    }
    // Physical addresses also where the domain translates: an identity mapping
    // beside its IOVA space.
    port.domain().MapDirect(pages.frames());
    binding->addressing = DmaBinding::Addressing::kFrames;
    return outcome;
  }

  // Copies frames beyond the device's mask to ones below it. Fails, with
  // nothing changed, when there are not enough of those, or the frames lie
  // where the device could not use them: what is scattered stays so.
  BindOutcome ReplaceUnreachable(Pages& pages, const DmaPort& port) {
    std::vector<FrameNumber> beyond;
    for (const FrameNumber frame : pages.frames()) {
      if (frame > port.highest_frame()) beyond.push_back(frame);
    }
    if (beyond.empty()) {
      return port.CanUse(pages.frames()) ? BindOutcome{}
                                         : BindOutcome::TooManySegments();
    }
    std::vector<FrameNumber> within(beyond.size());
    PhysicalMemory& memory = machine().memory();
    if (memory.Allocate(within, port.highest_frame(),
                        PhysicalMemory::Zero::kNo) != Shortage::Kind::kNone) {
      return {BindOutcome::Scarce::kHostFrames, Shortage::Kind::kFull};
    }
    std::vector<FrameNumber> reachable(pages.frames().begin(),
                                       pages.frames().end());
    auto next = within.begin();
    for (FrameNumber& frame : reachable) {
      if (frame > port.highest_frame()) frame = *next++;
    }
    if (!port.CanUse(reachable)) {
      memory.Free(within);
      return BindOutcome::TooManySegments();
    }
    CopyFrames(beyond, within);
    std::copy(reachable.begin(), reachable.end(), pages.frames().begin());
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
