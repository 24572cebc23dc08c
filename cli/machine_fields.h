#ifndef CLI_MACHINE_FIELDS_H_
#define CLI_MACHINE_FIELDS_H_

// The one description of each key of a machine file; the parser and the
// reference page both follow it.

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "absl/strings/string_view.h"
#include "twostep/cli/machine_file.h"

namespace twostep {

struct MachineTable {
  const char* name;  // "": the top of the file
  bool required;
  const char* doc;
};

struct MachineField {
  enum class Kind : uint8_t {
    kSize,    // "256 MiB", or a whole number of bytes; in whole pages
    kNumber,  // a whole number
    kSwitch,  // true or false
    kChoice,  // one of a few words
    kText,
  };
  // Where the value goes.
  template <typename T>
  using Member = T& (*)(MachineFile&);
  using Target =
      std::variant<Member<uint64_t>, Member<uint32_t>, Member<int>,
                   Member<bool>, Member<IommuMode>, Member<SpaceAllocator>,
                   Member<SwapMedium>, Member<std::string>>;

  const char* table;
  const char* key;
  Kind kind;
  Target target;
  const char* unit;  // of a number
  uint64_t min;      // of a size or a number
  uint64_t max;
  std::vector<const char*> choices;  // by their enum's values
  const char* doc;

  // REQUIRES: the value lies within min and max, or is the index of a choice.
  void Set(MachineFile* file, uint64_t value) const;
  void SetText(MachineFile* file, std::string text) const;
  // The value in `file` as the file would say it.
  std::string Show(const MachineFile& file) const;
  // What a value may be: "a size of 4 KiB to 4 GiB, in whole pages of 4 KiB".
  std::string Expected() const;
};

const std::vector<MachineTable>& MachineTables();
// In the order of the reference page, by table.
const std::vector<MachineField>& MachineFields();

// "[table] key", or "key" at the top of the file.
std::string FieldName(absl::string_view table, absl::string_view key);

}  // namespace twostep

#endif  // CLI_MACHINE_FIELDS_H_
