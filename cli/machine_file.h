#ifndef CLI_MACHINE_FILE_H_
#define CLI_MACHINE_FILE_H_

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "twostep/machine/machine_config.h"

namespace twostep {

// A machine and its GPU, as a machine file (TOML) describes them. What each
// key means and may be: MachineFileReference(), docs/machine-files.md.
struct MachineFile {
  MachineConfig machine;
  GpuConfig gpu;
};

inline constexpr size_t kMaxMachineFileBytes = size_t{1} << 20;

// Keys that the file leaves out keep the defaults of MachineFile{}. kNotFound
// if the file cannot be opened (`PATH: reason`), else kInvalidArgument:
// `PATH:LINE: [table] key: what is wrong; what would be right`.
absl::StatusOr<MachineFile> ReadMachineFile(const std::string& path);

// The same for text that is at hand; `path` is for the errors.
absl::StatusOr<MachineFile> ParseMachineFile(absl::string_view text,
                                             const std::string& path);

// All that a machine file may hold, as a Markdown page.
std::string MachineFileReference();

// The same as a JSON Schema (draft 2020-12), for the file's TOML read as JSON.
std::string MachineFileSchema();

}  // namespace twostep

#endif  // CLI_MACHINE_FILE_H_
