#include "twostep/machine/dma_segments.h"

#include <algorithm>
#include <bit>

namespace twostep {
namespace {

bool IsSize(uint64_t bytes) {
  return bytes >= kPageSize && std::has_single_bit(bytes);
}

void ForEachSegment(PageCount pages, const SegmentLimits& limits,
                    AddressOfPage address_of,
                    absl::FunctionRef<void(const DmaSegment&)> visit) {
  if (pages == 0) return;
  const uint64_t longest = limits.longest_bytes();
  const auto at_boundary = [&](DmaAddress address) {
    return limits.boundary != 0 && (address & (limits.boundary - 1)) == 0;
  };
  DmaSegment segment{address_of(0), kPageSize};
  for (PageCount page = 1; page < pages; ++page) {
    const DmaAddress address = address_of(page);
    if (segment.address + segment.bytes == address && segment.bytes < longest &&
        !at_boundary(address)) {
      segment.bytes += kPageSize;
      continue;
    }
    visit(segment);
    segment = DmaSegment{address, kPageSize};
  }
  visit(segment);
}

}  // namespace

std::optional<SegmentLimits::Problem> SegmentLimits::FindProblem() const {
  if (!IsSize(alignment) || alignment > kMaxAlignment) {
    return Problem{"alignment", "not a power of two from 4 KiB to 256 KiB"};
  }
  if (max_bytes < alignment) {
    return Problem{"max_bytes", "less than a page, or than the alignment"};
  }
  if (boundary != 0 && (!IsSize(boundary) || boundary < alignment)) {
    return Problem{"boundary",
                   "not a power of two, or less than a page, or than the "
                   "alignment"};
  }
  if (max_segments == 0) {
    return Problem{"max_segments", "no segment holds nothing"};
  }
  if ((min_align_mask & (min_align_mask + 1)) != 0 ||
      min_align_mask > kMaxMinAlignMask) {
    return Problem{"min_align_mask",
                   "not a power of two less one, up to 131071"};
  }
  if (min_align_mask != 0 && alignment > kPageSize &&
      (min_align_mask >= kPageSize || alignment == kMaxAlignment)) {
    return Problem{"min_align_mask",
                   "cannot be kept in blocks that are aligned"};
  }
  return std::nullopt;
}

uint64_t SegmentLimits::longest_bytes() const {
  const uint64_t longest =
      boundary == 0 ? max_bytes : std::min(max_bytes, boundary);
  return longest == kAny ? kAny : longest & ~(kPageSize - 1);
}

uint64_t SegmentLimits::FewestFor(PageCount pages) const {
  const uint64_t longest = longest_bytes();
  const uint64_t bytes = PagesToBytes(pages);
  return bytes / longest + (bytes % longest != 0 ? 1 : 0);
}

SegmentLimits SegmentLimits::And(const SegmentLimits& other) const {
  return SegmentLimits{
      .max_bytes = std::min(max_bytes, other.max_bytes),
      .boundary = boundary == 0         ? other.boundary
                  : other.boundary == 0 ? boundary
                                        : std::min(boundary, other.boundary),
      .max_segments = std::min(max_segments, other.max_segments),
      .alignment = std::max(alignment, other.alignment),
      .min_align_mask = min_align_mask | other.min_align_mask};
}

std::vector<DmaSegment> CoalesceSegments(PageCount pages,
                                         const SegmentLimits& limits,
                                         AddressOfPage address_of) {
  std::vector<DmaSegment> segments;
  ForEachSegment(pages, limits, address_of, [&](const DmaSegment& segment) {
    segments.push_back(segment);
  });
  return segments;
}

bool BlockIsAligned(PageCount first, const SegmentLimits& limits,
                    AddressOfPage address_of) {
  const DmaAddress start = address_of(first);
  if ((start & (limits.alignment - 1)) != 0) return false;
  for (PageCount i = 1; i < limits.alignment_pages(); ++i) {
    if (address_of(first + i) != start + PagesToBytes(i)) return false;
  }
  return true;
}

bool KeepsTo(PageCount pages, const SegmentLimits& limits,
             AddressOfPage address_of) {
  const PageCount block = limits.alignment_pages();
  for (PageCount first = 0; block > 1 && pages - first >= block;
       first += block) {
    if (!BlockIsAligned(first, limits, address_of)) return false;
  }
  if (pages <= limits.max_segments) return true;
  uint64_t segments = 0;
  ForEachSegment(pages, limits, address_of,
                 [&](const DmaSegment&) { ++segments; });
  return segments <= limits.max_segments;
}

}  // namespace twostep
