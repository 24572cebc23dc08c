#ifndef STRESS_FLAKY_DRIVER_H_
#define STRESS_FLAKY_DRIVER_H_

// A driver in which one thing fails, when told to, at the points that the
// public interface lets a driver reach. One thread submits.

#include <vector>

#include "absl/status/statusor.h"
#include "twostep/dma_types/dma_binder.h"
#include "twostep/stress/small_world.h"

namespace twostep {

enum class Fault {
  kCopy,       // a copy of contents ends with an error
  kBind,       // the driver's own DMA type refuses a bo
  kFrames,     // amid a move the host takes all frames that are free
  kInterrupt,  // amid a move waits are interrupted
  kHeld,       // a bo is reserved by somebody else
  kRing,       // the ring of a job hangs, and is reset
};
inline constexpr Fault kFaults[] = {Fault::kCopy,   Fault::kBind,
                                    Fault::kFrames, Fault::kInterrupt,
                                    Fault::kHeld,   Fault::kRing};
const char* NameOf(Fault fault);

class FlakyDriver final : public TwoTierDriver {
 public:
  using TwoTierDriver::TwoTierDriver;

  // A DMA type that binds frames where they are.
  absl::StatusOr<DmaType> RegisterType(Host& host, Device& device);
  // The n-th point of that kind, counted from 1 and from now on, is where it
  // fails. For kHeld and kRing nothing: whoever submits sees to those.
  void Arm(Fault fault, uint64_t n, Machine* machine);
  bool reached() const { return reached_; }
  Interrupt* interrupt() { return &interrupt_; }
  // What failed works again.
  void Repair();

  absl::StatusOr<Fence> Copy(CopyEngine& engine, CopyJob job,
                             absl::Span<const Fence> dependencies) override;
  void Notify(const BufferObject& bo, BoEvent event) override;

 private:
  class OwnBinder;
  // Whether this is the point.
  bool Now(Fault fault);

  Machine* machine_ = nullptr;
  Fault fault_ = Fault::kCopy;
  uint64_t left_ = 0;  // 0: not armed, or over
  bool reached_ = false;
  std::vector<FrameNumber> taken_;
  Interrupt interrupt_;
};

}  // namespace twostep

#endif  // STRESS_FLAKY_DRIVER_H_
