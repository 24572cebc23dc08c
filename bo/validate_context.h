#ifndef BO_VALIDATE_CONTEXT_H_
#define BO_VALIDATE_CONTEXT_H_

#include <cstdint>

#include "twostep/bo/contention.h"
#include "twostep/machine/wait_limit.h"

namespace twostep {

// What a validation may do, and what it did.
struct ValidateContext {
  WaitLimit wait;
  // Once `bytes_moved` has come to this, only what is in none of its places is
  // moved: a bo stays in its fallback or last resort, and takes a fallback
  // before others are evicted for it. One context for all bos of a submission
  // bounds what the submission moves, but for what it cannot do without.
  uint64_t move_budget = ~uint64_t{0};
  // Out: whether the bo was already in one of the places, and stays there.
  bool hit = false;
  // Out, added to: contents copied to another place, this bo's and its
  // victims'; swapping and bouncing do not count.
  uint64_t bytes_moved = 0;
  // Out, after kAborted: what an older one has.
  Contention contention;
};

}  // namespace twostep

#endif  // BO_VALIDATE_CONTEXT_H_
