#ifndef TESTS_BENCHMARK_FIGURES_H_
#define TESTS_BENCHMARK_FIGURES_H_

// What rows are compared with: the one place where the figures of others, and
// the goals, are written down. docs/performance.md shows this table as
// `twostep bench --list` prints it.

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace twostep {

inline constexpr double kNoGoal = -1;

enum class Better : uint8_t { kLess, kMore };

struct Figure {
  const char* row;   // a row's name, or `row:counter`
  const char* unit;  // "ns", "B", "x", ...
  Better better = Better::kLess;
  const char* peer = "";  // whose figure it is; "": there is none
  double peer_best = 0;
  double peer_median = 0;
  double goal = kNoGoal;  // of the median
};

struct FigureGroup {
  const char* name;
  const char* title;
  std::vector<Figure> figures;
};

const std::vector<FigureGroup>& FigureGroups();

// Null where nothing is written down.
const Figure* FigureOf(absl::string_view name);

}  // namespace twostep

#endif  // TESTS_BENCHMARK_FIGURES_H_
