#ifndef STRESS_ACCOUNTS_H_
#define STRESS_ACCOUNTS_H_

// What a call that failed must have left as it was: every account there is, and
// where a bo is.

#include <cstdint>
#include <map>
#include <string>

#include "twostep/bo/device.h"
#include "twostep/machine/machine.h"

namespace twostep {

// In pages or bos, by name: frames, pools, addresses, and for each type of the
// device what is used, pinned and stands in its eviction order.
using Accounts = std::map<std::string, uint64_t>;
Accounts AccountsOf(Machine& machine, Device& device);

// In words: "dynamic + tt at 3, frames".
// REQUIRES: reserved, or nobody else uses the bo.
std::string WhereIs(const BufferObject& bo);

}  // namespace twostep

#endif  // STRESS_ACCOUNTS_H_
