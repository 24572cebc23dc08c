#include "twostep/cli/eviction_tally.h"

#include <algorithm>
#include <bit>

namespace twostep {

using Json = nlohmann::ordered_json;

namespace {

// The most bytes first.
template <typename Key, typename Count>
std::vector<std::pair<Key, Count>> Sorted(const std::map<Key, Count>& counts) {
  std::vector<std::pair<Key, Count>> sorted(counts.begin(), counts.end());
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const auto& a, const auto& b) {
                     return a.second.bytes > b.second.bytes;
                   });
  return sorted;
}

template <typename Count>
void AddCount(const Count& count, Json* row) {
  (*row)["evictions"] = count.evictions;
  (*row)["bytes"] = count.bytes;
}

Json NumberOrNull(uint64_t number) {
  return number == 0 ? Json() : Json(number);
}

}  // namespace

void EvictionTally::Evicted(const Event& event) {
  Count& count = pairs_[{.victim = event.bo,
                         .for_bo = event.for_bo,
                         .from = event.from,
                         .to = event.to,
                         .limit = event.limit}];
  for (Count* sum : {&count, &all_}) {
    ++sum->evictions;
    sum->bytes += event.bytes();
  }
}

uint64_t EvictionTally::SizeClass(uint64_t bo) const {
  const auto found = bytes_of_.find(bo);
  return found == bytes_of_.end() ? 0 : std::bit_floor(found->second);
}

void EvictionTally::AddTraceName(uint64_t bo, const std::string& key,
                                 Json* row) const {
  const auto named = trace_bos_.find(bo);
  if (named != trace_bos_.end()) (*row)[key + "_in_trace"] = named->second;
}

Json EvictionTally::PairJson(
    const Pair& pair, const std::map<uint8_t, std::string>& places) const {
  Json row = {{"victim", pair.victim}, {"for_bo", NumberOrNull(pair.for_bo)}};
  AddTraceName(pair.victim, "victim", &row);
  AddTraceName(pair.for_bo, "for_bo", &row);
  row["limit"] = NameOf(pair.limit);
  row["from"] = places.at(pair.from);
  row["to"] = places.at(pair.to);
  return row;
}

Json EvictionTally::BySizeJson(
    const std::map<uint8_t, std::string>& places) const {
  std::map<SizeKey, Count> sums;
  for (const auto& [pair, count] : pairs_) {
    Count& sum =
        sums[{pair.from, SizeClass(pair.victim), SizeClass(pair.for_bo)}];
    sum.evictions += count.evictions;
    sum.bytes += count.bytes;
  }
  Json rows = Json::array();
  for (const auto& [key, count] : Sorted(sums)) {
    const auto& [from, victim_bytes, for_bytes] = key;
    Json row = {{"from", places.at(from)},
                {"victim_bytes", victim_bytes},
                {"for_bytes", NumberOrNull(for_bytes)}};
    AddCount(count, &row);
    rows.push_back(std::move(row));
  }
  return rows;
}

Json EvictionTally::ByOrderJson(size_t most_groups) const {
  uint64_t first = ~uint64_t{0};
  uint64_t last = 0;
  for (const auto& [pair, count] : pairs_) {
    for (const uint64_t bo : {pair.victim, pair.for_bo}) {
      if (bo == 0) continue;
      first = std::min(first, bo);
      last = std::max(last, bo);
    }
  }
  uint64_t width = 1;
  while (last > first && (last - first) / width >= most_groups) width *= 2;
  const auto group_of = [&](uint64_t bo) {
    return bo == 0 ? 0 : first + (bo - first) / width * width;
  };
  std::map<std::pair<uint64_t, uint64_t>, Count> sums;
  for (const auto& [pair, count] : pairs_) {
    Count& sum = sums[{group_of(pair.victim), group_of(pair.for_bo)}];
    sum.evictions += count.evictions;
    sum.bytes += count.bytes;
  }
  Json rows = Json::array();
  for (const auto& [key, count] : Sorted(sums)) {
    const auto& [victim, for_bo] = key;
    Json row = {{"victim", victim}, {"for_bo", NumberOrNull(for_bo)}};
    if (width == 1) {
      AddTraceName(victim, "victim", &row);
      AddTraceName(for_bo, "for_bo", &row);
    }
    AddCount(count, &row);
    rows.push_back(std::move(row));
  }
  return {{"bos_per_group", width}, {"rows", std::move(rows)}};
}

Json EvictionTally::ToJson(const Limits& limits,
                           const std::map<uint8_t, std::string>& places) const {
  Json rows = Json::array();
  Count left_out = all_;
  for (const auto& [pair, count] : Sorted(pairs_)) {
    if (rows.size() == limits.pairs) break;
    Json row = PairJson(pair, places);
    AddCount(count, &row);
    rows.push_back(std::move(row));
    left_out.evictions -= count.evictions;
    left_out.bytes -= count.bytes;
  }
  const size_t shown = rows.size();
  return {{"evictions", all_.evictions},
          {"bytes", all_.bytes},
          {"pairs", pairs_.size()},
          {"rows", std::move(rows)},
          {"left_out",
           {{"pairs", pairs_.size() - shown},
            {"evictions", left_out.evictions},
            {"bytes", left_out.bytes}}},
          {"by_size", BySizeJson(places)},
          {"by_order", ByOrderJson(limits.groups)}};
}

}  // namespace twostep
