#ifndef MACHINE_DMA_SEGMENTS_H_
#define MACHINE_DMA_SEGMENTS_H_

// Scatter/gather tables: a bo as runs of neighbouring bus addresses, and what a
// device asks of such runs. Pages are the grain: a run is whole pages. Knows
// addresses, not bos.
//
// The limits are those of Linux's struct device_dma_parameters
// (max_segment_size, segment_boundary_mask) and scsi_host_template
// (sg_tablesize); its defaults of 64 KiB and 4 GiB are a driver's to set here,
// too.

#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

#include "absl/functional/function_ref.h"
#include "twostep/machine/types.h"

namespace twostep {

// Neighbouring addresses.
struct DmaSegment {
  DmaAddress address = 0;
  uint64_t bytes = 0;

  friend bool operator==(const DmaSegment&, const DmaSegment&) = default;
};

struct SegmentLimits {
  static constexpr uint64_t kAny = std::numeric_limits<uint64_t>::max();

  // At least a page; what it has beyond whole pages is not used. A page: one
  // entry a page.
  uint64_t max_bytes = kAny;
  // No segment crosses a multiple of it: a power of two, at least a page. 0: it
  // may cross anything.
  uint64_t boundary = 0;
  // How many the device takes at once; at least 1.
  uint64_t max_segments = kAny;
  // Each whole block of so many bytes of a bo is contiguous, at a multiple of
  // its size (a GPU with 64 KiB pages). What is left behind the last whole
  // block needs nothing. A power of two, a page to kMaxAlignment, which is what
  // a bounce buffer can have (Swiotlb::kSetBytes).
  static constexpr uint64_t kMaxAlignment = 256 * kKiB;
  uint64_t alignment = kPageSize;
  // A power of two less one, up to kMaxMinAlignMask: the bits that the address
  // of a bounced page has in common with that of the page in memory, as a
  // device needs that takes lists of addresses of which only the first may
  // start within a block (NVMe: 4095). 0: none. With blocks of more than a page
  // it can be at most 4095, as they start at bits of their own.
  static constexpr uint64_t kMaxMinAlignMask = kMaxAlignment / 2 - 1;
  uint64_t min_align_mask = 0;

  PageCount alignment_pages() const {
    return static_cast<PageCount>(alignment >> kPageShift);
  }
  // The longest segment, in whole pages; kAny: no limit.
  uint64_t longest_bytes() const;
  // That many pages are no fewer segments, wherever they lie.
  uint64_t FewestFor(PageCount pages) const;
  // The first field that makes no sense, and why.
  struct Problem {
    const char* field;
    const char* why;
  };
  std::optional<Problem> FindProblem() const;
  // What suits both.
  SegmentLimits And(const SegmentLimits& other) const;

  friend bool operator==(const SegmentLimits&, const SegmentLimits&) = default;
};

using AddressOfPage = absl::FunctionRef<DmaAddress(PageCount)>;

// The fewest segments, in the order of the pages, that keep to max_bytes and
// boundary; they may be more than max_segments.
std::vector<DmaSegment> CoalesceSegments(PageCount pages,
                                         const SegmentLimits& limits,
                                         AddressOfPage address_of);

// Whether [first, first + limits.alignment_pages()) is contiguous and aligned.
bool BlockIsAligned(PageCount first, const SegmentLimits& limits,
                    AddressOfPage address_of);

// Whether a device with these limits can use the pages at these addresses.
bool KeepsTo(PageCount pages, const SegmentLimits& limits,
             AddressOfPage address_of);

}  // namespace twostep

#endif  // MACHINE_DMA_SEGMENTS_H_
