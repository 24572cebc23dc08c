#ifndef CLI_PROGRESS_H_
#define CLI_PROGRESS_H_

// How far long work is: a bar where that goes to a terminal, elsewhere a line a
// minute.

#include <chrono>
#include <cstdio>
#include <string>

namespace twostep {

class Progress {
 public:
  // Says nothing at all when `quiet`.
  explicit Progress(
      bool quiet, std::FILE* to = stderr,
      std::chrono::milliseconds between_lines = std::chrono::minutes(1));

  // `part` of the work `what` is done, 0 to 1. Cheap: draws a few times a
  // second.
  void Show(double part, const std::string& what);
  void Clear();

 private:
  std::FILE* const to_;
  const bool quiet_;
  const bool bar_;
  const std::chrono::milliseconds between_;
  bool drawn_ = false;
  std::chrono::steady_clock::time_point next_;
};

}  // namespace twostep

#endif  // CLI_PROGRESS_H_
