#ifndef DMA_TYPES_OWN_MEMORY_BINDER_H_
#define DMA_TYPES_OWN_MEMORY_BINDER_H_

// A DMA type with memory of its own that CPU and device see alike: binding
// moves the contents in, unbinding copies them back to ordinary frames. Derive
// and say where the frames come from.

#include "twostep/dma_types/dma_binder.h"

namespace twostep {

class OwnMemoryBinder : public DmaBinder {
 protected:
  OwnMemoryBinder(std::string name, Machine& machine,
                  std::unique_ptr<EvictionPolicy> policy);

 private:
  // Fills `frames`, or takes nothing; kNoFrames: for want of ordinary ones.
  // `binding` has its port, and room for what ReturnFrames needs to know.
  virtual Shortage::Kind TakeFrames(std::span<FrameNumber> frames,
                                    DmaBinding* binding) = 0;
  virtual void ReturnFrames(std::span<const FrameNumber> frames,
                            const DmaBinding& binding) = 0;
  // Where the highest frame that TakeFrames can give is on the bus; kNoFrame
  // where it has none.
  virtual FrameNumber highest_own_frame() const = 0;

  bool Reaches(const DmaPort& port) const final;
  BindOutcome DoBind(Pages& pages, DmaPort& port, Contents contents,
                     DmaBinding* binding) final;
  BindOutcome DoUnbind(Pages& pages, DmaBinding& binding,
                       Contents contents) final;
};

}  // namespace twostep

#endif  // DMA_TYPES_OWN_MEMORY_BINDER_H_
