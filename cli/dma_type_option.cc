#include "twostep/cli/dma_type_option.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "twostep/cli/nearest.h"

namespace twostep {
namespace {

constexpr char kNames[] = "none, dynamic, coherent or cma";

std::string WrongDmaType(const std::string& name) {
  const std::vector<std::string> names = {"none", "dynamic", "coherent", "cma"};
  if (std::find(names.begin(), names.end(), name) != names.end()) return "";
  return absl::StrCat("'", name, "' is none of ", kNames,
                      NearToIt(name, names));
}

}  // namespace

CLI::Option* AddDmaTypeOption(CLI::App* command, std::string* name) {
  return command->add_option("--dma-type", *name, kNames)
      ->check(CLI::Validator(WrongDmaType, ""))
      ->type_name("NAME")
      ->capture_default_str();
}

DmaType DmaTypeOf(const std::string& name) {
  if (name == "none") return DmaType::kNone;
  if (name == "coherent") return DmaType::kCoherent;
  return name == "cma" ? DmaType::kCma : DmaType::kDynamic;
}

}  // namespace twostep
