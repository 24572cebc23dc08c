#ifndef CLI_CHECKED_TOML_H_
#define CLI_CHECKED_TOML_H_

// toml++ made fit for hostile files. Its parser relies on assertions that some
// files break (3.3.0: a table header that begins with a dot); where NDEBUG is
// defined it even tells the compiler that they hold. Here they throw, in every
// build. Include this, never toml++ itself: its inline code must be the same
// everywhere.

#include <cstdint>
#include <string>
#include <variant>

#include "absl/strings/string_view.h"

namespace twostep::internal {
[[noreturn]] void TomlAssertionFailed();
}  // namespace twostep::internal

#define TOML_ASSERT(condition)     \
  static_cast<void>((condition) || \
                    (twostep::internal::TomlAssertionFailed(), false))
#ifdef NDEBUG
#define TWOSTEP_NDEBUG
#undef NDEBUG
#endif
#include <toml++/toml.h>
#ifdef TWOSTEP_NDEBUG
#define NDEBUG
#undef TWOSTEP_NDEBUG
#endif

namespace twostep {

struct TomlError {
  uint64_t line = 1;
  std::string why;  // printable ASCII
};

// Throws nothing, and stays within the stack whatever `text` nests. Outside of
// comments `text` must be ASCII.
std::variant<toml::table, TomlError> ParseToml(absl::string_view text);

}  // namespace twostep

#endif  // CLI_CHECKED_TOML_H_
