// Any bytes as requests to an allocator of a space, held to a model of one byte
// a unit.

#include <cstddef>
#include <cstdint>

#include "tests/machine/space_model.h"
#include "twostep/machine/buddy_allocator.h"
#include "twostep/machine/range_allocator.h"

namespace twostep {
namespace {

// The next byte at each call; zeros behind the last.
class Bytes {
 public:
  struct Of {
    const uint8_t* data;
    size_t size;
  };
  explicit Bytes(Of of) : of_(of) {}
  uint64_t operator()() {
    if (of_.size == 0) return 0;
    --of_.size;
    // Small numbers, and now and then large ones.
    const uint64_t byte = *of_.data++;
    return byte < 0xf0 ? byte : byte * 0x9e3779b97f4a7c15u >> 32;
  }

 private:
  Of of_;
};

// A step draws about as many.
constexpr size_t kBytesAStep = 8;
constexpr size_t kMostBytes = 4096;

template <typename Allocator>
void Run(uint64_t start, uint64_t size, Bytes::Of bytes, bool can_split) {
  AgainstModel<Allocator, Bytes> against(start, size, bytes, can_split);
  against.Run(static_cast<int>(bytes.size / kBytesAStep), size);
}

}  // namespace
}  // namespace twostep

// The first four bytes say which, where and how large.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 4 || size > twostep::kMostBytes) return 0;
  const uint64_t start = data[1] * 37u;
  const uint64_t units = 1 + data[2] + 4u * data[3];
  const twostep::Bytes::Of rest{data + 4, size - 4};
  if (data[0] % 2 == 0) {
    twostep::Run<twostep::RangeAllocator>(start, units, rest, false);
  } else {
    twostep::Run<twostep::BuddyAllocator>(start, units, rest, true);
  }
  return 0;
}
