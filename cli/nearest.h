#ifndef CLI_NEAREST_H_
#define CLI_NEAREST_H_

// What somebody may have meant by a name that there is not.

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace twostep {

// Those of `names` that are near to `name`, or begin with it, the nearest
// first, at most three.
std::vector<std::string> NearestOf(absl::string_view name,
                                   const std::vector<std::string>& names);

// "; near to it: arc, car", or nothing when none is near.
std::string NearToIt(absl::string_view name,
                     const std::vector<std::string>& names);

}  // namespace twostep

#endif  // CLI_NEAREST_H_
