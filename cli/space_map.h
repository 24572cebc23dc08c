#ifndef CLI_SPACE_MAP_H_
#define CLI_SPACE_MAP_H_

// An address space over a run: at times, how full each part of it was and what
// holes there were. Of these times so many are kept at most, evenly spread:
// when they are used up, every other one goes, but
// not the first. Knows pages, not bos.
// Thread-compatible.

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "nlohmann/json.hpp"
#include "twostep/machine/range_allocator.h"

namespace twostep {

class SpaceMap {
 public:
  static constexpr uint64_t kMostRows = 96;

  // REQUIRES: `most_columns` is even, and not 0.
  SpaceMap(std::string name, size_t most_columns)
      : name_(std::move(name)), most_columns_(most_columns) {}

  // Whether this one, of the chances to look at the space, is to be taken.
  bool Due() { return chances_++ % stride_ == 0; }
  // The same space each time, in pages. Times never go back.
  void Take(uint64_t time_ns, const RangeAllocator& space);
  // It could not be looked at.
  void Skip(uint64_t time_ns) { Add({.time_ns = time_ns}); }

  const std::string& name() const { return name_; }
  // Whether it has been looked at at all.
  bool seen() const { return pages_ != 0; }
  // docs/reports.md has the keys.
  nlohmann::ordered_json ToJson() const;

 private:
  struct Column {
    uint64_t time_ns = 0;
    uint64_t free_pages = 0;
    uint64_t largest_hole_pages = 0;
    uint64_t holes = 0;
    std::string fill;  // a digit in base 36 for each row; none: not looked at
  };

  void Add(Column column);
  uint64_t RowStart(uint64_t row) const { return pages_ * row / rows_; }

  const std::string name_;
  const size_t most_columns_;
  uint64_t chances_ = 0;
  uint64_t stride_ = 1;
  uint64_t pages_ = 0;
  uint64_t rows_ = 0;
  std::vector<Column> columns_;
};

}  // namespace twostep

#endif  // CLI_SPACE_MAP_H_
