#include "twostep/trace/used_ids.h"

#include <iterator>

namespace twostep {

bool UsedIds::Insert(uint64_t id) {
  if (!any_) {
    any_ = true;
    top_first_ = top_last_ = id;
    return true;
  }
  if (id < top_first_) return InsertBelowTop(id);
  if (id <= top_last_) return false;
  if (id != top_last_ + 1) {
    ranges_.emplace_hint(ranges_.end(), top_first_, top_last_);
    top_first_ = id;
  }
  top_last_ = id;
  Trim();
  return true;
}

bool UsedIds::Contains(uint64_t id) const {
  if (!any_ || id > top_last_) return false;
  if (id >= top_first_) return true;
  auto above = ranges_.upper_bound(id);
  return above != ranges_.begin() && id <= std::prev(above)->second;
}

bool UsedIds::InsertBelowTop(uint64_t id) {
  auto above = ranges_.upper_bound(id);
  const bool has_below = above != ranges_.begin();
  if (has_below && id <= std::prev(above)->second) return false;

  uint64_t last = id;
  if (above != ranges_.end() && above->first == id + 1) {
    last = above->second;
    above = ranges_.erase(above);
  }
  const bool joins_top = last + 1 == top_first_;
  const auto below = has_below ? std::prev(above) : ranges_.end();
  const bool joins_below = has_below && below->second + 1 == id;

  if (joins_top) {
    top_first_ = joins_below ? below->first : id;
    if (joins_below) ranges_.erase(below);
  } else if (joins_below) {
    below->second = last;
  } else {
    ranges_.emplace_hint(above, id, last);
  }
  Trim();
  return true;
}

void UsedIds::Trim() {
  while (ranges() > max_ranges_ && ranges_.size() >= 2) {
    auto lowest = ranges_.begin();
    auto next = std::next(lowest);
    any_closed_ = true;
    closed_ = next->second;
    lowest->second = next->second;
    ranges_.erase(next);
  }
}

}  // namespace twostep
