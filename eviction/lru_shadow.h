#ifndef EVICTION_LRU_SHADOW_H_
#define EVICTION_LRU_SHADOW_H_

// What LRU would have done in a policy's place: it would hold the bos that were
// used last, back to some place in the log. From that, whether a policy has
// lately moved more bytes than LRU would have. Takes one use at a time: that
// the bos of a submission cannot make room for one another it does not know.
// Thread-compatible.

#include <cstdint>

#include "twostep/eviction/known_bos.h"
#include "twostep/eviction/use_log.h"

namespace twostep {

class LruShadow {
 public:
  using Position = UseLog::Position;

  LruShadow(const UseLog& log, KnownBos& bos) : log_(log), bos_(bos) {}

  // The policy has moved more.
  bool in_debt() const { return debt_ > 0; }

  // --- What happens to the policy ---
  // Room for so many bytes, as far as it can tell.
  void SetCapacity(uint64_t bytes) { capacity_ = bytes; }
  uint64_t capacity() const { return capacity_; }
  // `last` is the last use in the log, 0 if none; `bytes` the size from now on.
  void Insert(KnownBo& bo, Position last, uint64_t bytes);
  void Remove(KnownBo& bo, Position last, Departure why);
  // Uses come one after the other, linked; or from some time on.
  void Use(Position use);
  void StartAt(Position head);
  // Its last use, which was the oldest in the log, is forgotten.
  void Forget(Position last, const KnownBo& bo);

 private:
  // LRU has it, its last use being `last`.
  bool Has(const KnownBo& bo, Position last) const {
    return last >= floor_ && !bo.gone;
  }
  void Moved(uint64_t bytes);

  const UseLog& log_;
  KnownBos& bos_;
  uint64_t capacity_ = 0;
  Position floor_ = 1;
  // Of the bos last used there or later, but for those that are gone.
  uint64_t bytes_ = 0;
  // Bytes moved by the policy and not by LRU, less those by LRU and not by it.
  int64_t debt_ = 0;
  // Moved by the policy for what is not used yet: LRU moves when it is.
  int64_t moved_ = 0;
};

}  // namespace twostep

#endif  // EVICTION_LRU_SHADOW_H_
