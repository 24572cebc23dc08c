// What docs/policies.md promises of the defaults, on the bundled traces. The
// ratios are of simulated figures, which repeat exactly.

#include <map>
#include <string>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "twostep/lab/sweep.h"

namespace twostep {
namespace {

class Promises : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    SweepOptions options;
    options.traces = {"examples/traces/glmark2.botrace",
                      "examples/traces/neverball.botrace.zst"};
    options.evictions = {"lru", "adaptive"};
    options.placements = {"ttm-like", "costed"};
    for (const double percent : {25, 50, 75}) {
      options.capacities.push_back(
          Capacity{.text = absl::StrCat(percent, "%"), .percent = percent});
    }
    options.threads = 2;
    auto swept = RunSweep(options);
    ASSERT_TRUE(swept.ok()) << swept.status();
    result_ = new SweepResult(*std::move(swept));
  }
  static void TearDownTestSuite() { delete result_; }

  // By trace and capacity: the cell of each.
  static std::map<std::string, const SweepRow*> Cells(
      const std::string& placement, const std::string& eviction) {
    std::map<std::string, const SweepRow*> cells;
    for (const SweepRow& row : result_->rows) {
      if (row.placement != placement || row.eviction != eviction) continue;
      EXPECT_EQ(row.error, "");
      cells[absl::StrCat(row.trace, " ", row.capacity)] = &row;
    }
    EXPECT_EQ(cells.size(), 6);
    return cells;
  }
  static double Moved(const SweepRow* row) {
    return static_cast<double>(row->bytes_moved);
  }
  static double Stalled(const SweepRow* row) {
    return static_cast<double>(row->stall_ns);
  }

  static SweepResult* result_;
};

SweepResult* Promises::result_ = nullptr;

TEST_F(Promises, AdaptiveMovesLittleMoreThanForesightAndNeverMuchMoreThanLru) {
  const auto lru = Cells("ttm-like", "lru");
  const auto belady = Cells("ttm-like", kBelady);
  double sum = 0;
  for (const auto& [cell, row] : Cells("ttm-like", "adaptive")) {
    const double regret = Moved(row) / Moved(belady.at(cell));
    EXPECT_LE(regret, 1.25) << cell;
    EXPECT_LE(Moved(row) / Moved(lru.at(cell)), 1.02) << cell;
    sum += regret;
  }
  EXPECT_LE(sum / 6, 1.05);
}

// It thrashes where lru moves much more than foresight would.
TEST_F(Promises, WithCostedSubmissionsWaitAThirdWhereLruThrashes) {
  int thrashing = 0;
  const auto belady = Cells("ttm-like", kBelady);
  const auto adaptive = Cells("ttm-like", "adaptive");
  const auto costed = Cells("costed", "adaptive");
  for (const auto& [cell, lru] : Cells("ttm-like", "lru")) {
    if (Moved(lru) < 1.05 * Moved(belady.at(cell))) continue;
    ++thrashing;
    EXPECT_LE(Stalled(costed.at(cell)), Stalled(lru) / 3) << cell;
    EXPECT_LE(Stalled(costed.at(cell)), Stalled(adaptive.at(cell)) / 3) << cell;
  }
  EXPECT_GE(thrashing, 3);
}

}  // namespace
}  // namespace twostep
