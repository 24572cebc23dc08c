#include "twostep/machine/copy_engine.h"

#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "twostep/machine/check.h"

namespace twostep {

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
  for (PageCount i = 0; i < job.pages; ++i) {
    std::byte* to = At(job.to, i, Access::kWrite);
    if (to == nullptr) continue;
    if (zero) {
      std::memset(to, 0, kPageSize);
    } else if (const std::byte* from = At(job.from, i, Access::kRead)) {
      std::memcpy(to, from, kPageSize);
    }
  }
}

}  // namespace twostep
