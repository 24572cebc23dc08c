#ifndef MACHINE_VERSION_H_
#define MACHINE_VERSION_H_

// The one place of the version: CMakeLists.txt reads this line, and
// tools/check_builds.py holds whatever else must name it to it.

namespace twostep {

inline constexpr char kVersion[] = "0.1.0";

}  // namespace twostep

#endif  // MACHINE_VERSION_H_
