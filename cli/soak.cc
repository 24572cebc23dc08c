#include "twostep/cli/soak.h"

#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "twostep/cli/figures.h"

namespace twostep {
namespace {

// Without what the allocator merely keeps.
uint64_t ResidentBytes() {
  malloc_trim(0);
  // Pages: all that is mapped, then what is resident (proc(5)).
  std::ifstream file("/proc/self/statm");
  uint64_t mapped = 0;
  uint64_t resident = 0;
  file >> mapped >> resident;
  return resident * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

uint64_t MedianOf(absl::Span<const uint64_t> figures) {
  std::vector<uint64_t> sorted(figures.begin(), figures.end());
  const auto middle =
      sorted.begin() + static_cast<ptrdiff_t>(sorted.size() / 2);
  std::nth_element(sorted.begin(), middle, sorted.end());
  return *middle;
}

// Of the first and of the last third of all rounds but the first; 0 and 0 where
// there are too few.
std::pair<uint64_t, uint64_t> MediansOfThirds(
    absl::Span<const uint64_t> rounds) {
  if (rounds.size() < Soak::kRoundsForMedians) return {0, 0};
  rounds.remove_prefix(1);
  const size_t third = rounds.size() / 3;
  return {MedianOf(rounds.first(third)), MedianOf(rounds.last(third))};
}

}  // namespace

Soak::Soak(double seconds) : seconds_(seconds) {}

double Soak::Part() const {
  const std::chrono::duration<double> passed =
      std::chrono::steady_clock::now() - started_;
  return seconds_ == 0 ? 0 : std::min(1.0, passed.count() / seconds_);
}

bool Soak::GoesOn() {
  if (seconds_ == 0) return false;
  resident_.push_back(ResidentBytes());
  return resident_.size() < 2 || Part() < 1;
}

bool Soak::Grew(absl::Span<const uint64_t> resident_bytes) {
  if (resident_bytes.empty()) return false;
  if (resident_bytes.back() > resident_bytes.front() + kMostGrowthBytes) {
    return true;
  }
  const auto [first, last] = MediansOfThirds(resident_bytes);
  return last > first + kMostMedianGrowthBytes;
}

std::string Soak::Text() const {
  if (resident_.empty()) return "";
  const auto [least, most] =
      std::minmax_element(resident_.begin() + 1, resident_.end());
  std::string medians;
  if (resident_.size() >= kRoundsForMedians) {
    const auto [first, last] = MediansOfThirds(resident_);
    medians = absl::StrCat("; medians of their first and last third ",
                           BytesFigure(first), " and ", BytesFigure(last));
  }
  return absl::StrCat(
      grew() ? "WRONG" : "clean", "  memory: ", BytesFigure(resident_.front()),
      " resident after the first of ", resident_.size(), " rounds, ",
      BytesFigure(*least), " to ", BytesFigure(*most), " after the others, ",
      BytesFigure(resident_.back()), " in the end", medians, "\n");
}

}  // namespace twostep
