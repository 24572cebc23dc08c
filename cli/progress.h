#ifndef CLI_PROGRESS_H_
#define CLI_PROGRESS_H_

// A progress bar on standard error, where that is a terminal; silent elsewhere.

#include <chrono>
#include <string>

namespace twostep {

class Progress {
 public:
  explicit Progress(bool quiet);

  // `part` of the work `what` is done, 0 to 1. Cheap: draws a few times a
  // second.
  void Show(double part, const std::string& what);
  void Clear();

 private:
  const bool shown_;
  bool drawn_ = false;
  std::chrono::steady_clock::time_point next_;
};

}  // namespace twostep

#endif  // CLI_PROGRESS_H_
