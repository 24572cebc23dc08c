#include "tests/trace/trace_model.h"

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <vector>

namespace twostep {
namespace {

std::vector<std::string> Split(const std::string& text, char separator) {
  std::vector<std::string> parts(1);
  for (char c : text) {
    if (c == separator) {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  return parts;
}

std::optional<uint64_t> ToNumber(const std::string& field) {
  if (field.empty() || field.size() > 20) return std::nullopt;
  if (field[0] == '0' && field.size() > 1) return std::nullopt;
  for (char c : field) {
    if (c < '0' || c > '9') return std::nullopt;
  }
  const std::string largest = "18446744073709551615";
  if (field.size() == largest.size() && field > largest) return std::nullopt;
  return std::stoull(field);
}

class Model {
 public:
  bool Line(const std::string& line) {
    for (char c : line) {
      if ((c >= 0 && c < ' ') || c == 0x7f) return false;
    }
    if (!line.empty() && line[0] == '#') {
      return line.size() > 2 && line[1] == ' ' && line[2] != ' ' &&
             line[2] != ':' && line.find(':') != std::string::npos;
    }
    const std::vector<std::string> fields = Split(line, ' ');
    if (fields[0] == "c") return Create(fields);
    if (fields[0] == "w" || fields[0] == "r") return Transfer(fields);
    if (fields[0] == "g") return Submit(fields);
    if (fields[0] == "f") return fields.size() == 1;
    if (fields[0] != "d" || fields.size() != 2) return false;
    const auto id = ToNumber(fields[1]);
    return id && live_.erase(*id) == 1;
  }

 private:
  bool Create(const std::vector<std::string>& fields) {
    if (fields.size() != 4 || fields[3].empty()) return false;
    const auto id = ToNumber(fields[1]);
    const auto bytes = ToNumber(fields[2]);
    std::set<char> letters;
    for (char c : fields[3]) {
      if (std::string("viutrso").find(c) == std::string::npos ||
          !letters.insert(c).second) {
        return false;
      }
    }
    if (!id || !bytes || *bytes < 1 || *bytes > uint64_t{1} << 40) return false;
    live_[*id] = *bytes;
    return used_.insert(*id).second;
  }

  bool Transfer(const std::vector<std::string>& fields) {
    if (fields.size() != 4) return false;
    const auto id = ToNumber(fields[1]);
    const auto offset = ToNumber(fields[2]);
    const auto bytes = ToNumber(fields[3]);
    if (!id || !offset || !bytes || *bytes < 1) return false;
    const auto bo = live_.find(*id);
    return bo != live_.end() && *offset <= bo->second &&
           *bytes <= bo->second - *offset;
  }

  bool Submit(const std::vector<std::string>& fields) {
    if (fields.size() < 3 || !ToNumber(fields[1])) return false;
    for (size_t i = 2; i < fields.size(); ++i) {
      std::string field = fields[i];
      if (!field.empty() && field.back() == '*') field.pop_back();
      const auto id = ToNumber(field);
      if (!id || !live_.contains(*id)) return false;
    }
    return true;
  }

  std::map<uint64_t, uint64_t> live_;
  std::set<uint64_t> used_;
};

}  // namespace

bool ModelAccepts(const std::string& text) {
  std::vector<std::string> lines = Split(text, '\n');
  if (lines.back().empty()) lines.pop_back();
  if (lines.empty() || lines[0] != "#botrace 1") return false;
  Model model;
  for (size_t i = 1; i < lines.size(); ++i) {
    if (!model.Line(lines[i])) return false;
  }
  return true;
}

}  // namespace twostep
