#include "tests/benchmark/plain_copy.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "tests/benchmark/rows.h"
#include "twostep/machine/sync.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace twostep {
namespace {

#if defined(__x86_64__)

[[gnu::target("avx512f")]] void Stream512(std::byte* to, const std::byte* from,
                                          uint64_t bytes) {
  for (uint64_t at = 0; at < bytes; at += 64) {
    _mm512_stream_si512(reinterpret_cast<__m512i*>(to + at),
                        _mm512_loadu_si512(from + at));
  }
  _mm_sfence();
}

void Stream128(std::byte* to, const std::byte* from, uint64_t bytes) {
  for (uint64_t at = 0; at < bytes; at += 16) {
    _mm_stream_si128(
        reinterpret_cast<__m128i*>(to + at),
        _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + at)));
  }
  _mm_sfence();
}

void Stream(std::byte* to, const std::byte* from, uint64_t bytes) {
  if (__builtin_cpu_supports("avx512f")) return Stream512(to, from, bytes);
  Stream128(to, from, bytes);
}

#else

void Stream(std::byte* to, const std::byte* from, uint64_t bytes) {
  std::memcpy(to, from, bytes);
}

#endif

void CopyPart(CopyKind kind, std::byte* to, const std::byte* from,
              uint64_t bytes) {
  if (kind == CopyKind::kNonTemporal) {
    Stream(to, from, bytes);
  } else {
    std::memcpy(to, from, bytes);
  }
  benchmark::ClobberMemory();
}

}  // namespace

void PlainCopy::Unmap::operator()(std::byte* at) const { munmap(at, bytes); }

PlainCopy::Buffer PlainCopy::Touched(uint64_t bytes) {
  // As the model's memory: shared pages of 4 KiB.
  void* const at = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED) std::abort();
  std::memset(at, 1, bytes);
  return Buffer(static_cast<std::byte*>(at), Unmap{bytes});
}

PlainCopy::PlainCopy(uint64_t bytes, uint64_t pieces)
    : bytes_(std::max<uint64_t>(bytes / 128 * 128, 128)),
      pieces_(pieces),
      from_(Touched(bytes_ * pieces)),
      to_(Touched(bytes_ * pieces)) {}

double PlainCopy::Ns(CopyKind kind, int threads) {
  const uint64_t part = bytes_ / static_cast<uint64_t>(threads);
  const auto copy = [&](uint64_t first) {
    for (uint64_t i = 0; i < pieces_; ++i) {
      const uint64_t at = i * bytes_ + first;
      CopyPart(kind, to_.get() + at, from_.get() + at, part);
    }
  };
  const double start_ns = WallNs();
  {
    const Thread other = threads == 2 ? Thread([&] { copy(part); }) : Thread();
    copy(0);
  }
  return WallNs() - start_ns;
}

double PlainCopy::BestNs(int threads) {
  return std::min(Ns(CopyKind::kMemcpy, threads),
                  Ns(CopyKind::kNonTemporal, threads));
}

}  // namespace twostep
