#include "twostep/machine/frame_map.h"

#include "absl/strings/str_cat.h"
#include "twostep/machine/check.h"
#include "twostep/machine/page_table_leaf.h"

namespace twostep {
namespace {

// Within 2 MiB: frame i is at (i * kStride + kOffset) mod 512. The stride is
// odd, so this is one to one, and neighbours are 181 or 331 apart, also from
// one 2 MiB to the next.
constexpr FrameNumber kScatterFrames = 512;
constexpr FrameNumber kStride = 181;
constexpr FrameNumber kOffset = 77;
constexpr FrameNumber kInverse = 413;
static_assert(kStride * kInverse % kScatterFrames == 1);

FrameNumber Scatter(FrameNumber frame) {
  const FrameNumber within = frame % kScatterFrames;
  return frame - within + (within * kStride + kOffset) % kScatterFrames;
}

FrameNumber Gather(FrameNumber bus) {
  const FrameNumber within = bus % kScatterFrames;
  return bus - within +
         (within + kScatterFrames - kOffset) * kInverse % kScatterFrames;
}

}  // namespace

absl::StatusOr<std::unique_ptr<ExchangePool>> ExchangePool::Create(
    uint64_t bytes) {
  if (bytes == 0 || bytes % (2 * kMiB) != 0 || bytes >= 4 * kGiB) {
    return absl::InvalidArgumentError(
        absl::StrCat("exchange pool: ", bytes,
                     " bytes are no multiple of 2 MiB between 0 and 4 GiB"));
  }
  return std::unique_ptr<ExchangePool>(new ExchangePool(bytes >> kPageShift));
}

ExchangePool::ExchangePool(uint64_t frames)
    : frames_(frames),
      first_(static_cast<FrameNumber>((4 * kGiB >> kPageShift) - frames)),
      space_(first_, frames) {}

Shortage::Kind ExchangePool::Take(int order, SpaceBlock* block) {
  const uint64_t size = uint64_t{1} << order;
  SpinLockHolder hold(lock_);
  return space_.Allocate(SpaceRequest{.size = size, .alignment = size}, block);
}

void ExchangePool::Return(const SpaceBlock& block) {
  SpinLockHolder hold(lock_);
  space_.Free(block.node);
}

uint64_t ExchangePool::used_frames() const {
  SpinLockHolder hold(lock_);
  return space_.used();
}

FrameMap::FrameMap(ExchangePool& pool)
    : pool_(pool),
      leaves_((uint64_t{1} << 32) / kLeafEntries),
      back_(pool.frames()) {}

FrameMap::~FrameMap() {
  TWOSTEP_CHECK(exchanged_frames() == 0);
  for (auto& leaf : leaves_) delete leaf.load(std::memory_order_relaxed);
}

Atomic<FrameNumber>& FrameMap::Slot(FrameNumber frame) {
  return LeafAt(leaves_[frame / kLeafEntries]).bus[frame % kLeafEntries];
}

FrameNumber FrameMap::BusOf(FrameNumber frame) const {
  const Leaf* leaf =
      leaves_[frame / kLeafEntries].load(std::memory_order_acquire);
  const FrameNumber bus =
      leaf == nullptr
          ? 0
          : leaf->bus[frame % kLeafEntries].load(std::memory_order_acquire);
  return bus == 0 ? Scatter(frame) : bus - 1;
}

FrameNumber FrameMap::FrameAt(FrameNumber bus) const {
  if (bus >= pool_.first_frame() && bus <= highest_exchanged()) {
    // 0 - 1 is kNoFrame.
    return back_[bus - pool_.first_frame()].load(std::memory_order_acquire) - 1;
  }
  const FrameNumber frame = Gather(bus);
  // What was exchanged is the hypervisor's meanwhile.
  return BusOf(frame) == bus ? frame : kNoFrame;
}

bool FrameMap::Exchange(FrameNumber first, int order) {
  TWOSTEP_CHECK(order <= kMaxOrder);
  SpaceBlock block;
  if (pool_.Take(order, &block) != Shortage::Kind::kNone) return false;
  const FrameNumber frames = FrameNumber{1} << order;
  const auto bus = static_cast<FrameNumber>(block.start);
  for (FrameNumber i = 0; i < frames; ++i) {
    TWOSTEP_DCHECK(Slot(first + i).load(std::memory_order_relaxed) == 0);
    Slot(first + i).store(bus + i + 1, std::memory_order_release);
    back_[bus + i - pool_.first_frame()].store(first + i + 1,
                                               std::memory_order_release);
  }
  exchanged_.fetch_add(frames, std::memory_order_relaxed);
  SpinLockHolder hold(lock_);
  blocks_.emplace(first, Exchanged{order, block});
  return true;
}

void FrameMap::Return(FrameNumber first) {
  Exchanged exchanged;
  {
    SpinLockHolder hold(lock_);
    const auto it = blocks_.find(first);
    TWOSTEP_CHECK(it != blocks_.end());
    exchanged = it->second;
    blocks_.erase(it);
  }
  const FrameNumber frames = FrameNumber{1} << exchanged.order;
  const auto bus = static_cast<FrameNumber>(exchanged.block.start);
  for (FrameNumber i = 0; i < frames; ++i) {
    Slot(first + i).store(0, std::memory_order_release);
    back_[bus + i - pool_.first_frame()].store(0, std::memory_order_release);
  }
  exchanged_.fetch_sub(frames, std::memory_order_relaxed);
  pool_.Return(exchanged.block);
}

}  // namespace twostep
