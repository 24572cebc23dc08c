// The default against LRU on made-up programs, through both steps: what a
// submission uses cannot make room for itself, and not all of it may fit.

#include <algorithm>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tests/trace/trace_writer.h"
#include "twostep/lab/sweep.h"

namespace twostep {
namespace {

using Bos = std::vector<int>;

// A trace whose frames end with a wait, of bos of these sizes.
class Program {
 public:
  explicit Program(const std::vector<uint64_t>& bytes) {
    for (const uint64_t size : bytes) {
      ++bos_;
      absl::StrAppend(&text_, "c ", bos_, " ", size, " t\nw ", bos_, " 0 ",
                      size, "\n");
    }
    absl::StrAppend(&text_, "c ", bos_ + 1, " 4096 o\n");
  }
  // Bos count from 0.
  void Submit(const Bos& bos) {
    absl::StrAppend(&text_, "g 1");
    for (const int bo : bos) absl::StrAppend(&text_, " ", bo + 1);
    absl::StrAppend(&text_, "\n");
  }
  void EndFrame() {
    absl::StrAppend(&text_, "g 1 ", bos_ + 1, "*\nf\nr ", bos_ + 1, " 0 4\n");
  }
  // Bytes moved by lru, adaptive and belady.
  std::vector<double> Moved(const std::string& name, double percent) const {
    SweepOptions options;
    options.traces = {WriteTempFile(name, text_)};
    options.evictions = {"lru", "adaptive"};
    options.placements = {"ttm-like"};
    options.capacities = {
        Capacity{.text = absl::StrCat(percent, "%"), .percent = percent}};
    const auto result = RunSweep(options);
    EXPECT_TRUE(result.ok()) << result.status();
    std::vector<double> moved;
    for (const SweepRow& row : result->rows) {
      EXPECT_EQ(row.error, "");
      moved.push_back(static_cast<double>(row.bytes_moved));
    }
    return moved;
  }

 private:
  std::string text_ = "#botrace 1\n";
  int bos_ = 0;
};

TEST(AdaptiveReplay, ACycleOfSubmissionsCostsAsWithForesight) {
  Program program(std::vector<uint64_t>(96, 128 * 1024));
  for (int frame = 0; frame < 60; ++frame) {
    for (int first = 0; first < 96; first += 8) {
      Bos bos(8);
      std::iota(bos.begin(), bos.end(), first);
      program.Submit(bos);
    }
    program.EndFrame();
  }
  const std::vector<double> moved = program.Moved("cycle", 75);
  EXPECT_LE(moved[1], 1.1 * moved[2]);
  EXPECT_GE(moved[0], 3 * moved[2]);
}

// As xe_evict scans: 448 uses, of which LRU finds none in place.
TEST(AdaptiveReplay, AShortCyclicScanCostsAsWithForesight) {
  Program program(std::vector<uint64_t>(64, 128 * 1024));
  for (int round = 0; round < 7; ++round) {
    for (int bo = 0; bo < 64; ++bo) program.Submit({bo});
    program.EndFrame();
  }
  for (const int percent : {25, 50, 75}) {
    const std::vector<double> moved = program.Moved("scan", percent);
    EXPECT_LE(moved[1], 1.1 * moved[2]) << percent;
  }
}

TEST(AdaptiveReplay, LargeSubmissionsDrawnAnewCostNoMoreThanWithLru) {
  std::mt19937 random(21);
  std::vector<uint64_t> bytes(120);
  for (uint64_t& size : bytes) size = (64 * 1024) << random() % 3;
  Program program(bytes);
  for (int frame = 0; frame < 250; ++frame) {
    for (const int first : {0, 60}) {
      Bos bos(60);
      std::iota(bos.begin(), bos.end(), first);
      std::shuffle(bos.begin(), bos.end(), random);
      bos.resize(45);
      program.Submit(bos);
    }
    program.EndFrame();
  }
  for (const int percent : {50, 75}) {
    const std::vector<double> moved = program.Moved("drawn", percent);
    EXPECT_LE(moved[1], 1.02 * moved[0]) << percent;
  }
}

}  // namespace
}  // namespace twostep
