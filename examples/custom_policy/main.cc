// Registers the eviction policy of largest_first_policy.h, and lets it and LRU
// choose who leaves video memory for a small bo. With arguments it is the
// twostep command, where the policy has a name:
//   custom_policy compare TRACE --policies lru,largest-first

#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "examples/custom_policy/largest_first_policy.h"
#include "twostep/bo/audit.h"
#include "twostep/bo/device.h"
#include "twostep/bo/host.h"
#include "twostep/cli/twostep_main.h"
#include "twostep/eviction/policy_registry.h"

namespace twostep::example {
namespace {

constexpr uint64_t kVramBytes = 256 * kKiB;

// From here on the name works wherever policies are named.
absl::Status Register() {
  return RegisterEvictionPolicy(
      {.name = "largest-first",
       .summary = "large ones first, by powers of two",
       .make =
           [](const PolicyParameters& with) {
             return std::make_unique<LargestFirstPolicy>(
                 static_cast<uint64_t>(with["spared"]));
           },
       .parameters = {{.name = "spared",
                       .summary = "KiB up to which sizes do not matter",
                       .fallback = 4,
                       .whole = true}}});
}

absl::Status UseInVram(Device& device, BufferObject& bo) {
  const Placement vram{.memory = MemoryType::kVram};
  bo.Reserve();
  ValidateContext context;
  absl::Status status = device.Validate(bo, {&vram, 1}, &context);
  bo.Unreserve();  // makes it the one used last
  return status;
}

// Who of a full video memory is given up for one more bo of 4 KiB. Prints it;
// false when something failed.
bool Evict(Machine& machine, const std::string& policy) {
  auto host = Host::Create(machine, {.eviction_policy = policy});
  if (!host.ok()) {
    absl::PrintF("%s\n", host.status().ToString());
    return false;
  }
  const auto device = *Device::Create(
      **host,
      GpuConfig{.vram_bytes = kVramBytes, .vram_visible_bytes = kVramBytes});
  std::vector<BoRef> bos;
  for (const uint64_t kib : {64, 4, 32, 128, 16, 12}) {  // 256 in all
    bos.push_back(*(*host)->CreateBo(kib * kKiB));
    if (!UseInVram(*device, *bos.back()).ok()) return false;
  }
  const BoRef one_more = *(*host)->CreateBo(4 * kKiB);
  if (!UseInVram(*device, *one_more).ok()) return false;
  std::vector<std::string> gone;
  for (const BoRef& bo : bos) {
    if (bo->manager().fixed()) continue;
    gone.push_back(absl::StrCat(bo->size_bytes() / kKiB, " KiB"));
  }
  absl::PrintF("%-28s gave up %s\n", policy, absl::StrJoin(gone, ", "));
  return Audit::Run(**host).empty();
}

int Run() {
  const auto machine = *Machine::Create(MachineConfig{}, MachineOptions{});
  const bool done = Evict(*machine, "lru") &&
                    Evict(*machine, "largest-first") &&
                    Evict(*machine, "largest-first:spared=128");
  return done ? EXIT_SUCCESS : EXIT_FAILURE;
}

}  // namespace
}  // namespace twostep::example

int main(int argc, char** argv) {
  const absl::Status registered = twostep::example::Register();
  if (!registered.ok()) {
    absl::PrintF("%s\n", registered.ToString());
    return EXIT_FAILURE;
  }
  if (argc > 1) return twostep::TwostepMain(argc, argv);
  return twostep::example::Run();
}
