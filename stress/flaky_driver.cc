#include "twostep/stress/flaky_driver.h"

#include <memory>
#include <utility>

namespace twostep {

const char* NameOf(Fault fault) {
  switch (fault) {
    case Fault::kCopy:
      return "copy";
    case Fault::kBind:
      return "bind";
    case Fault::kFrames:
      return "frames";
    case Fault::kInterrupt:
      return "interrupt";
    case Fault::kHeld:
      return "reservation";
    case Fault::kRing:
      return "ring";
  }
  return "?";
}

class FlakyDriver::OwnBinder final : public DmaBinder {
 public:
  OwnBinder(FlakyDriver* driver, Machine& machine,
            std::unique_ptr<EvictionPolicy> policy)
      : DmaBinder("own", machine, Sharing::kSharedIfCoherent, CanRunOut::kYes,
                  std::move(policy)),
        driver_(*driver) {}

 private:
  BindOutcome DoBind(Pages& pages, DmaPort& port, Contents contents,
                     DmaBinding* binding) override {
    if (driver_.Now(Fault::kBind)) {
      return {BindOutcome::Scarce::kRefused, Shortage::Kind::kNeverFits,
              "made to fail"};
    }
    const bool absent = !pages.present();
    const Shortage::Kind kind =
        TakeOrdinaryFrames(pages, port.highest_frame(), contents);
    if (kind != Shortage::Kind::kNone) {
      return {BindOutcome::Scarce::kHostFrames, kind};
    }
    const BindOutcome outcome = MapFrames(pages.frames(), port, binding);
    if (!outcome.ok() && absent) {
      pages.Release(machine().memory(), machine().swap());
    }
    return outcome;
  }
  BindOutcome DoUnbind(Pages& pages, DmaBinding& binding, Contents) override {
    UnmapFrames(pages.frames(), binding);
    return {};
  }
  Shortage DoDescribe(PageCount, const DmaPort&,
                      BindOutcome::Scarce) const override {
    return {};
  }

  FlakyDriver& driver_;
};

absl::StatusOr<DmaType> FlakyDriver::RegisterType(Host& host, Device& device) {
  return device.RegisterDmaType(
      std::make_unique<OwnBinder>(this, host.machine(), host.MakePolicy()));
}

void FlakyDriver::Arm(Fault fault, uint64_t n, Machine* machine) {
  fault_ = fault;
  left_ = n;
  machine_ = machine;
}

bool FlakyDriver::Now(Fault fault) {
  if (left_ == 0 || fault != fault_ || --left_ != 0) return false;
  reached_ = true;
  return true;
}

void FlakyDriver::Repair() {
  if (!taken_.empty()) machine_->memory().FreeFromHost(taken_);
  taken_.clear();
  interrupt_.Clear();
}

absl::StatusOr<Fence> FlakyDriver::Copy(CopyEngine& engine, CopyJob job,
                                        absl::Span<const Fence> dependencies) {
  if (Now(Fault::kCopy)) return absl::InternalError("made to fail");
  return TwoTierDriver::Copy(engine, std::move(job), dependencies);
}

void FlakyDriver::Notify(const BufferObject&, BoEvent) {
  if (Now(Fault::kInterrupt)) interrupt_.Raise();
  if (!Now(Fault::kFrames)) return;
  constexpr FrameNumber kAnywhere = kNoFrame - 1;
  PhysicalMemory& memory = machine_->memory();
  taken_.resize(memory.free_frames(kAnywhere));
  if (memory.AllocateForHost(taken_, kAnywhere) != Shortage::Kind::kNone) {
    taken_.clear();
  }
}

}  // namespace twostep
