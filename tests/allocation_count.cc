#include "tests/allocation_count.h"

#include <cstdlib>
#include <new>

#include "twostep/machine/sync.h"

namespace {

constinit twostep::Atomic<uint64_t> allocations{0};

void* Allocate(size_t bytes, size_t alignment) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  // aligned_alloc wants whole multiples.
  void* at = alignment <= alignof(std::max_align_t)
                 ? std::malloc(bytes)
                 : std::aligned_alloc(
                       alignment, (bytes + alignment - 1) & ~(alignment - 1));
  if (at == nullptr) throw std::bad_alloc();
  return at;
}

}  // namespace

uint64_t twostep::AllocationCount() {
  return allocations.load(std::memory_order_relaxed);
}

// The other forms (arrays, nothrow) call these.
void* operator new(size_t bytes) { return Allocate(bytes, 1); }
void* operator new(size_t bytes, std::align_val_t alignment) {
  return Allocate(bytes, static_cast<size_t>(alignment));
}
void operator delete(void* at) noexcept { std::free(at); }
void operator delete(void* at, size_t) noexcept { std::free(at); }
void operator delete(void* at, std::align_val_t) noexcept { std::free(at); }
void operator delete(void* at, size_t, std::align_val_t) noexcept {
  std::free(at);
}
