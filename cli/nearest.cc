#include "twostep/cli/nearest.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace twostep {
namespace {

constexpr size_t kMostNames = 3;
// Of the beginning of a name, for that to be enough.
constexpr size_t kFewestLetters = 3;
// Nobody misspells a longer one, and the time goes with the square.
constexpr size_t kMostLetters = 100;

// How many letters to add, take away, change or swap with the next.
size_t Distance(absl::string_view a, absl::string_view b) {
  // Rows i - 2, i - 1 and i of the table.
  std::vector<size_t> before_last(b.size() + 1);
  std::vector<size_t> last(b.size() + 1);
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    std::swap(before_last, last);
    std::swap(last, row);
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t change = last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      row[j] = std::min({change, last[j] + 1, row[j - 1] + 1});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        row[j] = std::min(row[j], before_last[j - 2] + 1);
      }
    }
  }
  return row[b.size()];
}

}  // namespace

std::vector<std::string> NearestOf(absl::string_view name,
                                   const std::vector<std::string>& names) {
  name = name.substr(0, kMostLetters);
  std::vector<std::pair<size_t, std::string>> far;
  for (const std::string& one : names)
    far.emplace_back(Distance(name, one), one);
  std::sort(far.begin(), far.end());
  far.erase(std::unique(far.begin(), far.end()), far.end());
  std::vector<std::string> near;
  for (const auto& [distance, one] : far) {
    // A third of its letters may be wrong, or all behind the first few missing.
    const bool is_near =
        3 * distance <= std::max(name.size(), one.size()) ||
        (name.size() >= kFewestLetters && absl::StartsWith(one, name));
    if (near.size() < kMostNames && is_near) near.push_back(one);
  }
  return near;
}

std::string NearToIt(absl::string_view name,
                     const std::vector<std::string>& names) {
  const std::vector<std::string> near = NearestOf(name, names);
  if (near.empty()) return "";
  return absl::StrCat("; near to it: ", absl::StrJoin(near, ", "));
}

}  // namespace twostep
