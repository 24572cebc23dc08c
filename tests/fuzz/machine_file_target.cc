// Any bytes as a machine file: refused with file, line and reason, or a machine
// that can be made, and that reads the same when it is written out.

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "twostep/bo/device.h"
#include "twostep/bo/host.h"
#include "twostep/cli/machine_fields.h"
#include "twostep/cli/machine_file.h"

namespace twostep {
namespace {

void ExpectCleanError(const absl::Status& status) {
  ASSERT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  const std::string text(status.message());
  int line = 0;
  int read = 0;
  ASSERT_EQ(std::sscanf(text.c_str(), "f:%d: %n", &line, &read), 1) << text;
  ASSERT_GE(line, 1) << text;
  ASSERT_GT(text.size(), static_cast<size_t>(read)) << text;
  for (const char c : text) ASSERT_TRUE(c >= ' ' && c < 0x7f) << text;
}

std::string Written(const MachineFile& file) {
  std::string text;
  std::string table;
  for (const MachineField& field : MachineFields()) {
    const std::string shown = field.Show(file);
    // What stands for no limit is said by leaving the key out. A name may have
    // what has to be escaped.
    const bool unsaid = field.kind == MachineField::Kind::kText ||
                        shown == "no limit" ||
                        (std::string(field.key) == "vram_visible" &&
                         file.gpu.vram_visible_bytes == GpuConfig::kAllOfIt);
    if (table != field.table) {
      table = field.table;
      absl::StrAppend(&text, "[", table, "]\n");
    }
    if (!unsaid) absl::StrAppend(&text, field.key, " = ", shown, "\n");
  }
  return text;
}

// Accounts of larger ones take memory, and nothing else.
bool Small(const MachineFile& file) {
  constexpr uint64_t kMost = 64 * kMiB;
  const MachineConfig& machine = file.machine;
  return machine.dma32_bytes <= kMost && machine.normal_bytes <= kMost &&
         machine.swap_bytes <= kMost && machine.iommu.iova_bytes <= kMost &&
         machine.iommu.domains <= 4 && file.gpu.vram_bytes <= kMost &&
         file.gpu.aperture_bytes <= kMost;
}

void ExpectItCanBeMade(const MachineFile& file) {
  auto machine = Machine::Create(
      file.machine, MachineOptions{Backing::kUnbacked, Clock::Kind::kVirtual});
  ASSERT_TRUE(machine.ok()) << machine.status();
  auto host = Host::Create(**machine, HostOptions{.eviction_policy = "lru"});
  ASSERT_TRUE(host.ok()) << host.status();
  const auto device = Device::Create(**host, file.gpu);
  ASSERT_TRUE(device.ok()) << device.status();
}

}  // namespace
}  // namespace twostep

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(data, data + size);
  const auto file = twostep::ParseMachineFile(text, "f");
  if (!file.ok()) {
    twostep::ExpectCleanError(file.status());
    return 0;
  }
  const std::string written = twostep::Written(*file);
  const auto again = twostep::ParseMachineFile(written, "f");
  EXPECT_TRUE(again.ok()) << again.status() << "\n" << written;
  if (again.ok()) {
    EXPECT_EQ(twostep::Written(*again), written);
  }
  if (twostep::Small(*file)) twostep::ExpectItCanBeMade(*file);
  return 0;
}
