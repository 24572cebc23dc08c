#include "twostep/machine/dma_domain.h"

#include <algorithm>
#include <utility>

#include "twostep/machine/check.h"
#include "twostep/machine/dma_debug.h"
#include "twostep/machine/page_table_leaf.h"

namespace twostep {

DmaDomain::DmaDomain(std::string name, const IommuConfig& config, Clock& clock,
                     const CostModel& cost, const FrameMap* frame_map,
                     Faults* faults, DmaDebug* debug)
    : name_(std::move(name)),
      mode_(config.mode),
      iova_base_page_(config.iova_base >> kPageShift),
      iova_pages_(translated() ? config.iova_bytes >> kPageShift : 0),
      flush_queue_(config.flush_queue),
      frame_map_(frame_map),
      faults_(faults),
      debug_(debug),
      clock_(clock),
      cost_(cost),
      // A domain that does not translate never asks its space.
      space_(iova_base_page_, std::max<uint64_t>(iova_pages_, 1)),
      leaves_((iova_pages_ + kLeafEntries - 1) / kLeafEntries),
      direct_leaves_((uint64_t{1} << 32) / DirectLeaf::kFrames) {}

DmaDomain::~DmaDomain() {
  for (auto& leaf : leaves_) delete leaf.load(std::memory_order_relaxed);
  for (auto& leaf : direct_leaves_) delete leaf.load(std::memory_order_relaxed);
}

Atomic<FrameNumber>& DmaDomain::EntryFor(uint64_t iova_page) {
  const uint64_t index = iova_page - iova_base_page_;
  return LeafAt(leaves_[index / kLeafEntries]).frames[index % kLeafEntries];
}

SpaceRequest DmaDomain::RequestFor(PageCount pages, const IovaLimits& limits) {
  const DmaAddress highest = limits.highest;
  return SpaceRequest{.size = pages,
                      .alignment = limits.alignment_pages,
                      .end = highest == ~DmaAddress{0}
                                 ? ~uint64_t{0}
                                 : (highest >> kPageShift) + 1};
}

// Entries hold frame + 1, so that a leaf starts out with nothing mapped.
Shortage::Kind DmaDomain::Map(std::span<const FrameNumber> frames,
                              const IovaLimits& limits, SpaceBlock* iova) {
  TWOSTEP_CHECK(translated());
  // Of IOVAs it refuses nothing.
  if (debug_ != nullptr) debug_->MayMap(*this, /*direct=*/false, frames);
  const Shortage::Kind kind =
      TakeIovas(static_cast<PageCount>(frames.size()), limits, iova);
  if (kind != Shortage::Kind::kNone) {
    if (debug_ != nullptr) debug_->MapRefused();
    return kind;
  }
  for (uint64_t i = 0; i < frames.size(); ++i) {
    Atomic<FrameNumber>& entry = EntryFor(iova->start + i);
    TWOSTEP_DCHECK(entry.load(std::memory_order_relaxed) == 0);
    entry.store(frames[i] + 1, std::memory_order_release);
  }
  if (debug_ != nullptr) debug_->Mapped(*this, iova, frames);
  return kind;
}

Shortage::Kind DmaDomain::TakeIovas(PageCount pages, const IovaLimits& limits,
                                    SpaceBlock* iova) {
  SpinLockHolder hold(lock_);
  if (gate_.HeldByOther()) return Shortage::Kind::kFull;
  if (FaultAt(faults_, FaultKind::kIova)) return Shortage::Kind::kFull;
  const SpaceRequest request = RequestFor(pages, limits);
  Shortage::Kind kind = space_.Allocate(request, iova);
  if (kind != Shortage::Kind::kNone && !queue_.empty()) {
    Flush();
    kind = space_.Allocate(request, iova);
  }
  if (kind != Shortage::Kind::kNone) return kind;
  // The model's own tables come from the process, which has enough: what an
  // IOMMU driver would allocate for each mapping fails only when told to.
  if (FaultAt(faults_, FaultKind::kTable)) {
    space_.Free(iova->node);
    *iova = SpaceBlock{};
    return Shortage::Kind::kNoTables;
  }
  return kind;
}

void DmaDomain::Unmap(const SpaceBlock& iova, PageCount pages,
                      std::span<const FrameNumber> frames) {
  if (debug_ == nullptr) {
    RemoveIovas(iova, pages);
  } else if (const auto undo = debug_->Unmapped(*this, iova, pages, frames)) {
    Remove(*undo);
  }
}

void DmaDomain::Remove(const DmaMapping& mapping) {
  if (mapping.direct) {
    RemoveDirect(mapping.frames);
  } else {
    RemoveIovas(mapping.iova, static_cast<PageCount>(mapping.frames.size()));
  }
}

void DmaDomain::RemoveIovas(const SpaceBlock& iova, PageCount pages) {
  for (uint64_t i = 0; i < pages; ++i) {
    Atomic<FrameNumber>& entry = EntryFor(iova.start + i);
    TWOSTEP_DCHECK(entry.load(std::memory_order_relaxed) != 0);
    entry.store(0, std::memory_order_release);
  }
  SpinLockHolder hold(lock_);
  queue_.push_back(iova.node);
  queued_pages_ += pages;
  if (queue_.size() > flush_queue_) Flush();
}

void DmaDomain::Flush() {
  if (queue_.empty()) return;
  for (const uint32_t node : queue_) space_.Free(node);
  queue_.clear();
  queued_pages_ = 0;
  flushes_.fetch_add(1, std::memory_order_relaxed);
  clock_.Charge(cost_.unmap_ns);
}

// Neighbours on the bus share a word: one atomic operation for all of them.
void DmaDomain::SetDirect(std::span<const FrameNumber> frames, bool mapped) {
  const auto bus_of = [&](size_t i) {
    return frame_map_ == nullptr ? frames[i] : frame_map_->BusOf(frames[i]);
  };
  for (size_t i = 0; i < frames.size();) {
    const FrameNumber first = bus_of(i);
    uint64_t bits = 0;
    for (; i < frames.size() && bus_of(i) / 64 == first / 64; ++i) {
      const uint64_t bit = uint64_t{1} << (bus_of(i) % 64);
      TWOSTEP_CHECK((bits & bit) == 0);  // twice in one call
      bits |= bit;
    }
    DirectLeaf& leaf = LeafAt(direct_leaves_[first / DirectLeaf::kFrames]);
    Atomic<uint64_t>& word = leaf.bits[first / 64 % kLeafEntries];
    const uint64_t before =
        mapped ? word.fetch_or(bits, std::memory_order_release)
               : word.fetch_and(~bits, std::memory_order_release);
    // Mapped twice, or unmapped while not mapped: the bookkeeping is broken.
    TWOSTEP_CHECK((before & bits) == (mapped ? 0 : bits));
  }
}

void DmaDomain::MapDirect(std::span<const FrameNumber> frames) {
  if (debug_ != nullptr && !debug_->MayMap(*this, /*direct=*/true, frames)) {
    return;
  }
  SetDirect(frames, true);
  direct_pages_.fetch_add(frames.size(), std::memory_order_relaxed);
  if (debug_ != nullptr) debug_->Mapped(*this, nullptr, frames);
}

void DmaDomain::UnmapDirect(std::span<const FrameNumber> frames) {
  if (debug_ == nullptr) {
    RemoveDirect(frames);
  } else if (const auto undo = debug_->UnmappedDirect(*this, frames)) {
    Remove(*undo);
  }
}

void DmaDomain::RemoveDirect(std::span<const FrameNumber> frames) {
  SetDirect(frames, false);
  direct_pages_.fetch_sub(frames.size(), std::memory_order_relaxed);
}

FrameNumber DmaDomain::Translate(DmaAddress address) const {
  const uint64_t page = address >> kPageShift;
  if (page >= iova_base_page_ && page - iova_base_page_ < iova_pages_) {
    const uint64_t index = page - iova_base_page_;
    const Leaf* leaf =
        leaves_[index / kLeafEntries].load(std::memory_order_acquire);
    if (leaf == nullptr) return kNoFrame;
    // Nothing mapped is 0, and 0 - 1 is kNoFrame.
    return leaf->frames[index % kLeafEntries].load(std::memory_order_acquire) -
           1;
  }
  if (page >= kNoFrame) return kNoFrame;
  const DirectLeaf* leaf = direct_leaves_[page / DirectLeaf::kFrames].load(
      std::memory_order_acquire);
  if (leaf == nullptr) return kNoFrame;
  const uint64_t word =
      leaf->bits[page / 64 % kLeafEntries].load(std::memory_order_acquire);
  if ((word >> (page % 64) & 1) == 0) return kNoFrame;
  const auto bus = static_cast<FrameNumber>(page);
  return frame_map_ == nullptr ? bus : frame_map_->FrameAt(bus);
}

Shortage DmaDomain::Describe(PageCount pages, const IovaLimits& limits) const {
  SpinLockHolder hold(lock_);
  Shortage shortage = space_.Describe(RequestFor(pages, limits));
  shortage.free += queued_pages_;
  return shortage;
}

uint64_t DmaDomain::used_iova_pages() const {
  SpinLockHolder hold(lock_);
  return space_.used() - queued_pages_;
}

uint64_t DmaDomain::queued_iova_pages() const {
  SpinLockHolder hold(lock_);
  return queued_pages_;
}

}  // namespace twostep
