#ifndef CLI_FAULT_SPEC_H_
#define CLI_FAULT_SPEC_H_

// What `--faults` is given:
//
//   SPEC  = PART{,PART}
//   PART  = KIND:every   the n-th point of the kind, for every n
//         | KIND:every/K the same, every K-th
//         | KIND:N       the N-th alone, counted from 1
//         | KIND:P%      each with a probability of P percent
//   KIND  = frame | iova | slot | ... | all

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "twostep/stress/fault_runs.h"

namespace twostep {

// kInvalidArgument says what is wrong, what is known, and what is near. "all"
// is one part for each kind; of two parts for a kind the later counts.
absl::StatusOr<FaultPlan> ParseFaults(absl::string_view spec);

}  // namespace twostep

#endif  // CLI_FAULT_SPEC_H_
