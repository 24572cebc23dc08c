#ifndef MACHINE_TYPES_H_
#define MACHINE_TYPES_H_

// The units that every folder speaks in.

#include <cstddef>
#include <cstdint>

namespace twostep {

inline constexpr uint64_t kPageShift = 12;
inline constexpr uint64_t kPageSize = uint64_t{1} << kPageShift;

inline constexpr uint64_t kKiB = uint64_t{1} << 10;
inline constexpr uint64_t kMiB = uint64_t{1} << 20;
inline constexpr uint64_t kGiB = uint64_t{1} << 30;

// A 4 KiB frame of host memory: its physical address >> kPageShift. 32 bits
// reach 16 TiB, and keep a page table at 4 bytes a page.
using FrameNumber = uint32_t;
inline constexpr FrameNumber kNoFrame = ~FrameNumber{0};

// What a device puts on the bus: an IOVA behind a translating IOMMU, a
// physical address elsewhere.
using DmaAddress = uint64_t;
inline constexpr DmaAddress kNoDmaAddress = ~DmaAddress{0};

// A number of 4 KiB pages. 32 bits: a bo of up to 16 TiB.
using PageCount = uint32_t;

// Pages [first, first + count) of a bo.
struct PageRange {
  PageCount first = 0;
  PageCount count = 0;
};

constexpr uint64_t PagesToBytes(uint64_t pages) { return pages << kPageShift; }
constexpr uint64_t BytesToPages(uint64_t bytes) {
  return (bytes >> kPageShift) + ((bytes & (kPageSize - 1)) != 0 ? 1 : 0);
}

// Bytes [first, first + count) of a bo.
struct ByteRange {
  uint64_t first = 0;
  uint64_t count = 0;
};

// What CPU caches keep together: x86-64 and nearly all arm64 machines.
inline constexpr uint64_t kCacheLineSize = 64;

// The cache lines that some of those bytes are in.
constexpr ByteRange LinesOf(ByteRange bytes) {
  const uint64_t first = bytes.first & ~(kCacheLineSize - 1);
  const uint64_t end =
      (bytes.first + bytes.count + kCacheLineSize - 1) & ~(kCacheLineSize - 1);
  return {first, bytes.count == 0 ? 0 : end - first};
}

// What an access does, seen from whoever makes it.
enum class Access : uint8_t { kRead, kWrite };

}  // namespace twostep

#endif  // MACHINE_TYPES_H_
