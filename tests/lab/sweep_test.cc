#include "twostep/lab/sweep.h"

#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/trace/trace_writer.h"
#include "twostep/cli/sweep_report.h"

namespace twostep {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Mode = SweepOptions::Mode;

std::string Trace(const std::string& name, uint64_t seed) {
  TraceWriterOptions options;
  options.seed = seed;
  options.records = 1200;
  options.live_bos = 60;
  options.max_bo_bytes = 256 * kKiB;
  options.reads_percent = 3;
  return WriteTempFile(name, WriteTraceToString(options));
}

SweepOptions Options() {
  SweepOptions options;
  options.traces = {Trace("a.botrace", 1), Trace("b.botrace", 2)};
  options.evictions = {"lru", "fifo"};
  options.placements = {"ttm-like", "costed"};
  options.capacities = {Capacity{.text = "40%", .percent = 40},
                        Capacity{.text = "8 MiB", .bytes = 8 * kMiB}};
  return options;
}

SweepResult Swept(const SweepOptions& options) {
  auto result = RunSweep(options);
  EXPECT_TRUE(result.ok()) << result.status();
  // All that depends on the machine underneath.
  for (SweepRow& row : result->rows) row.records_per_second = 1;
  return *std::move(result);
}

TEST(Sweep, RunsEveryCellInOrderWithBeladyAmongThem) {
  const SweepResult result = Swept(Options());
  ASSERT_EQ(result.rows.size(), 2 * 2 * 2 * 3);
  EXPECT_EQ(result.cells, 24);
  for (size_t i = 0; i < result.rows.size(); ++i) {
    const SweepRow& row = result.rows[i];
    EXPECT_EQ(row.cell, i);
    EXPECT_EQ(row.error, "");
    EXPECT_EQ(row.records, 1200);
    EXPECT_GT(row.requests, row.misses);
    EXPECT_EQ(row.rule_violations, 0) << i;
    EXPECT_TRUE(row.regret.has_value());
  }
  EXPECT_EQ(result.rows[0].eviction, "lru");
  EXPECT_EQ(result.rows[1].eviction, "fifo");
  EXPECT_EQ(result.rows[2].eviction, "belady");
  EXPECT_EQ(result.rows[3].capacity_bytes, 8 * kMiB);
  EXPECT_EQ(result.rows[6].placement, "costed");
  EXPECT_THAT(result.rows[12].trace, HasSubstr("b.botrace"));
  // Belady's own regret, and that foresight helps where bos are many and VRAM
  // is short.
  EXPECT_EQ(result.rows[2].regret, 0);
  EXPECT_GT(result.rows[0].regret, 0);
  EXPECT_GT(result.rows[0].bytes_moved, result.rows[2].bytes_moved);
}

TEST(Sweep, RepeatsBitForBitOnAnyNumberOfThreads) {
  SweepOptions options = Options();
  const std::string one = SweepJson(Swept(options)).dump();
  options.threads = 3;
  EXPECT_EQ(SweepJson(Swept(options)).dump(), one);
  EXPECT_EQ(SweepJson(Swept(options)).dump(), one);
}

TEST(Sweep, BeladyAskedForByNameIsNoSecondOne) {
  SweepOptions options = Options();
  options.traces.resize(1);
  options.evictions = {"belady", "lru"};
  const SweepResult result = Swept(options);
  EXPECT_EQ(result.cells, 8);
  EXPECT_EQ(result.rows[0].eviction, "belady");
}

TEST(Sweep, NothingIsMovedBelowTheBoundWhereEveryUseIsInVram) {
  SweepOptions options = Options();
  options.evictions = {"lru", "fifo", "mru"};
  options.placements = {"vram", "ttm-like"};
  int bounded = 0;
  for (const SweepRow& row : Swept(options).rows) {
    EXPECT_EQ(row.least_bytes.has_value(),
              row.error.empty() && row.bus_bytes == 0);
    if (!row.least_bytes.has_value()) continue;
    EXPECT_GE(row.bytes_moved, *row.least_bytes) << row.cell;
    EXPECT_GT(*row.least_bytes, 0);
    ++bounded;
  }
  EXPECT_GT(bounded, 8);
}

TEST(Sweep, ACellThatCannotRunSaysSoAndTheOthersRun) {
  SweepOptions options = Options();
  options.placements = {"vram"};
  options.capacities[0] = Capacity{.text = "64 KiB", .bytes = 64 * kKiB};
  const SweepResult result = Swept(options);
  for (const SweepRow& row : result.rows) {
    if (row.capacity == "64 KiB") {
      EXPECT_THAT(row.error, HasSubstr(".botrace:"));
      EXPECT_THAT(row.error, HasSubstr("vram"));
      EXPECT_FALSE(row.regret.has_value());
    } else {
      EXPECT_EQ(row.error, "");
    }
  }
  EXPECT_THAT(SweepTable(result), HasSubstr("did not run: "));
}

TEST(Sweep, BadInputIsAnErrorBeforeAnyCellRuns) {
  const auto message = [](const SweepOptions& options) {
    return std::string(RunSweep(options).status().message());
  };
  SweepOptions options = Options();
  options.evictions = {"best"};
  EXPECT_THAT(message(options), HasSubstr("--policies: "));
  options = Options();
  options.placements = {"best"};
  EXPECT_THAT(message(options), HasSubstr("--placement: "));
  options = Options();
  options.traces[1] = WriteTempFile("bad.botrace", "#botrace 1\ng 0 1\n");
  EXPECT_THAT(message(options), HasSubstr("bad.botrace:2:"));
}

class ShardedSweep : public testing::TestWithParam<Mode> {
 protected:
  static SweepOptions OptionsOfMode() {
    SweepOptions options = Options();
    options.mode = GetParam();
    return options;
  }
  static std::vector<SweepResult> Shards(uint32_t count) {
    std::vector<SweepResult> shards;
    for (uint32_t shard = 0; shard < count; ++shard) {
      SweepOptions options = OptionsOfMode();
      options.shard = shard;
      options.shards = count;
      SweepResult result = Swept(options);
      // As they come from files.
      auto parsed = ParseSweep(SweepJson(result).dump(2));
      EXPECT_TRUE(parsed.ok()) << parsed.status();
      shards.push_back(*std::move(parsed));
    }
    return shards;
  }
};

TEST_P(ShardedSweep, MergedIsWhatOneRunWouldHavePrinted) {
  const SweepResult whole = Swept(OptionsOfMode());
  for (const uint32_t count : {1u, 2u, 5u, 40u}) {
    std::vector<SweepResult> shards = Shards(count);
    std::swap(shards.front(), shards.back());
    size_t culprit = 0;
    const auto merged = MergeShards(std::move(shards), &culprit);
    ASSERT_TRUE(merged.ok()) << culprit << ": " << merged.status();
    EXPECT_EQ(SweepJson(*merged).dump(2), SweepJson(whole).dump(2));
    EXPECT_EQ(SweepCsv(*merged), SweepCsv(whole));
    EXPECT_EQ(SweepTable(*merged), SweepTable(whole));
  }
}

TEST_P(ShardedSweep, WhatDoesNotFitTogetherIsNamed) {
  const auto message = [](std::vector<SweepResult> shards, size_t culprit) {
    size_t found = ~size_t{0};
    const auto merged = MergeShards(std::move(shards), &found);
    EXPECT_FALSE(merged.ok());
    EXPECT_EQ(found, culprit);
    return std::string(merged.status().message());
  };
  const std::vector<SweepResult> shards = Shards(3);
  EXPECT_THAT(message({shards[0], shards[2]}, 0), HasSubstr("shard 1/3"));
  EXPECT_THAT(message({shards[0], shards[1], shards[1]}, 2),
              HasSubstr("which another has as well"));
  std::vector<SweepResult> wrong = shards;
  wrong[1].cells += 1;
  EXPECT_THAT(message(wrong, 1), HasSubstr("another sweep"));
  wrong = shards;
  wrong[2].rows[0].cell = 0;
  EXPECT_THAT(message(wrong, 2), HasSubstr("not of its shard"));
  wrong = shards;
  wrong[1].rows.pop_back();
  EXPECT_THAT(message(wrong, 0), HasSubstr("cut short"));
}

INSTANTIATE_TEST_SUITE_P(Modes, ShardedSweep,
                         testing::Values(Mode::kTwoStep, Mode::kCacheOnly),
                         [](const auto& info) {
                           return info.param == Mode::kTwoStep ? "TwoStep"
                                                               : "CacheOnly";
                         });

TEST(CacheOnlySweep, CountsRequestsAndMissesByHand) {
  // a b a c a, each a page, in two pages: lru evicts b for c.
  SweepOptions options;
  options.mode = Mode::kCacheOnly;
  options.traces = {WriteTempFile("hand.botrace",
                                  "#botrace 1\nc 1 4096 v\nc 2 4096 v\n"
                                  "c 3 4096 v\ng 0 1 2\ng 0 1 3\ng 0 1 2\n")};
  options.evictions = {"lru"};
  options.capacities = {Capacity{.text = "67%", .percent = 67}};
  const SweepResult result = Swept(options);
  ASSERT_EQ(result.rows.size(), 2);
  EXPECT_EQ(result.rows[0].capacity_bytes, 8232);
  EXPECT_EQ(result.rows[0].requests, 6);
  EXPECT_EQ(result.rows[0].misses, 4);
  EXPECT_EQ(result.rows[0].miss_bytes, 4 * 4096);
  EXPECT_EQ(result.rows[1].misses, 4);
  EXPECT_EQ(result.rows[1].least_bytes, 3 * 4096) << "c passes by";
  EXPECT_EQ(result.rows[0].regret, 0);
}

TEST(CacheOnlySweep, NoPolicyMissesLessThanTheBound) {
  SweepOptions options = Options();
  options.mode = Mode::kCacheOnly;
  options.evictions = {"lru", "fifo", "mru"};
  for (const SweepRow& row : Swept(options).rows) {
    ASSERT_TRUE(row.least_bytes.has_value());
    EXPECT_GE(row.miss_bytes, *row.least_bytes) << row.cell;
  }
}

TEST(SweepJson, WhatIsNoSweepIsRefusedWithTheRowAndTheKey) {
  const auto message = [](const std::string& json) {
    return std::string(ParseSweep(json).status().message());
  };
  SweepOptions options = Options();
  options.traces.resize(1);
  const auto good = SweepJson(Swept(options));
  EXPECT_TRUE(ParseSweep(good.dump()).ok());
  EXPECT_THAT(message(""), HasSubstr("rows"));
  EXPECT_THAT(message("{\"rows\": 3}"), HasSubstr("rows"));
  EXPECT_THAT(message(good.dump().substr(0, 300)), HasSubstr("no JSON"));
  auto bad = good;
  bad["rows"][2].erase("misses");
  EXPECT_THAT(message(bad.dump()), HasSubstr("row 2: 'misses'"));
  bad = good;
  bad["rows"][1]["stall_ns"] = -5;
  EXPECT_THAT(message(bad.dump()), HasSubstr("row 1: 'stall_ns'"));
  bad = good;
  bad["cells"] = uint64_t{1} << 60;
  EXPECT_THAT(message(bad.dump()), HasSubstr("cannot be"));
  bad = good;
  bad["mode"] = "dreamt";
  EXPECT_THAT(message(bad.dump()), HasSubstr("dreamt"));
}

TEST(SweepCsv, HasAColumnForEveryKeyAndQuotesWhatNeedsIt) {
  SweepResult result;
  result.rows.resize(1);
  result.rows[0].trace = "a,\"b\".botrace";
  result.rows[0].capacity = "25%";
  const std::string csv = SweepCsv(result);
  EXPECT_EQ(csv.find("cell,trace,placement,capacity,capacity_bytes,eviction,"),
            0);
  EXPECT_THAT(csv, HasSubstr("\n0,\"a,\"\"b\"\".botrace\",,25%,"));
}

}  // namespace
}  // namespace twostep
