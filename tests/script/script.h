#ifndef TESTS_SCRIPT_SCRIPT_H_
#define TESTS_SCRIPT_SCRIPT_H_

// What a few clients, devices and CPUs do to a few bos, as values and as text,
// one operation a line:
//
//   twostep script 1
//   machine iommu
//   create bo=0 pages=7 client=1
//   submit device=0 bos=0,3 writes=3 first=vram second=tt-dynamic page=2
//   value=5 offer bo=0
//
// A field that is left out is 0; empty lines and those that begin with # are
// skipped. Every script can be played: what makes no sense where it stands (a
// bo that does not exist is read) does nothing. Knows nothing of how to play.

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "tests/bo/platforms.h"

namespace twostep {

enum class Verb : uint8_t {
  kCreate,
  kDrop,
  kCpuWrite,
  kCpuRead,
  kCpuUnmap,
  kKernelWrite,
  kSubmit,
  kValidate,
  kGiveUpAddresses,
  kDiscard,
  kPin,
  kUnpin,
  kOffer,
  kReclaim,
  kAttach,
  kDetach,
  kMap,
  kUnmap,
  kImporterRead,
  kImporterWrite,
  kBeginCpu,
  kEndCpu,
  kFailCopies,
  kHostTakes,
  kHostGives,
  kPageLimit,
  kShrink,
  kSuspend,
  kResume,
  kWait,
  kReap,
};
inline constexpr int kVerbs = static_cast<int>(Verb::kReap) + 1;

struct Step {
  Verb verb = Verb::kCreate;
  uint32_t bo = 0;
  uint32_t bos = 0;     // a set, one bit each
  uint32_t writes = 0;  // those of them that are written
  uint32_t device = 0;
  uint32_t client = 0;  // 0: nobody
  uint32_t pages = 0;
  uint32_t page = 0;  // modulo the bo's size
  uint32_t value = 0;
  uint32_t first = 0;    // a place, taken only where there is room
  uint32_t second = 0;   // another one
  uint32_t follows = 0;  // 1: the attachment follows moves
  uint32_t hasty = 0;    // 1: may not wait

  friend bool operator==(const Step&, const Step&) = default;
};

struct Script {
  MachineKind machine = MachineKind::kIommu;
  std::vector<Step> steps;

  friend bool operator==(const Script&, const Script&) = default;
};

inline constexpr uint32_t kScriptBos = 12;
inline constexpr uint32_t kScriptDevices = 2;
inline constexpr uint32_t kScriptClients = 3;  // 0 is nobody
inline constexpr uint32_t kScriptMaxPages = 40;

// A field that a verb has.
struct StepField {
  const char* name;
  uint32_t Step::*value;
  // Values are 0 to this.
  uint32_t max;
  // How it is written: as a number, as a list of the bits that are set, or as
  // the word at that index.
  enum class Form : uint8_t { kNumber, kSet, kWord } form;
  absl::Span<const char* const> words;
};

const char* NameOf(Verb verb);
absl::Span<const StepField> FieldsOf(Verb verb);

// Where a bo is asked to be: the words of `first` and `second`.
enum class Place : uint8_t {
  kSystem,
  kVram,
  kVramWhole,  // in one run
  kTtNone,     // this and the next three by DmaType
  kTtDynamic,
  kTtCoherent,
  kTtCma,
  kHighNone,  // the upper part of TT, from its end
  kHighDynamic,
  kHighCoherent,
  kHighCma,
  kBoundNone,  // bound, and nowhere on the GPU
  kBoundDynamic,
  kBoundCoherent,
  kBoundCma,
};
inline constexpr int kPlaces = static_cast<int>(Place::kBoundCma) + 1;

std::string Print(const Step& step);
std::string Print(const Script& script);

inline constexpr size_t kMaxScriptBytes = size_t{1} << 20;

// What Print wrote, or somebody by hand. kInvalidArgument: `line N: what is
// wrong`.
absl::StatusOr<Script> ParseScript(absl::string_view text);

}  // namespace twostep

#endif  // TESTS_SCRIPT_SCRIPT_H_
