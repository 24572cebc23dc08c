#ifndef LAB_CONTENTS_H_
#define LAB_CONTENTS_H_

// What the bytes of a bo must be, kept beside the machine under test: the
// reference that CPU and GPU reads are compared with. Memory is taken as it is
// written, not as the bo is large. Thread-compatible.

#include <cstddef>
#include <cstdint>
#include <vector>

#include "twostep/machine/types.h"

namespace twostep {

class Contents {
 public:
  // All zero. Null data() when the process has no address space for it.
  explicit Contents(PageCount pages);
  ~Contents();
  Contents(Contents&& other) noexcept;
  Contents& operator=(Contents&& other) noexcept;

  const std::byte* data() const { return data_; }
  // Writes bytes of `seed` at [offset, offset + bytes).
  void Write(uint64_t offset, uint64_t bytes, uint64_t seed);
  // All pages as the GPU's pattern of `seed` makes them.
  void WritePattern(uint64_t seed);
  // ModelGpu's checksum of every page.
  const std::vector<uint64_t>& PageChecksums();

 private:
  std::byte* data_ = nullptr;
  PageCount pages_ = 0;
  std::vector<uint64_t> checksums_;
  std::vector<bool> stale_;  // checksums to take anew
};

}  // namespace twostep

#endif  // LAB_CONTENTS_H_
