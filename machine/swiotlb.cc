#include "twostep/machine/swiotlb.h"

#include <algorithm>
#include <bit>

#include "absl/strings/str_cat.h"

namespace twostep {

absl::StatusOr<std::unique_ptr<Swiotlb>> Swiotlb::Create(uint64_t bytes,
                                                         PhysicalMemory& memory,
                                                         FrameMap* frame_map) {
  constexpr FrameNumber kSetFrames = kSetBytes >> kPageShift;
  const uint64_t frames = bytes >> kPageShift;
  absl::StatusOr<FrameNumber> first = memory.Carve(0);
  if (!first.ok()) return first.status();
  const FrameNumber skip = (kSetFrames - *first % kSetFrames) % kSetFrames;
  first = memory.Carve(frames == 0 ? 0 : frames + skip);
  if (!first.ok()) return first.status();
  auto pool = std::unique_ptr<Swiotlb>(new Swiotlb(
      *first + (frames == 0 ? 0 : skip), frames, frame_map, memory.faults()));
  if (frame_map == nullptr) return pool;
  // A last set that is short is exchanged in smaller and smaller blocks.
  for (FrameNumber at = pool->first_; at < pool->end_frame();) {
    const int order =
        std::bit_width(std::min(kSetFrames, pool->end_frame() - at)) - 1;
    if (!frame_map->Exchange(at, order)) {
      return absl::ResourceExhaustedError(absl::StrCat(
          "the hypervisor has too little below 4 GiB for a bounce pool of ",
          bytes, " bytes: make xen.exchange_bytes larger"));
    }
    pool->exchanged_.push_back(at);
    at += FrameNumber{1} << order;
  }
  return pool;
}

Swiotlb::~Swiotlb() {
  for (const FrameNumber first : exchanged_) frame_map_->Return(first);
}

Swiotlb::Swiotlb(FrameNumber first, uint64_t frames, FrameMap* frame_map,
                 Faults* faults)
    : first_(first),
      frames_(frames),
      frame_map_(frame_map),
      faults_(faults),
      // A pool of no slots refuses before it asks for any.
      slots_(first * kSlotsAPage, std::max<uint64_t>(frames, 1) * kSlotsAPage) {
}

Shortage::Kind Swiotlb::Allocate(const Request& request, SpaceBlock* slots) {
  const uint64_t boundary = std::min(request.boundary, kSetBytes);
  if (request.bytes > boundary) return Shortage::Kind::kTooLong;
  if (frames_ == 0) return Shortage::Kind::kNeverFits;
  if (FaultAt(faults_, FaultKind::kSlot)) return Shortage::Kind::kFull;
  const SpaceRequest space{
      .size = (request.bytes + (kSlotBytes - 1)) >> kSlotShift,
      .alignment = std::max(request.alignment, kSlotBytes) >> kSlotShift,
      .boundary = boundary >> kSlotShift};
  SpinLockHolder hold(lock_);
  return slots_.Allocate(space, slots);
}

void Swiotlb::Free(const SpaceBlock& slots) {
  SpinLockHolder hold(lock_);
  slots_.Free(slots.node);
}

Shortage Swiotlb::Describe(PageCount pages) const {
  SpinLockHolder hold(lock_);
  const uint64_t free = frames_ == 0 ? 0 : slots_.free() / kSlotsAPage;
  uint64_t longest = 0;
  slots_.ForEachBlock([&](uint64_t start, uint64_t size, bool used) {
    if (used || free == 0) return;
    // A hole is cut where sets meet: whole sets, or what it has of two.
    const uint64_t first_cut = (start / kSetSlots + 1) * kSetSlots;
    const uint64_t end = start + size;
    longest = std::max(longest, std::min(end, first_cut) - start);
    if (end <= first_cut) return;
    longest = std::max(longest, std::min(end - first_cut, kSetSlots));
  });
  const Shortage::Kind kind = pages > frames_ ? Shortage::Kind::kNeverFits
                              : pages > free  ? Shortage::Kind::kFull
                                              : Shortage::Kind::kNone;
  return Shortage{kind, free, longest / kSlotsAPage};
}

uint64_t Swiotlb::used_frames() const {
  if (frames_ == 0) return 0;
  SpinLockHolder hold(lock_);
  return (slots_.used() + (kSlotsAPage - 1)) / kSlotsAPage;
}

}  // namespace twostep
