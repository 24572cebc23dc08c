#ifndef CLI_LIVE_FRAME_H_
#define CLI_LIVE_FRAME_H_

// What a live view shows, as plain values, and how that fits a terminal.

#include <cstdint>
#include <string>
#include <vector>

namespace twostep {

// A memory type, or a DMA type by its unit.
struct LiveGauge {
  std::string name;
  uint64_t used_bytes = 0;
  uint64_t bytes = 0;  // that there are; 0: not known
  uint64_t evictions = 0;
};

struct LiveStall {
  uint64_t ns = 0;
  uint32_t submission = 0;
};

struct LiveState {
  std::string run;
  double part = 0;  // of all work, 0 to 1
  double seconds = 0;
  uint64_t frames = 0;
  uint64_t submissions = 0;
  uint64_t failures = 0;
  uint64_t moved_bytes = 0;
  // By real time.
  double submissions_per_s = 0;
  double evictions_per_s = 0;
  double moved_bytes_per_s = 0;
  std::vector<LiveGauge> memory;
  std::vector<LiveGauge> dma;
  std::vector<LiveStall> stalls;  // the worst first
};

// At most `rows` lines of at most `columns` letters, the most important ones
// where not all fit. ASCII only.
std::vector<std::string> LiveLines(const LiveState& state, size_t columns,
                                   size_t rows);

// The same in one line of whatever length.
std::string LiveLine(const LiveState& state);

}  // namespace twostep

#endif  // CLI_LIVE_FRAME_H_
