#ifndef MACHINE_COPY_ENGINE_H_
#define MACHINE_COPY_ENGINE_H_

// Copies pages between video memory, memory a device is bound to, and plain
// frames: asynchronously, in order, behind fences. Reaches bound memory as the
// device does, by DMA address through its port, and plain frames as the CPU
// does. Knows pages, not bos.

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "twostep/machine/device_memory.h"
#include "twostep/machine/device_queue.h"
#include "twostep/machine/dma_port.h"
#include "twostep/machine/machine_config.h"
#include "twostep/machine/timeline.h"

namespace twostep {

// One side of a copy: a list of pages in order.
struct CopySide {
  enum class Kind : uint8_t {
    kZero,    // source only: zero bytes
    kFrames,  // frame numbers, the CPU's view
    kDma,     // DMA addresses >> kPageShift, the device's view
    kVram,    // pages of `vram`
  };
  Kind kind = Kind::kZero;
  Vram* vram = nullptr;
  std::vector<uint64_t> pages;  // may stay empty unless CopyEngine::executes()
};

struct CopyJob {
  CopySide from;
  CopySide to;
  PageCount pages = 0;
};

class CopyEngine {
 public:
  // Everything must outlive it.
  CopyEngine(Timeline& timeline, Clock& clock, const CostModel& cost,
             PhysicalMemory& memory, DmaPort& port);

  // Whether jobs move real bytes, and so need their page lists.
  bool executes() const {
    return queue_.execution() == DeviceQueue::Execution::kThread;
  }
  // Copies after `dependencies`; the fence signals when all bytes are there. A
  // page that the port refuses is left as it was, and recorded there. kInternal
  // when the engine refuses the job: nothing is copied.
  absl::StatusOr<Fence> Copy(CopyJob job, absl::Span<const Fence> dependencies);
  // Of the last copy: those before it end earlier.
  Fence last() const { return queue_.last(); }
  // The device is gone. What was not begun is not copied: where it would have
  // gone to host memory there are zeros, never the bytes of others. All fences
  // that are pending, and later ones, signal with `error`.
  void Fail(const absl::Status& error);

 private:
  std::byte* At(const CopySide& side, PageCount index, Access access);
  void Execute(const CopyJob& job);

  const CostModel& cost_;
  PhysicalMemory& memory_;
  DmaPort& port_;
  DeviceQueue queue_;
};

}  // namespace twostep

#endif  // MACHINE_COPY_ENGINE_H_
