#include "twostep/stress/disturber.h"

#include <utility>

#include "twostep/bo/error.h"

namespace twostep {
namespace {

// Between two disturbances, in microseconds: most submissions end meanwhile.
constexpr uint64_t kPauseUs = 200;

}  // namespace

const char* NameOf(Mode mode) {
  switch (mode) {
    case Mode::kNormal:
      return "normal";
    case Mode::kInterruptible:
      return "interruptible";
    case Mode::kHang:
      return "hang";
  }
  return "?";
}

Disturber::Disturber(World& world, Mode mode, int threads)
    : world_(world), mode_(mode), interrupts_(static_cast<size_t>(threads)) {
  if (mode_ != Mode::kNormal) {
    thread_.emplace([this] { Disturb(); });
  }
}

Disturber::~Disturber() {
  stop_.store(true);
  thread_.reset();
  Reset();
}

bool Disturber::Submit(Submission submission, int thread,
                       std::mt19937_64* random) {
  return world_.Expect(TrySubmit(std::move(submission), thread, random),
                       "a submission");
}

absl::Status Disturber::TrySubmit(Submission submission, int thread,
                                  std::mt19937_64* random) {
  if (mode_ == Mode::kHang && (*random)() % 16 == 0) {
    Hang(submission.uses[(*random)() % submission.uses.size()].bo);
  }
  if (mode_ != Mode::kInterruptible) return world_.Submit(submission);
  Interrupt& interrupt = interrupts_[static_cast<size_t>(thread)];
  submission.wait.interrupt = &interrupt;
  for (;;) {
    const absl::Status status = world_.Submit(submission);
    if (KindOf(status) != ErrorKind::kInterrupted) return status;
    interrupt.Clear();
  }
}

void Disturber::Hang(KnownBo* bo) {
  Timeline& ring = world_.machine().NewTimeline("hung ring");
  bo->bo->Reserve();
  bo->bo->fences().Add(ring.Emit(world_.machine().clock().now_ns()),
                       FenceUse::kRead);
  bo->bo->Unreserve();
  MutexLock lock(mutex_);
  hung_.push_back(&ring);
}

void Disturber::Disturb() {
  while (!stop_.load()) {
    YieldFor(kPauseUs);
    Reset();
    if (mode_ != Mode::kInterruptible) continue;
    for (Interrupt& interrupt : interrupts_) interrupt.Raise();
  }
}

void Disturber::Reset() {
  std::vector<Timeline*> hung;
  {
    MutexLock lock(mutex_);
    hung.swap(hung_);
  }
  for (Timeline* ring : hung) {
    ring->Fail(absl::UnavailableError("the ring hung, and was reset"));
  }
}

}  // namespace twostep
