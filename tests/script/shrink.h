#ifndef TESTS_SCRIPT_SHRINK_H_
#define TESTS_SCRIPT_SHRINK_H_

// Makes a script that fails small: delta debugging. Leaves out operations, many
// at first, then one by one; then makes fields smaller, sets emptier; and over
// again until nothing can go. Deterministic, if `fails` is.

#include "absl/functional/function_ref.h"
#include "tests/script/script.h"

namespace twostep {

// Calls `fails`, which is true for `script`, at most `runs` times. What is
// returned fails.
Script Shrink(Script script, absl::FunctionRef<bool(const Script&)> fails,
              int runs = 5000);

}  // namespace twostep

#endif  // TESTS_SCRIPT_SHRINK_H_
