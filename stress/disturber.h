#ifndef STRESS_DISTURBER_H_
#define STRESS_DISTURBER_H_

// What the suites do to those who submit: signals that end their waits, jobs
// that hang until the device is reset. Submissions go through it.
//
//   normal         as they are
//   interruptible  waits end early now and then; what was interrupted is called
//                  again
//   hang           some bos are read by a job that never ends, and whose ring
//                  is given up a moment later

#include <deque>
#include <optional>
#include <random>
#include <vector>

#include "twostep/stress/world.h"

namespace twostep {

enum class Mode { kNormal, kInterruptible, kHang };
inline constexpr Mode kModes[] = {Mode::kNormal, Mode::kInterruptible,
                                  Mode::kHang};
const char* NameOf(Mode mode);

class Disturber {
 public:
  // All must outlive it.
  Disturber(World& world, Mode mode, int threads);
  ~Disturber();
  Disturber(const Disturber&) = delete;
  Disturber& operator=(const Disturber&) = delete;

  // World::Submit, by thread `thread`, until it is not interrupted. A failure
  // of the world where that goes wrong otherwise; false then.
  bool Submit(Submission submission, int thread, std::mt19937_64* random);
  // The same for one that may fail.
  absl::Status TrySubmit(Submission submission, int thread,
                         std::mt19937_64* random);

 private:
  void Hang(KnownBo* bo);
  void Disturb();
  // Rings that hang are given up.
  void Reset();

  World& world_;
  const Mode mode_;
  std::deque<Interrupt> interrupts_;
  Atomic<bool> stop_{false};
  Mutex mutex_;
  std::vector<Timeline*> hung_ ABSL_GUARDED_BY(mutex_);
  std::optional<Thread> thread_;
};

}  // namespace twostep

#endif  // STRESS_DISTURBER_H_
