#ifndef MACHINE_CHECK_H_
#define MACHINE_CHECK_H_

// CHECK stops the process on a bug, with the place and the reason; DCHECK does
// the same where NDEBUG is not defined, and costs nothing elsewhere. What the
// world may do (shortage, bad input) is an absl::Status, never a CHECK.

namespace twostep::internal {
[[noreturn]] void CheckFailed(const char* file, int line, const char* what);
}  // namespace twostep::internal

#define TWOSTEP_CHECK(condition)                     \
  (__builtin_expect(static_cast<bool>(condition), 1) \
       ? static_cast<void>(0)                        \
       : ::twostep::internal::CheckFailed(__FILE__, __LINE__, #condition))

#ifdef NDEBUG
#define TWOSTEP_DCHECK(condition) \
  static_cast<void>(sizeof(static_cast<bool>(condition)))
#else
#define TWOSTEP_DCHECK(condition) TWOSTEP_CHECK(condition)
#endif

#endif  // MACHINE_CHECK_H_
