#include "twostep/cli/dma_type_option.h"

namespace twostep {

CLI::Option* AddDmaTypeOption(CLI::App* command, std::string* name) {
  return command
      ->add_option("--dma-type", *name, "none, dynamic, coherent or cma")
      ->check(CLI::IsMember({"none", "dynamic", "coherent", "cma"}))
      ->type_name("NAME")
      ->capture_default_str();
}

DmaType DmaTypeOf(const std::string& name) {
  if (name == "none") return DmaType::kNone;
  if (name == "coherent") return DmaType::kCoherent;
  return name == "cma" ? DmaType::kCma : DmaType::kDynamic;
}

}  // namespace twostep
