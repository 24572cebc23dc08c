#include "twostep/cli/json_text.h"

namespace twostep {
namespace {

std::string Text(const nlohmann::ordered_json& json, int indent) {
  return json.dump(indent, ' ', /*ensure_ascii=*/false,
                   nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace

std::string JsonLine(const nlohmann::ordered_json& json) {
  return Text(json, -1);
}

std::string JsonFile(const nlohmann::ordered_json& json) {
  return Text(json, 2) + "\n";
}

}  // namespace twostep
