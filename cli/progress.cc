#include "twostep/cli/progress.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "twostep/cli/terminal_text.h"

namespace twostep {
namespace {

constexpr int kBarCells = 40;
constexpr auto kBetweenDraws = std::chrono::milliseconds(100);

}  // namespace

Progress::Progress(bool quiet, std::FILE* to,
                   std::chrono::milliseconds between_lines)
    : to_(to),
      quiet_(quiet),
      bar_(isatty(fileno(to)) != 0),
      between_(bar_ ? kBetweenDraws : between_lines),
      next_(std::chrono::steady_clock::now() + between_) {}

void Progress::Show(double part, const std::string& what) {
  if (quiet_) return;
  const auto now = std::chrono::steady_clock::now();
  if (now < next_) return;
  next_ = now + between_;
  part = std::clamp(part, 0.0, 1.0);
  const std::string shown = ForTerminal(what);
  if (bar_) {
    drawn_ = true;
    const int cells = static_cast<int>(part * kBarCells);
    std::fprintf(
        to_, "\r\033[K[%s%s] %3.0f %%  %s", std::string(cells, '#').c_str(),
        std::string(kBarCells - cells, '.').c_str(), part * 100, shown.c_str());
  } else {
    std::fprintf(to_, "%3.0f %%  %s\n", part * 100, shown.c_str());
  }
  std::fflush(to_);
}

void Progress::Clear() {
  if (drawn_) std::fprintf(to_, "\r\033[K");
}

}  // namespace twostep
