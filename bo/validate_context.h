#ifndef BO_VALIDATE_CONTEXT_H_
#define BO_VALIDATE_CONTEXT_H_

#include <cstdint>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "twostep/bo/contention.h"
#include "twostep/bo/error.h"
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
  // Out, after the error of a bo that none of its placements would take: what
  // stood in the way of each that was tried to the end, in their order; after
  // other errors none.
  std::vector<Obstacle> obstacles;
  // Out, after an error of a wait that was forbidden or ended early: for which
  // fence, where it was one. Good as long as the machine.
  Fence pending;

  // Of an earlier call's failure; each call that fills them in begins so.
  void ForgetFailure() {
    obstacles.clear();
    pending = Fence{};
  }
};

// Calls `use` with `bo` reserved, again as long as it loses to an older one: a
// Validate or a SharedAttachment::Map with this context, and what belongs to
// it, of one bo. For several there is Exec. After success the bo is the one
// used last. Errors are those of `use`, or kUnavailable, kDeadlineExceeded,
// kCancelled as context->wait says. REQUIRES: this thread has nothing reserved.
absl::Status WithReserved(BufferObject& bo, ValidateContext* context,
                          absl::FunctionRef<absl::Status()> use);

}  // namespace twostep

#endif  // BO_VALIDATE_CONTEXT_H_
