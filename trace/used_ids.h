#ifndef TRACE_USED_IDS_H_
#define TRACE_USED_IDS_H_

#include <cstddef>
#include <cstdint>

#include "absl/container/btree_map.h"

namespace twostep {

// Which ids were ever created, as ranges of neighbours: one range for ids that
// count up, however many there were. Exact while the ids lie in at most
// `max_ranges` ranges; beyond that the lowest gap is closed, that is, its ids
// count as used. So no reuse ever passes, memory is bounded, and ids that only
// grow pass whatever their gaps. Thread-compatible.
class UsedIds {
 public:
  static constexpr size_t kMaxRanges = size_t{1} << 20;  // about 25 MiB

  explicit UsedIds(size_t max_ranges = kMaxRanges) : max_ranges_(max_ranges) {}

  // False, and nothing done, if `id` counts as used.
  bool Insert(uint64_t id);
  bool Contains(uint64_t id) const;
  // `id` may count as used only because a gap was closed.
  bool Forgotten(uint64_t id) const { return any_closed_ && id <= closed_; }

  // With the topmost one.
  size_t ranges() const { return ranges_.size() + (any_ ? 1 : 0); }

 private:
  bool InsertBelowTop(uint64_t id);
  void Trim();

  const size_t max_ranges_;
  // The range that holds the largest id is kept apart: where ids count up,
  // nothing else is touched.
  bool any_ = false;
  uint64_t top_first_ = 0;
  uint64_t top_last_ = 0;
  // The others, first to last; neither overlapping nor adjacent.
  absl::btree_map<uint64_t, uint64_t> ranges_;
  bool any_closed_ = false;
  uint64_t closed_ = 0;  // no gap is left up to here
};

}  // namespace twostep

#endif  // TRACE_USED_IDS_H_
