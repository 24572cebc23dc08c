#include "twostep/eviction/ranked_entries.h"

#include <algorithm>
#include <random>
#include <set>
#include <utility>
#include <vector>

#include "gtest/gtest.h"

namespace twostep {
namespace {

TEST(RankedEntries, IsASortedSetWhateverChanges) {
  constexpr size_t kEntries = 200;
  std::vector<EvictionHook> hooks(kEntries);
  RankedEntries entries;
  // Rank, when it was ranked, entry.
  std::set<std::tuple<double, uint64_t, EvictionHook*>> model;
  std::vector<std::pair<double, uint64_t>> ranks(kEntries);
  std::vector<bool> in(kEntries);
  std::mt19937_64 random(1);
  for (uint64_t step = 0; step < 20000; ++step) {
    const size_t i = random() % kEntries;
    const double rank = static_cast<double>(random() % 50);
    const uint64_t kind = random() % 4;
    if (in[i]) model.erase({ranks[i].first, ranks[i].second, &hooks[i]});
    if (in[i] && kind == 0) {
      entries.Remove(hooks[i]);
      in[i] = false;
    } else {
      if (in[i]) {
        entries.SetRank(hooks[i], rank);
      } else {
        RankedEntries::SetNote(hooks[i], i);
        entries.Insert(hooks[i], rank);
      }
      in[i] = true;
      ranks[i] = {rank, step};
      model.insert({rank, step, &hooks[i]});
      ASSERT_EQ(entries.RankOf(hooks[i]), rank);
      ASSERT_EQ(RankedEntries::NoteOf(hooks[i]), i);
    }
    // A walk from First, or one from the middle.
    auto expected = model.begin();
    EvictionHook* at = entries.First();
    if (kind == 1 && !model.empty()) {
      std::advance(expected, random() % model.size());
      at = std::get<2>(*expected);
    }
    for (int n = 0; n < 20 && expected != model.end(); ++n) {
      ASSERT_EQ(at, std::get<2>(*expected));
      ++expected;
      at = entries.After(*at);
    }
    if (expected == model.end()) {
      ASSERT_EQ(at, nullptr);
    }
  }
}

}  // namespace
}  // namespace twostep
