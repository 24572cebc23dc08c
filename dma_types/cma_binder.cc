#include <numeric>
#include <utility>

#include "twostep/dma_types/binders.h"
#include "twostep/dma_types/own_memory_binder.h"

namespace twostep {
namespace {

class CmaBinder final : public OwnMemoryBinder {
 public:
  CmaBinder(Machine& machine, std::unique_ptr<EvictionPolicy> policy)
      : OwnMemoryBinder("cma", machine, std::move(policy)) {}

  uint64_t unit_bytes() const override { return machine().config().cma_bytes; }

 private:
  CmaArea& area() const { return machine().cma(); }
  Shortage::Kind TakeFrames(std::span<FrameNumber> frames,
                            DmaBinding* binding) override {
    const Shortage::Kind kind = area().Allocate(
        static_cast<PageCount>(frames.size()), &binding->storage);
    if (kind == Shortage::Kind::kNone) {
      std::iota(frames.begin(), frames.end(),
                static_cast<FrameNumber>(binding->storage.start));
    }
    return kind;
  }
  void ReturnFrames(std::span<const FrameNumber>,
                    const DmaBinding& binding) override {
    area().Free(binding.storage);
  }
  FrameNumber highest_own_frame() const override {
    return area().frames() == 0 ? kNoFrame : area().end_frame() - 1;
  }
  bool Contiguous(const DmaPort&) const override { return true; }
  Shortage DoDescribe(PageCount pages, const DmaPort&,
                      BindOutcome::Scarce) const override {
    return area().Describe(pages);
  }
  bool DoWithSpace(BindOutcome::Scarce scarce, PageCount pages, DmaPort& port,
                   absl::FunctionRef<void(RangeAllocator&, const SpaceRequest&)>
                       use) override {
    if (scarce != BindOutcome::Scarce::kUnit) {
      return DmaBinder::DoWithSpace(scarce, pages, port, use);
    }
    SpinLockHolder hold(area().space_lock());
    use(area().space(), CmaArea::RequestFor(pages));
    return true;
  }
};

}  // namespace

std::unique_ptr<DmaBinder> MakeCmaBinder(
    Machine& machine, std::unique_ptr<EvictionPolicy> policy) {
  return std::make_unique<CmaBinder>(machine, std::move(policy));
}

}  // namespace twostep
