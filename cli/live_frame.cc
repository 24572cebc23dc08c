#include "twostep/cli/live_frame.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "twostep/cli/figures.h"

namespace twostep {
namespace {

constexpr size_t kNameLetters = 9;
constexpr size_t kMostBarCells = 30;
constexpr size_t kFewestBarCells = 5;
// From this width on there is room for evictions beside a bar.
constexpr size_t kWideColumns = 64;

std::string Percent(const LiveGauge& gauge) {
  if (gauge.bytes == 0) return BytesFigure(gauge.used_bytes);
  return absl::StrFormat("%3.0f %% of %s",
                         100.0 * static_cast<double>(gauge.used_bytes) /
                             static_cast<double>(gauge.bytes),
                         BytesFigure(gauge.bytes));
}

std::string GaugeLine(const LiveGauge& gauge, size_t columns) {
  std::string line = gauge.name.substr(0, kNameLetters);
  line.resize(kNameLetters + 1, ' ');
  const std::string used = absl::StrFormat("%-20s", Percent(gauge));
  std::string evictions;
  if (columns >= kWideColumns) {
    evictions = absl::StrCat(" ", GroupedFigure(gauge.evictions), " evicted");
  }
  const size_t taken = line.size() + used.size() + 3 +
                       (columns >= kWideColumns ? size_t{20} : 0);
  const size_t cells =
      std::min(columns - std::min(columns, taken), kMostBarCells);
  if (cells >= kFewestBarCells) {
    const double share =
        gauge.bytes == 0 ? 0
                         : std::min(1.0, static_cast<double>(gauge.used_bytes) /
                                             static_cast<double>(gauge.bytes));
    const auto full =
        static_cast<size_t>(share * static_cast<double>(cells) + 0.5);
    absl::StrAppend(&line, gauge.bytes == 0 ? " " : "[", std::string(full, '#'),
                    std::string(cells - full, gauge.bytes == 0 ? ' ' : '.'),
                    gauge.bytes == 0 ? "  " : "] ");
  }
  return absl::StrCat(line, used, evictions);
}

std::string Printable(std::string text) {
  for (char& c : text) {
    if (c < ' ' || c > '~') c = '?';
  }
  return text;
}

std::string PerSecond(double rate) {
  return GroupedFigure(static_cast<uint64_t>(rate + 0.5));
}

}  // namespace

std::vector<std::string> LiveLines(const LiveState& state, size_t columns,
                                   size_t rows) {
  std::vector<std::string> lines = {absl::StrFormat(
      "%3.0f %% %5.1f s  %s", state.part * 100, state.seconds, state.run)};
  std::vector<std::string> rates = {
      absl::StrCat(GroupedFigure(state.submissions), " submissions, ",
                   PerSecond(state.submissions_per_s), " a second"),
      absl::StrCat(BytesFigure(state.moved_bytes), " moved, ",
                   BytesFigure(static_cast<uint64_t>(state.moved_bytes_per_s)),
                   " a second"),
      absl::StrCat(PerSecond(state.evictions_per_s), " evictions a second")};
  if (state.frames != 0) {
    absl::StrAppend(&rates[0], ", ", GroupedFigure(state.frames), " frames");
  }
  if (state.failures != 0) {
    absl::StrAppend(&rates[2], ", ", GroupedFigure(state.failures),
                    " failures");
  }
  for (const LiveGauge& gauge : state.memory) {
    lines.push_back(GaugeLine(gauge, columns));
  }
  for (const LiveGauge& gauge : state.dma) {
    lines.push_back(GaugeLine(gauge, columns));
  }
  // Where room is short stalls go first, then DMA types, then memory types.
  const size_t left = rows - std::min(rows, rates.size());
  lines.resize(std::min(lines.size(), std::max<size_t>(left, 1)));
  lines.insert(lines.end(), rates.begin(), rates.end());
  for (const LiveStall& stall : state.stalls) {
    lines.push_back(absl::StrCat("stalled ", DurationFigure(stall.ns),
                                 ", submission ", stall.submission));
  }
  lines.resize(std::min(lines.size(), rows));
  for (std::string& line : lines) {
    line = Printable(line);
    line.resize(std::min(line.size(), columns));
  }
  return lines;
}

std::string LiveLine(const LiveState& state) {
  std::string line =
      absl::StrFormat("%3.0f %%  %s", state.part * 100, state.run);
  for (const LiveGauge& gauge : state.memory) {
    absl::StrAppend(&line, ", ", gauge.name, " ", Percent(gauge), " and ",
                    GroupedFigure(gauge.evictions), " evicted");
  }
  absl::StrAppend(&line, ", ", GroupedFigure(state.submissions),
                  " submissions, ", BytesFigure(state.moved_bytes), " moved");
  if (!state.stalls.empty()) {
    absl::StrAppend(&line, ", worst stall ",
                    DurationFigure(state.stalls.front().ns));
  }
  return Printable(line);
}

}  // namespace twostep
