#include "twostep/cli/dma_type_option.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "twostep/cli/nearest.h"

namespace twostep {
namespace {

// Why `name` is none of `names`, which `listed` has as text; empty if it is
// one.
std::string WrongName(const std::string& name,
                      const std::vector<std::string>& names,
                      const char* listed) {
  if (std::find(names.begin(), names.end(), name) != names.end()) return "";
  return absl::StrCat("'", name, "' is none of ", listed,
                      NearToIt(name, names));
}

CLI::Option* AddNameOption(CLI::App* command, const char* option,
                           std::string* name, const char* listed,
                           const std::string& doc,
                           const std::vector<std::string>& names) {
  return command->add_option(option, *name, doc)
      ->check(CLI::Validator(
          [=](const std::string& given) {
            return WrongName(given, names, listed);
          },
          ""))
      ->type_name("NAME")
      ->capture_default_str();
}

}  // namespace

CLI::Option* AddDmaTypeOption(CLI::App* command, std::string* name) {
  static constexpr char kListed[] = "none, dynamic, coherent or cma";
  return AddNameOption(command, "--dma-type", name, kListed, kListed,
                       {"none", "dynamic", "coherent", "cma"});
}

// Without the word NAME, for which its line has no room.
CLI::Option* AddDmaExhaustionOption(CLI::App* command, std::string* name) {
  static constexpr char kListed[] = "evict, purge or fail";
  return AddNameOption(command, "--dma-exhaustion", name, kListed,
                       absl::StrCat("when DMA runs out: ", kListed),
                       {"evict", "purge", "fail"})
      ->type_name("");
}

DmaType DmaTypeOf(const std::string& name) {
  if (name == "none") return DmaType::kNone;
  if (name == "coherent") return DmaType::kCoherent;
  return name == "cma" ? DmaType::kCma : DmaType::kDynamic;
}

DmaExhaustion DmaExhaustionOf(const std::string& name) {
  if (name == "purge") return DmaExhaustion::kPurge;
  return name == "fail" ? DmaExhaustion::kFail : DmaExhaustion::kEvict;
}

}  // namespace twostep
