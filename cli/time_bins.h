#ifndef CLI_TIME_BINS_H_
#define CLI_TIME_BINS_H_

// Samples of a run in bins of equally many, so that a run of any length comes
// to a bounded size: when the bins are used up, neighbours become one. A bin
// keeps the least, the largest and the last of its samples. Thread-compatible.

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "nlohmann/json.hpp"

namespace twostep {

// A quantity that is sampled.
struct BinnedSeries {
  std::string group;  // of those that are shown together
  std::string name;
  std::string unit;       // "bytes", "ns", "count"
  uint64_t capacity = 0;  // what it cannot exceed; 0: there is no such thing
  // It only grows: the last of a bin says all.
  bool counter = false;
};

class TimeBins {
 public:
  // REQUIRES: `most_bins` is even, and not 0.
  TimeBins(std::vector<BinnedSeries> series, size_t most_bins);

  // One more, behind the others, that was 0 up to now.
  void Extend(BinnedSeries series);

  // `values`: one of each series. Times never go back.
  void Add(uint64_t time_ns, uint64_t frame, absl::Span<const uint64_t> values);

  uint64_t samples() const { return samples_; }
  // docs/reports.md has the keys.
  nlohmann::ordered_json ToJson() const;

 private:
  struct Spread {
    uint64_t least = 0;
    uint64_t most = 0;
    uint64_t last = 0;
  };
  struct Bin {
    uint64_t from_ns = 0;
    uint64_t to_ns = 0;
    uint64_t frame = 0;  // of the last sample
    uint64_t samples = 0;
    std::vector<Spread> spreads;  // by series
  };

  static void Append(const Bin& later, Bin* bin);
  void Halve();
  nlohmann::ordered_json SeriesJson(size_t at) const;

  std::vector<BinnedSeries> series_;
  const size_t most_bins_;
  uint64_t samples_ = 0;
  uint64_t samples_per_bin_ = 1;
  std::vector<Bin> bins_;
};

}  // namespace twostep

#endif  // CLI_TIME_BINS_H_
