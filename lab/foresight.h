#ifndef LAB_FORESIGHT_H_
#define LAB_FORESIGHT_H_

// What is to come in a replay: when each bo is used next, for BeladyPolicy.
// Time goes in submissions. Of bos never used again, the one that is destroyed
// last counts as the last to be used: others make room soon by themselves.
// Thread-compatible.

#include <cstdint>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "twostep/lab/use_sequence.h"

namespace twostep {

class Foresight {
 public:
  // `history` must outlive it. Takes 4 bytes a use and 20 a bo.
  explicit Foresight(const TraceHistory& history);

  // The bo of this key is the next that the trace creates.
  void NoteCreated(uint64_t key) {
    index_of_.emplace(key, static_cast<uint32_t>(index_of_.size()));
  }
  // The next submission begins: its uses are the present.
  void NoteSubmission() { ++submissions_; }
  // Larger for a bo that is used later. REQUIRES: it was noted as created.
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

}  // namespace twostep

#endif  // LAB_FORESIGHT_H_
