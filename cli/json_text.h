#ifndef CLI_JSON_TEXT_H_
#define CLI_JSON_TEXT_H_

// JSON as the command writes it, wherever it does. Names of files may be any
// bytes: what is no UTF-8 is replaced by U+FFFD.

#include <string>

#include "nlohmann/json.hpp"

namespace twostep {

// On one line, without its end.
std::string JsonLine(const nlohmann::ordered_json& json);
// Indented, as a file of its own.
std::string JsonFile(const nlohmann::ordered_json& json);

}  // namespace twostep

#endif  // CLI_JSON_TEXT_H_
