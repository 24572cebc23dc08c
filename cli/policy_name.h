#ifndef CLI_POLICY_NAME_H_
#define CLI_POLICY_NAME_H_

#include "CLI/CLI.hpp"

namespace twostep {

// Checks of options that name policies, one or several with commas between
// them: the library's errors, and what is near to a name that there is not.
CLI::Validator EvictionPolicyNames();  // and belady
CLI::Validator PlacementPolicyNames();

}  // namespace twostep

#endif  // CLI_POLICY_NAME_H_
