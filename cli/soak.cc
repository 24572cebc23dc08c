#include "twostep/cli/soak.h"

#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>

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

bool Soak::grew() const {
  return !resident_.empty() &&
         resident_.back() > resident_.front() + kMostGrowthBytes;
}

std::string Soak::Text() const {
  if (resident_.empty()) return "";
  const auto [least, most] =
      std::minmax_element(resident_.begin() + 1, resident_.end());
  return absl::StrCat(
      grew() ? "WRONG" : "clean", "  memory: ", BytesFigure(resident_.front()),
      " resident after the first of ", resident_.size(), " rounds, ",
      BytesFigure(*least), " to ", BytesFigure(*most), " after the others, ",
      BytesFigure(resident_.back()), " in the end\n");
}

}  // namespace twostep
