#ifndef CLI_PLAY_GUARD_H_
#define CLI_PLAY_GUARD_H_

// Says which command repeats a play that does not come back: one that ends the
// process, by a failed check or a crash, and one that takes very long, which it
// ends.

#include <chrono>
#include <cstdio>
#include <string>

#include "absl/base/thread_annotations.h"
#include "twostep/machine/sync.h"

namespace twostep {

class PlayGuard {
 public:
  // Who waits longer than `patience` for one play is told on `to`, and after
  // kMostPatiences the process is ended by SIGABRT. One guard at a time.
  static constexpr int kMostPatiences = 6;
  explicit PlayGuard(
      std::FILE* to = stderr,
      std::chrono::milliseconds patience = std::chrono::minutes(5));
  ~PlayGuard();
  PlayGuard(const PlayGuard&) = delete;
  PlayGuard& operator=(const PlayGuard&) = delete;

  // What begins now is repeated by that command.
  void Playing(const std::string& repeat);

 private:
  void Watch();

  std::FILE* const to_;
  const std::chrono::milliseconds patience_;
  Mutex mutex_;
  CondVar changed_;
  std::string repeat_ ABSL_GUARDED_BY(mutex_);
  std::chrono::steady_clock::time_point began_ ABSL_GUARDED_BY(mutex_);
  int told_ ABSL_GUARDED_BY(mutex_) = 0;  // of this play
  bool over_ ABSL_GUARDED_BY(mutex_) = false;
  Thread thread_;
};

}  // namespace twostep

#endif  // CLI_PLAY_GUARD_H_
