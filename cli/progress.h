#ifndef CLI_PROGRESS_H_
#define CLI_PROGRESS_H_

// A progress bar on standard error, where that is a terminal; silent elsewhere.

#include <chrono>
#include <string>

namespace twostep {

class Progress {
 public:
  Progress(std::string what, bool quiet);

  // `part` of the work is done, 0 to 1. Cheap: draws a few times a second.
  void Show(double part);
  void Clear();

 private:
  const std::string what_;
  const bool shown_;
  bool drawn_ = false;
  std::chrono::steady_clock::time_point next_;
};

}  // namespace twostep

#endif  // CLI_PROGRESS_H_
