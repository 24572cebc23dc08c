#ifndef CLI_EVICTION_TALLY_H_
#define CLI_EVICTION_TALLY_H_

// Who was evicted for whom: the pairs with most bytes, and all of them by the
// size of the bos and by the order in which these were created. Knows bos by
// their numbers, and places by theirs. Thread-compatible.

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

#include "nlohmann/json.hpp"
#include "twostep/bo/events.h"

namespace twostep {

class EvictionTally {
 public:
  // How much is told at most: pairs; and groups of bos that were created one
  // after the other, not 0.
  struct Limits {
    size_t pairs;
    size_t groups;
  };

  void Created(const Event& event) { bytes_of_[event.bo] = event.bytes(); }
  // The bo has another name in the program's trace.
  void Named(uint64_t bo, uint64_t trace_bo) { trace_bos_[bo] = trace_bo; }
  void Evicted(const Event& event);

  uint64_t evictions() const { return all_.evictions; }
  // docs/reports.md has the keys. REQUIRES: `places` has a name for each place
  // of an eviction.
  nlohmann::ordered_json ToJson(
      const Limits& limits, const std::map<uint8_t, std::string>& places) const;

 private:
  struct Pair {
    uint64_t victim = 0;
    uint64_t for_bo = 0;  // 0: nobody
    uint8_t from = 0;
    uint8_t to = 0;
    EventLimit limit = EventLimit::kNone;
    auto Key() const { return std::tie(victim, for_bo, from, to, limit); }
    bool operator<(const Pair& other) const { return Key() < other.Key(); }
  };
  struct Count {
    uint64_t evictions = 0;
    uint64_t bytes = 0;
  };
  // The place left, the size of the victim, that of the bo that came.
  using SizeKey = std::tuple<uint8_t, uint64_t, uint64_t>;

  // 2^n that is not above it; of 0: 0.
  uint64_t SizeClass(uint64_t bo) const;
  // Adds "<key>_in_trace", where the trace has a name for it.
  void AddTraceName(uint64_t bo, const std::string& key,
                    nlohmann::ordered_json* row) const;
  nlohmann::ordered_json PairJson(
      const Pair& pair, const std::map<uint8_t, std::string>& places) const;
  nlohmann::ordered_json BySizeJson(
      const std::map<uint8_t, std::string>& places) const;
  nlohmann::ordered_json ByOrderJson(size_t most_groups) const;

  std::map<Pair, Count> pairs_;
  Count all_;
  std::unordered_map<uint64_t, uint64_t> bytes_of_;
  std::unordered_map<uint64_t, uint64_t> trace_bos_;
};

}  // namespace twostep

#endif  // CLI_EVICTION_TALLY_H_
