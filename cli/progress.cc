#include "twostep/cli/progress.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>

namespace twostep {
namespace {

constexpr int kBarCells = 40;
constexpr auto kBetweenDraws = std::chrono::milliseconds(100);

}  // namespace

Progress::Progress(bool quiet)
    : shown_(!quiet && isatty(STDERR_FILENO) != 0),
      next_(std::chrono::steady_clock::now() + kBetweenDraws) {}

void Progress::Show(double part, const std::string& what) {
  if (!shown_) return;
  const auto now = std::chrono::steady_clock::now();
  if (now < next_) return;
  next_ = now + kBetweenDraws;
  drawn_ = true;
  part = std::clamp(part, 0.0, 1.0);
  const int cells = static_cast<int>(part * kBarCells);
  std::fprintf(
      stderr, "\r\033[K[%s%s] %3.0f %%  %s", std::string(cells, '#').c_str(),
      std::string(kBarCells - cells, '.').c_str(), part * 100, what.c_str());
  std::fflush(stderr);
}

void Progress::Clear() {
  if (drawn_) std::fprintf(stderr, "\r\033[K");
}

}  // namespace twostep
