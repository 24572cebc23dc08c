#include "twostep/machine/cma_area.h"

#include <algorithm>
#include <bit>

namespace twostep {
namespace {

// CONFIG_CMA_ALIGNMENT = 8 in the kernel: at most 256 pages, 1 MiB.
constexpr uint64_t kMaxAlignmentPages = 256;

// The area must itself start aligned, or alignment by frame number wastes its
// first part.
constexpr uint64_t kAreaAlignment = kMaxAlignmentPages;

}  // namespace

absl::StatusOr<std::unique_ptr<CmaArea>> CmaArea::Create(
    uint64_t bytes, PhysicalMemory& memory) {
  const uint64_t frames = bytes >> kPageShift;
  absl::StatusOr<FrameNumber> first = memory.Carve(0);
  if (!first.ok()) return first.status();
  const uint64_t skip =
      (kAreaAlignment - *first % kAreaAlignment) % kAreaAlignment;
  first = memory.Carve(frames == 0 ? 0 : frames + skip);
  if (!first.ok()) return first.status();
  return std::unique_ptr<CmaArea>(new CmaArea(
      *first + static_cast<FrameNumber>(skip), frames, memory.faults()));
}

CmaArea::CmaArea(FrameNumber first, uint64_t frames, Faults* faults)
    : first_(first),
      frames_(frames),
      faults_(faults),
      // An area of no frames refuses before it asks its space.
      space_(first, std::max<uint64_t>(frames, 1)) {}

SpaceRequest CmaArea::RequestFor(PageCount pages) {
  return SpaceRequest{.size = pages,
                      .alignment = std::min<uint64_t>(
                          std::bit_ceil(uint64_t{pages}), kMaxAlignmentPages)};
}

Shortage::Kind CmaArea::Allocate(PageCount pages, SpaceBlock* block) {
  if (pages > frames_) return Shortage::Kind::kNeverFits;
  if (FaultAt(faults_, FaultKind::kCma)) return Shortage::Kind::kFull;
  SpinLockHolder hold(lock_);
  return space_.Allocate(RequestFor(pages), block);
}

void CmaArea::Free(const SpaceBlock& block) {
  SpinLockHolder hold(lock_);
  space_.Free(block.node);
}

Shortage CmaArea::Describe(PageCount pages) const {
  SpinLockHolder hold(lock_);
  return space_.Describe(RequestFor(pages));
}

uint64_t CmaArea::used_frames() const {
  SpinLockHolder hold(lock_);
  return space_.used();
}

}  // namespace twostep
