#include "twostep/machine/copy_engine.h"

#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "twostep/machine/check.h"
#include "twostep/machine/sync.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace twostep {
namespace {

// From here on (2 MiB) a copy goes past the caches, which it would only fill
// with what nobody reads soon: reading what it overwrites is saved, too.
constexpr PageCount kStreamedPages = 512;
// From here on (16 MiB) it is worth a second thread for its second half.
constexpr PageCount kSharedPages = 4096;

#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__)

[[gnu::target("avx512f")]] void StreamPage512(std::byte* to,
                                              const std::byte* from) {
  for (uint64_t at = 0; at < kPageSize; at += 64) {
    _mm512_stream_si512(reinterpret_cast<__m512i*>(to + at),
                        _mm512_load_si512(from + at));
  }
}

// Past the caches, in no order with other stores: FinishStream() is the end of
// that. Both begin at multiples of the page size.
void StreamPage(std::byte* to, const std::byte* from) {
  if (__builtin_cpu_supports("avx512f")) return StreamPage512(to, from);
  for (uint64_t at = 0; at < kPageSize; at += 16) {
    _mm_stream_si128(
        reinterpret_cast<__m128i*>(to + at),
        _mm_load_si128(reinterpret_cast<const __m128i*>(from + at)));
  }
}

void FinishStream() { _mm_sfence(); }

#else

// ThreadSanitizer sees no streaming stores.
void StreamPage(std::byte* to, const std::byte* from) {
  std::memcpy(to, from, kPageSize);
}

void FinishStream() {}

#endif

}  // namespace

CopyEngine::CopyEngine(Timeline& timeline, Clock& clock, const CostModel& cost,
                       PhysicalMemory& memory, DmaPort& port)
    : cost_(cost),
      memory_(memory),
      port_(port),
      queue_(timeline, clock,
             memory.backed() ? DeviceQueue::Execution::kThread
                             : DeviceQueue::Execution::kTimeOnly) {}

absl::StatusOr<Fence> CopyEngine::Copy(CopyJob job,
                                       absl::Span<const Fence> dependencies) {
  if (FaultAt(memory_.faults(), FaultKind::kCopy)) {
    return absl::InternalError(
        absl::StrCat("the copy engine refused a job of ", job.pages, " pages"));
  }
  const uint64_t cost_ns =
      cost_.engine_latency_ns +
      TransferNs(PagesToBytes(job.pages), job.from.kind == CopySide::Kind::kZero
                                              ? cost_.vram_mib_per_s
                                              : cost_.engine_mib_per_s);
  if (!executes()) return queue_.Submit(dependencies, cost_ns, nullptr);
  return queue_.Submit(dependencies, cost_ns,
                       [this, job = std::move(job)] { Execute(job); });
}

std::byte* CopyEngine::At(const CopySide& side, PageCount index,
                          Access access) {
  const uint64_t page = side.pages[index];
  switch (side.kind) {
    case CopySide::Kind::kZero:
      return nullptr;
    case CopySide::Kind::kFrames:
      return memory_.CpuBytes(static_cast<FrameNumber>(page));
    case CopySide::Kind::kDma:
      return port_.Resolve(page << kPageShift, access);
    case CopySide::Kind::kVram:
      TWOSTEP_CHECK(side.vram != nullptr &&
                    PagesToBytes(page) < side.vram->bytes());
      return side.vram->data() + PagesToBytes(page);
  }
  return nullptr;
}

void CopyEngine::Fail(const absl::Status& error) {
  queue_.Stop(DeviceQueue::Unbegun::kRun);
  queue_.Fail(error);
}

void CopyEngine::Execute(const CopyJob& job) {
  const bool lost = queue_.lost();
  if (lost && job.to.kind == CopySide::Kind::kVram) return;
  const bool zero = lost || job.from.kind == CopySide::Kind::kZero;
  const bool streamed = job.pages >= kStreamedPages;
  const auto copy = [&](PageCount first, PageCount end) {
    for (PageCount i = first; i < end; ++i) {
      std::byte* to = At(job.to, i, Access::kWrite);
      if (to == nullptr) continue;
      if (zero) {
        std::memset(to, 0, kPageSize);
      } else if (const std::byte* from = At(job.from, i, Access::kRead)) {
        if (streamed) {
          StreamPage(to, from);
        } else {
          std::memcpy(to, from, kPageSize);
        }
      }
    }
    if (streamed) FinishStream();
  };
  const bool shared = job.pages >= kSharedPages;
  const PageCount middle = shared ? job.pages / 2 : job.pages;
  const Thread other =
      shared ? Thread([&] { copy(middle, job.pages); }) : Thread();
  copy(0, middle);
}

}  // namespace twostep
