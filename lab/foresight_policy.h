#ifndef LAB_FORESIGHT_POLICY_H_
#define LAB_FORESIGHT_POLICY_H_

// Belady's rule on the two steps: give up the bo whose next use, by the trace,
// is farthest away (L. A. Belady, "A study of replacement algorithms for a
// virtual-storage computer", 1966). Of those never used again, the one that is
// destroyed last: others make room soon by themselves. Optimal for bos of one
// size and cost; a base to compare with elsewhere (see lab/byte_bound.h).

#include <cstdint>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "twostep/eviction/entry_queue.h"
#include "twostep/eviction/eviction_policy.h"
#include "twostep/lab/use_sequence.h"

namespace twostep {

// What is to come in one replay. Thread-compatible; `history` must outlive it.
class Foresight {
 public:
  explicit Foresight(const TraceHistory& history);

  // The bo of this key is the next that the trace creates.
  void NoteCreated(uint64_t key) {
    index_of_.emplace(key, static_cast<uint32_t>(index_of_.size()));
  }
  // The next submission begins: its uses are the present.
  void NoteSubmission() { ++submissions_; }
  // Larger for a bo that is used later.
  uint64_t NextUse(uint64_t key);

 private:
  const TraceHistory& history_;
  absl::flat_hash_map<uint64_t, uint32_t> index_of_;
  // The submissions that use bo i: [begin_[i], begin_[i + 1]) of uses_, and the
  // first of them that may be to come.
  std::vector<uint64_t> begin_;
  std::vector<uint32_t> uses_;
  std::vector<uint64_t> at_;
  uint64_t submissions_ = 0;
};

// Keeps 100 bytes an entry. `foresight` must outlive it.
class ForesightPolicy final : public EvictionPolicy {
 public:
  explicit ForesightPolicy(Foresight* foresight) : foresight_(*foresight) {}

  void Insert(EvictionHook& entry) override;
  void Touch(EvictionHook& entry) override;
  void Remove(EvictionHook& entry, Departure why) override;
  EvictionHook* First() override;
  EvictionHook* After(EvictionHook& entry) override;

 private:
  struct Place {
    uint64_t next_use = 0;
    uint64_t key = 0;
    EvictionHook* entry = nullptr;

    bool operator<(const Place& other) const {
      return next_use != other.next_use ? next_use > other.next_use
                                        : key < other.key;
    }
  };

  Foresight& foresight_;
  // All of them: a hook that is linked tells that it stands in an order.
  EntryQueue entries_;
  std::set<Place> order_;
  absl::flat_hash_map<const EvictionHook*, std::set<Place>::iterator> place_of_;
};

}  // namespace twostep

#endif  // LAB_FORESIGHT_POLICY_H_
