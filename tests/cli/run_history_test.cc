// What a report keeps of a run: bins of samples, maps of address spaces.

#include <algorithm>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "twostep/cli/space_map.h"
#include "twostep/cli/time_bins.h"
#include "twostep/machine/range_allocator.h"

namespace twostep {
namespace {

using Json = nlohmann::ordered_json;

TimeBins GaugeAndCounter(size_t most_bins) {
  return TimeBins(
      {{.group = "memory", .name = "vram", .unit = "bytes", .capacity = 100},
       {.group = "moved", .name = "to", .unit = "bytes", .counter = true}},
      most_bins);
}

TEST(TimeBins, FewSamplesAreKeptAsTheyAre) {
  TimeBins bins = GaugeAndCounter(4);
  bins.Add(10, 0, {7, 1});
  bins.Add(20, 1, {3, 5});
  const Json json = bins.ToJson();
  EXPECT_EQ(json["samples"], 2);
  EXPECT_EQ(json["samples_per_bin"], 1);
  EXPECT_EQ(json["to_ns"], Json({10, 20}));
  EXPECT_EQ(json["frame"], Json({0, 1}));
  const Json& gauge = json["series"][0];
  EXPECT_EQ(gauge["capacity"], 100);
  EXPECT_EQ(gauge["last"], Json({7, 3}));
  EXPECT_FALSE(gauge.contains("min"));
  EXPECT_FALSE(json["series"][1].contains("capacity"));
}

TEST(TimeBins, NeighboursBecomeOneAndKeepTheirExtremes) {
  TimeBins bins = GaugeAndCounter(4);
  const uint64_t values[] = {5, 1, 9, 2, 4, 4, 8};
  for (uint64_t i = 0; i < 7; ++i) bins.Add(10 * i, i, {values[i], 100 * i});
  const Json json = bins.ToJson();
  EXPECT_EQ(json["samples"], 7);
  EXPECT_EQ(json["samples_per_bin"], 2);
  EXPECT_EQ(json["from_ns"], Json({0, 20, 40, 60}));
  EXPECT_EQ(json["to_ns"], Json({10, 30, 50, 60}));
  const Json& gauge = json["series"][0];
  EXPECT_EQ(gauge["min"], Json({1, 2, 4, 8}));
  EXPECT_EQ(gauge["max"], Json({5, 9, 4, 8}));
  EXPECT_EQ(gauge["last"], Json({1, 2, 4, 8}));
  EXPECT_EQ(json["series"][1]["last"], Json({100, 300, 500, 600}));
  EXPECT_FALSE(json["series"][1].contains("min"));
}

TEST(TimeBins, ManySamplesStayWithinBounds) {
  TimeBins bins = GaugeAndCounter(6);
  for (uint64_t i = 0; i < 1000; ++i) bins.Add(i, 0, {i == 777 ? 50u : 1u, i});
  const Json json = bins.ToJson();
  EXPECT_LE(json["to_ns"].size(), 6u);
  EXPECT_EQ(json["samples"], 1000);
  EXPECT_EQ(json["to_ns"].back(), 999);
  EXPECT_EQ(json["series"][1]["last"].back(), 999);
  const Json& most = json["series"][0]["max"];
  EXPECT_EQ(std::count(most.begin(), most.end(), 50), 1);
}

TEST(TimeBins, WhatComesLaterWasNothingBefore) {
  TimeBins bins = GaugeAndCounter(2);
  for (uint64_t i = 0; i < 3; ++i) bins.Add(i, 0, {1, 2});
  bins.Extend({.group = "memory", .name = "gpu1 vram", .unit = "bytes"});
  for (uint64_t i = 3; i < 5; ++i) bins.Add(i, 0, {1, 2, 7});
  const Json json = bins.ToJson();
  const Json& later = json["series"][2];
  EXPECT_EQ(later["name"], "gpu1 vram");
  EXPECT_EQ(json["samples_per_bin"], 4);
  EXPECT_EQ(later["last"], Json({7, 7}));
  EXPECT_EQ(later["min"], Json({0, 7}));
}

uint32_t Take(RangeAllocator& space, uint64_t size) {
  SpaceBlock block;
  EXPECT_EQ(space.Allocate({.size = size}, &block), Shortage::Kind::kNone);
  return block.node;
}

TEST(SpaceMap, SaysWhatIsUsedAndWhichHolesThereAre) {
  RangeAllocator space(1 << 20, 8);  // as IOVAs: not from 0 on
  Take(space, 2);
  const uint32_t hole = Take(space, 3);
  Take(space, 1);
  space.Free(hole);
  SpaceMap map("IOVAs", 8);
  map.Take(50, space);
  const Json json = map.ToJson();
  EXPECT_EQ(json["name"], "IOVAs");
  EXPECT_EQ(json["bytes"], 8 * 4096);
  EXPECT_EQ(json["rows"], 8);
  EXPECT_EQ(json["time_ns"], Json({50}));
  EXPECT_EQ(json["fill"], Json({"zz000z00"}));
  EXPECT_EQ(json["holes"], Json({2}));
  EXPECT_EQ(json["free_bytes"], Json({5 * 4096}));
  EXPECT_EQ(json["largest_hole_bytes"], Json({3 * 4096}));
}

TEST(SpaceMap, WhatIsPartlyUsedLooksLikeNeitherFreeNorFull) {
  RangeAllocator space(0, SpaceMap::kMostRows * 1000);
  Take(space, 1);
  SpaceMap map("tt", 8);
  map.Take(0, space);
  Take(space, 1998);
  map.Take(1, space);
  const Json fill = map.ToJson()["fill"];
  EXPECT_EQ(fill[0].get<std::string>().substr(0, 3), "100");
  EXPECT_EQ(fill[1].get<std::string>().substr(0, 3), "zy0");
}

TEST(SpaceMap, WhatCouldNotBeLookedAtHasNoFigures) {
  RangeAllocator space(0, 4);
  SpaceMap map("IOVAs", 8);
  map.Skip(1);
  EXPECT_FALSE(map.seen());
  map.Take(2, space);
  EXPECT_TRUE(map.seen());
  const Json json = map.ToJson();
  EXPECT_EQ(json["time_ns"], Json({1, 2}));
  EXPECT_EQ(json["fill"], Json({"", "0000"}));
  EXPECT_EQ(json["holes"], Json({nullptr, 1}));
  EXPECT_EQ(json["free_bytes"], Json({nullptr, 4 * 4096}));
}

TEST(SpaceMap, LongRunsKeepEveryOtherColumnFromTheFirstUpToTheLatest) {
  RangeAllocator space(0, 16);
  constexpr size_t kMost = 64;
  SpaceMap map("vram", kMost);
  uint64_t now = 0;
  for (int i = 0; i < 10'000; ++i, ++now) {
    if (map.Due()) map.Take(now, space);
  }
  const Json json = map.ToJson();
  const std::vector<uint64_t> times = json["time_ns"];
  EXPECT_LT(times.size(), kMost);
  EXPECT_GE(times.size(), kMost / 2 - 1);
  EXPECT_EQ(times.front(), 0u);
  for (const Json& column : json["fill"]) {
    EXPECT_EQ(column, std::string(16, '0'));
  }
  const uint64_t stride = json["samples_per_column"];
  for (size_t i = 1; i < times.size(); ++i) {
    EXPECT_EQ(times[i] - times[i - 1], stride);
  }
  EXPECT_GT(times.back() + stride, now - 1);
}

}  // namespace
}  // namespace twostep
