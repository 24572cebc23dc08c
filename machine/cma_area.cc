#include "twostep/machine/cma_area.h"

#include <algorithm>
#include <bit>

#include "absl/strings/str_cat.h"
#include "twostep/machine/check.h"

namespace twostep {
namespace {

// CONFIG_CMA_ALIGNMENT = 8 in the kernel: at most 256 pages, 1 MiB.
constexpr uint64_t kMaxAlignmentPages = 256;

// The area must itself start aligned, or alignment by frame number wastes its
// first part.
constexpr uint64_t kAreaAlignment = kMaxAlignmentPages;

absl::Status CheckLoan(const CmaLoan& loan, uint64_t area_bytes,
                       const PhysicalMemory& memory) {
  if (loan.bytes > area_bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("cma_loan.bytes: ", loan.bytes,
                     " is more than the CMA area, ", area_bytes));
  }
  if (loan.busy_bytes > loan.bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("cma_loan.busy_bytes: ", loan.busy_bytes,
                     " is more than is lent, ", loan.bytes));
  }
  uint64_t beside = 0;
  for (const Zone zone : {Zone::kDma32, Zone::kNormal}) {
    const uint64_t unused = memory.unused_frames(zone);
    beside +=
        PagesToBytes(unused - std::min(unused, memory.reserve_frames(zone)));
  }
  if (loan.bytes > beside) {
    return absl::InvalidArgumentError(absl::StrCat(
        "cma_loan.bytes: ", loan.bytes, " could make way to no more than ",
        beside, " of memory beside the pools and the reserve"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<CmaArea>> CmaArea::Create(
    uint64_t bytes, const CmaLoan& loan, PhysicalMemory& memory, Clock& clock,
    const CostModel& cost) {
  const uint64_t frames = bytes >> kPageShift;
  absl::StatusOr<FrameNumber> first = memory.Carve(0);
  if (!first.ok()) return first.status();
  const uint64_t skip =
      (kAreaAlignment - *first % kAreaAlignment) % kAreaAlignment;
  first = memory.Carve(frames == 0 ? 0 : frames + skip);
  if (!first.ok()) return first.status();
  const absl::Status checked = CheckLoan(loan, bytes, memory);
  if (!checked.ok()) return checked;
  auto area = std::unique_ptr<CmaArea>(new CmaArea(
      *first + static_cast<FrameNumber>(skip), frames, memory.faults()));
  if (loan.bytes != 0) area->Lend(loan, memory, clock, cost);
  return area;
}

CmaArea::CmaArea(FrameNumber first, uint64_t frames, Faults* faults)
    : first_(first),
      frames_(frames),
      faults_(faults),
      // An area of no frames refuses before it asks its space.
      space_(first, std::max<uint64_t>(frames, 1)) {}

void CmaArea::Lend(const CmaLoan& loan, PhysicalMemory& memory, Clock& clock,
                   const CostModel& cost) {
  neighbours_ = std::make_unique<CmaNeighbours>(
      loan, first_, frames_, memory, clock, cost.cma_migrate_page_ns);
  neighbours_->ForEach([this](const CmaNeighbours::Page& page) {
    if (!page.busy) return;
    SpinLockHolder hold(lock_);
    SpaceBlock block;
    const Shortage::Kind kind = space_.Allocate(
        {.size = 1, .first = page.home, .end = page.home + uint64_t{1}},
        &block);
    TWOSTEP_CHECK(kind == Shortage::Kind::kNone);
    ++busy_frames_;
  });
}

SpaceRequest CmaArea::RequestFor(PageCount pages) {
  return SpaceRequest{.size = pages,
                      .alignment = std::min<uint64_t>(
                          std::bit_ceil(uint64_t{pages}), kMaxAlignmentPages)};
}

Shortage::Kind CmaArea::Allocate(PageCount pages, SpaceBlock* block) {
  if (pages > frames_) return Shortage::Kind::kNeverFits;
  if (FaultAt(faults_, FaultKind::kCma)) return Shortage::Kind::kFull;
  {
    SpinLockHolder hold(lock_);
    const Shortage::Kind kind = space_.Allocate(RequestFor(pages), block);
    if (kind != Shortage::Kind::kNone || neighbours_ == nullptr) return kind;
    // Under the lock, so that nobody finds a run taken that is then given up.
    if (!neighbours_->TakeFrames(static_cast<FrameNumber>(block->start),
                                 pages)) {
      space_.Free(block->node);
      return Shortage::Kind::kNoFrames;
    }
  }
  neighbours_->MoveOut(static_cast<FrameNumber>(block->start), pages);
  return Shortage::Kind::kNone;
}

void CmaArea::Free(const SpaceBlock& block) {
  if (neighbours_ != nullptr) {
    uint64_t pages = 0;
    {
      SpinLockHolder hold(lock_);
      pages = space_.BlockSize(block.node);
    }
    neighbours_->MoveBack(static_cast<FrameNumber>(block.start), pages);
  }
  SpinLockHolder hold(lock_);
  space_.Free(block.node);
}

Shortage CmaArea::Describe(PageCount pages) const {
  SpinLockHolder hold(lock_);
  return space_.Describe(RequestFor(pages));
}

uint64_t CmaArea::used_frames() const {
  SpinLockHolder hold(lock_);
  return space_.used() - busy_frames_;
}

}  // namespace twostep
