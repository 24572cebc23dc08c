#ifndef CLI_REPLAY_REPORT_H_
#define CLI_REPLAY_REPORT_H_

// What a replay did, for people and for programs.

#include <string>

#include "nlohmann/json.hpp"
#include "twostep/lab/replay.h"

namespace twostep {

// One JSON object; docs/replay.md says what each key means.
nlohmann::ordered_json ReplayJson(const ReplayResult& result);

// A table of the same figures, with the verdict in its last line.
std::string ReplayTable(const ReplayResult& result);

}  // namespace twostep

#endif  // CLI_REPLAY_REPORT_H_
