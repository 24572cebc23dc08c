#include "twostep/cli/space_map.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "twostep/machine/types.h"

namespace twostep {
namespace {

// 0 and z are for all free and all used; what is between never looks like them.
char DigitOf(uint64_t used, uint64_t size) {
  constexpr char kDigits[] = "0123456789abcdefghijklmnopqrstuvwxyz";
  if (used == 0) return '0';
  if (used == size) return 'z';
  return kDigits[1 + used * 34 / size];
}

}  // namespace

void SpaceMap::Take(uint64_t time_ns, const RangeAllocator& space) {
  pages_ = space.capacity();
  rows_ = std::min(pages_, kMostRows);
  Column column{.time_ns = time_ns};
  std::vector<uint64_t> used_pages(rows_);
  std::optional<uint64_t> base;
  space.ForEachBlock([&](uint64_t start, uint64_t size, bool used) {
    if (!base.has_value()) base = start;
    if (!used) {
      ++column.holes;
      column.free_pages += size;
      column.largest_hole_pages = std::max(column.largest_hole_pages, size);
      return;
    }
    const uint64_t first = start - *base;
    const uint64_t end = first + size;
    for (uint64_t row = first * rows_ / pages_; row < rows_; ++row) {
      const uint64_t from = std::max(first, RowStart(row));
      const uint64_t to = std::min(end, RowStart(row + 1));
      if (RowStart(row) >= end) break;
      if (from < to) used_pages[row] += to - from;
    }
  });
  for (uint64_t row = 0; row < rows_; ++row) {
    column.fill += DigitOf(used_pages[row], RowStart(row + 1) - RowStart(row));
  }
  Add(std::move(column));
}

void SpaceMap::Add(Column column) {
  columns_.push_back(std::move(column));
  if (columns_.size() < most_columns_) return;
  for (size_t i = 1; i < columns_.size() / 2; ++i) {
    columns_[i] = std::move(columns_[2 * i]);
  }
  columns_.resize(columns_.size() / 2);
  stride_ *= 2;
}

nlohmann::ordered_json SpaceMap::ToJson() const {
  using Json = nlohmann::ordered_json;
  Json times = Json::array();
  Json free_bytes = Json::array();
  Json largest = Json::array();
  Json holes = Json::array();
  Json fill = Json::array();
  for (const Column& column : columns_) {
    times.push_back(column.time_ns);
    const bool seen = !column.fill.empty();
    const auto figure = [&](uint64_t value) {
      return seen ? Json(value) : Json();
    };
    free_bytes.push_back(figure(PagesToBytes(column.free_pages)));
    largest.push_back(figure(PagesToBytes(column.largest_hole_pages)));
    holes.push_back(figure(column.holes));
    fill.push_back(column.fill);
  }
  return {{"name", name_},
          {"bytes", PagesToBytes(pages_)},
          {"rows", rows_},
          {"samples_per_column", stride_},
          {"time_ns", std::move(times)},
          {"free_bytes", std::move(free_bytes)},
          {"largest_hole_bytes", std::move(largest)},
          {"holes", std::move(holes)},
          {"fill", std::move(fill)}};
}

}  // namespace twostep
