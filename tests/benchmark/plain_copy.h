#ifndef TESTS_BENCHMARK_PLAIN_COPY_H_
#define TESTS_BENCHMARK_PLAIN_COPY_H_

// Copies between two buffers that have been touched, and nothing else: what
// copies of the library are measured against.

#include <cstddef>
#include <cstdint>
#include <memory>

namespace twostep {

enum class CopyKind : uint8_t { kMemcpy, kNonTemporal };

class PlainCopy {
 public:
  // So many pieces of so many bytes, a multiple of 128.
  explicit PlainCopy(uint64_t bytes, uint64_t pieces = 1);

  uint64_t bytes() const { return bytes_; }
  // Copies all pieces, half of each on either of two threads where `threads` is
  // 2: nanoseconds by the clock on the wall.
  double Ns(CopyKind kind, int threads = 1);
  // The better kind's.
  double BestNs(int threads = 1);

 private:
  struct Unmap {
    uint64_t bytes;
    void operator()(std::byte* at) const;
  };
  using Buffer = std::unique_ptr<std::byte, Unmap>;
  static Buffer Touched(uint64_t bytes);

  const uint64_t bytes_;
  const uint64_t pieces_;
  Buffer from_;
  Buffer to_;
};

}  // namespace twostep

#endif  // TESTS_BENCHMARK_PLAIN_COPY_H_
