#include "twostep/machine/swiotlb.h"

#include <algorithm>
#include <bit>

#include "absl/strings/str_cat.h"

namespace twostep {
namespace {

constexpr FrameNumber kSetFrames = Swiotlb::kSetBytes >> kPageShift;

// Threads are numbered from 1 on, as they first ask.
struct ThreadNumber {
  uint32_t value = 0;
};
uint32_t NumberOfThread() {
  static Atomic<uint32_t> threads{0};
  uint32_t& number = PerThread<ThreadNumber, ThreadNumber>::Get().value;
  if (number == 0) number = 1 + threads.fetch_add(1, std::memory_order_relaxed);
  return number;
}

uint32_t AreasFor(uint32_t wanted, uint64_t frames) {
  const uint64_t sets = std::max<uint64_t>(frames / kSetFrames, 1);
  return std::min(std::bit_ceil(wanted),
                  static_cast<uint32_t>(std::bit_floor(sets)));
}

// The first place in a hole that begins `behind` slots behind a multiple of
// `period`. The kernel looks slot by slot, too.
Shortage::Kind AllocateBehind(RangeAllocator& slots, SpaceRequest request,
                              uint64_t period, uint64_t behind,
                              SpaceBlock* block) {
  bool found = false;
  slots.ForEachBlock([&](uint64_t start, uint64_t size, bool used) {
    if (used || found) return;
    uint64_t at = start - start % period + behind;
    if (at < start) at += period;
    for (; at + request.size <= start + size; at += period) {
      if (at / request.boundary != (at + request.size - 1) / request.boundary) {
        continue;
      }
      request.first = at;
      found = true;
      return;
    }
  });
  if (!found) {
    return slots.free() < request.size ? Shortage::Kind::kFull
                                       : Shortage::Kind::kFragmented;
  }
  request.alignment = 1;
  request.end = request.first + request.size;
  return slots.Allocate(request, block);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Swiotlb>> Swiotlb::Create(
    const SwiotlbConfig& config, PhysicalMemory& memory, FrameMap* frame_map) {
  const uint64_t frames = config.bytes >> kPageShift;
  absl::StatusOr<FrameNumber> first = memory.Carve(0);
  if (!first.ok()) return first.status();
  const FrameNumber skip = (kSetFrames - *first % kSetFrames) % kSetFrames;
  first = memory.Carve(frames == 0 ? 0 : frames + skip);
  if (!first.ok()) return first.status();
  auto pool = std::unique_ptr<Swiotlb>(
      new Swiotlb(*first + (frames == 0 ? 0 : skip), frames,
                  AreasFor(config.areas, frames), frame_map, memory.faults()));
  if (frame_map == nullptr) return pool;
  // A last set that is short is exchanged in smaller and smaller blocks.
  for (FrameNumber at = pool->first_; at < pool->end_frame();) {
    const int order =
        std::bit_width(std::min(kSetFrames, pool->end_frame() - at)) - 1;
    if (!frame_map->Exchange(at, order)) {
      return absl::ResourceExhaustedError(absl::StrCat(
          "the hypervisor has too little below 4 GiB for a bounce pool of ",
          config.bytes, " bytes: make xen.exchange_bytes larger"));
    }
    pool->exchanged_.push_back(at);
    at += FrameNumber{1} << order;
  }
  return pool;
}

Swiotlb::~Swiotlb() {
  for (const FrameNumber first : exchanged_) frame_map_->Return(first);
}

Swiotlb::Swiotlb(FrameNumber first, uint64_t frames, uint32_t areas,
                 FrameMap* frame_map, Faults* faults)
    : first_(first),
      frames_(frames),
      frame_map_(frame_map),
      faults_(faults),
      made_by_(NumberOfThread()),
      area_slots_(frames / kSetFrames / areas * kSetSlots) {
  const uint64_t start = first * kSlotsAPage;
  for (uint32_t i = 0; i + 1 < areas; ++i) {
    areas_.emplace_back(start + i * area_slots_, area_slots_);
  }
  // A pool of no slots refuses before it asks for any.
  const uint64_t before = (areas - 1) * area_slots_;
  areas_.emplace_back(start + before,
                      std::max<uint64_t>(frames, 1) * kSlotsAPage - before);
}

size_t Swiotlb::OwnArea() const {
  if (areas_.size() == 1) return 0;
  return (NumberOfThread() - made_by_) & (areas_.size() - 1);
}

Swiotlb::Area& Swiotlb::AreaOf(const SpaceBlock& slots) {
  if (areas_.size() == 1) return areas_[0];
  const uint64_t area = (slots.start - first_ * kSlotsAPage) / area_slots_;
  return areas_[std::min<uint64_t>(area, areas_.size() - 1)];
}

SpaceRequest Swiotlb::SpaceFor(const Request& request) {
  const uint64_t kept = request.address & request.min_align_mask;
  return SpaceRequest{
      .size =
          (request.bytes + kept % kSlotBytes + (kSlotBytes - 1)) >> kSlotShift,
      .alignment = std::max(request.alignment, kSlotBytes) >> kSlotShift,
      .boundary = std::min(request.boundary, kSetBytes) >> kSlotShift};
}

Shortage::Kind Swiotlb::Allocate(const Request& request, SpaceBlock* slots) {
  const SpaceRequest space = SpaceFor(request);
  if (request.bytes > LongestFor(request.min_align_mask) ||
      space.size > space.boundary) {
    return Shortage::Kind::kTooLong;
  }
  if (frames_ == 0) return Shortage::Kind::kNeverFits;
  if (FaultAt(faults_, FaultKind::kSlot)) return Shortage::Kind::kFull;
  const uint64_t period = (request.min_align_mask + 1) >> kSlotShift;
  const uint64_t behind =
      (request.address & request.min_align_mask) >> kSlotShift;
  const size_t own = OwnArea();
  uint64_t free = 0;
  bool never = true;
  for (size_t i = 0; i < areas_.size(); ++i) {
    Area& area = areas_[(own + i) & (areas_.size() - 1)];
    SpinLockHolder hold(area.lock);
    const Shortage::Kind kind =
        period > space.alignment
            ? AllocateBehind(area.slots, space, period, behind, slots)
            : area.slots.Allocate(space, slots);
    if (kind == Shortage::Kind::kNone) return kind;
    never &= kind == Shortage::Kind::kNeverFits;
    free += area.slots.free();
  }
  if (never) return Shortage::Kind::kNeverFits;
  return free < space.size ? Shortage::Kind::kFull
                           : Shortage::Kind::kFragmented;
}

void Swiotlb::Free(const SpaceBlock& slots) {
  Area& area = AreaOf(slots);
  SpinLockHolder hold(area.lock);
  area.slots.Free(slots.node);
}

void Swiotlb::ForEachArea(absl::FunctionRef<void(RangeAllocator&)> use) {
  const size_t own = OwnArea();
  for (size_t i = 0; i < areas_.size(); ++i) {
    Area& area = areas_[(own + i) & (areas_.size() - 1)];
    SpinLockHolder hold(area.lock);
    use(area.slots);
  }
}

Shortage Swiotlb::Describe(PageCount pages) const {
  uint64_t free = 0;
  uint64_t longest = 0;
  for (const Area& area : areas_) {
    if (frames_ == 0) break;
    SpinLockHolder hold(area.lock);
    free += area.slots.free() / kSlotsAPage;
    area.slots.ForEachBlock([&](uint64_t start, uint64_t size, bool used) {
      if (used) return;
      // A hole is cut where sets meet: whole sets, or what it has of two.
      const uint64_t first_cut = (start / kSetSlots + 1) * kSetSlots;
      const uint64_t end = start + size;
      longest = std::max(longest, std::min(end, first_cut) - start);
      if (end <= first_cut) return;
      longest = std::max(longest, std::min(end - first_cut, kSetSlots));
    });
  }
  const Shortage::Kind kind = pages > frames_ ? Shortage::Kind::kNeverFits
                              : pages > free  ? Shortage::Kind::kFull
                                              : Shortage::Kind::kNone;
  return Shortage{kind, free, longest / kSlotsAPage};
}

uint64_t Swiotlb::used_frames() const {
  if (frames_ == 0) return 0;
  uint64_t slots = 0;
  for (const Area& area : areas_) {
    SpinLockHolder hold(area.lock);
    slots += area.slots.used();
  }
  return (slots + (kSlotsAPage - 1)) / kSlotsAPage;
}

}  // namespace twostep
