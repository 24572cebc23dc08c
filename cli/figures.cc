#include "twostep/cli/figures.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "twostep/machine/types.h"

namespace twostep {

std::string GroupedFigure(uint64_t number) {
  std::string text = absl::StrCat(number);
  for (int at = static_cast<int>(text.size()) - 3; at > 0; at -= 3) {
    text.insert(static_cast<size_t>(at), 1, ',');
  }
  return text;
}

std::string BytesFigure(uint64_t bytes) {
  if (bytes < 10 * kKiB) return absl::StrCat(bytes, " B");
  if (bytes < 10 * kMiB) {
    return absl::StrFormat("%.1f KiB", static_cast<double>(bytes) / kKiB);
  }
  return absl::StrFormat("%.1f MiB", static_cast<double>(bytes) / kMiB);
}

std::string DurationFigure(uint64_t ns) {
  if (ns < 10'000'000) return absl::StrFormat("%.1f us", ns / 1e3);
  if (ns < 10'000'000'000) return absl::StrFormat("%.1f ms", ns / 1e6);
  return absl::StrFormat("%.2f s", ns / 1e9);
}

}  // namespace twostep
