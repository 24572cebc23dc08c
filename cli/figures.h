#ifndef CLI_FIGURES_H_
#define CLI_FIGURES_H_

// Figures as tables show them.

#include <cstdint>
#include <string>

namespace twostep {

// 1,234,567
std::string GroupedFigure(uint64_t number);
// 512 B, 12.5 KiB, 64.0 MiB
std::string BytesFigure(uint64_t bytes);
// 12.5 us, 31.0 ms, 10.25 s
std::string DurationFigure(uint64_t ns);

}  // namespace twostep

#endif  // CLI_FIGURES_H_
