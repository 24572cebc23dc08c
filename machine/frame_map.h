#ifndef MACHINE_FRAME_MAP_H_
#define MACHINE_FRAME_MAP_H_

// Xen PV: the map from a guest's frames to those on the bus (p2m), in which
// neighbours are not neighbours; and the memory below 4 GiB that the hypervisor
// exchanges for a guest's own, so that a device finds neighbours there. Knows
// frames, not what they are used for. Thread-safe.
//
//   scattered --Exchange--> contiguous on the bus --Return--> scattered
//
// As arch/x86/xen/mmu_pv.c: xen_create_contiguous_region takes blocks of
// 2^order frames up to 2 MiB (MAX_CONTIG_ORDER 9). A real guest's frames may
// lie anywhere in the host; here they are scattered within each 2 MiB of the
// bus, so that a DMA mask, which is a multiple of that, cuts frames as it cuts
// addresses.

#include <memory>
#include <unordered_map>
#include <vector>

#include "absl/status/statusor.h"
#include "twostep/machine/buddy_allocator.h"
#include "twostep/machine/space.h"
#include "twostep/machine/sync.h"
#include "twostep/machine/types.h"

namespace twostep {

// What the hypervisor has to exchange: frames on the bus that end at 4 GiB. May
// serve several guests, and must outlive them.
class ExchangePool {
 public:
  // kInvalidArgument unless `bytes` is a multiple of 2 MiB, above 0 and below 4
  // GiB.
  static absl::StatusOr<std::unique_ptr<ExchangePool>> Create(uint64_t bytes);

  // 2^order neighbours, at a multiple of their number; or nothing is taken.
  Shortage::Kind Take(int order, SpaceBlock* block);
  void Return(const SpaceBlock& block);

  FrameNumber first_frame() const { return first_; }
  uint64_t frames() const { return frames_; }
  uint64_t used_frames() const;

 private:
  explicit ExchangePool(uint64_t frames);

  const uint64_t frames_;
  const FrameNumber first_;
  mutable SpinLock lock_;
  BuddyAllocator space_ ABSL_GUARDED_BY(lock_);
};

class FrameMap {
 public:
  static constexpr int kMaxOrder = 9;

  // A guest of `pool`.
  explicit FrameMap(ExchangePool& pool);
  // REQUIRES: nothing is exchanged.
  ~FrameMap();
  FrameMap(const FrameMap&) = delete;
  FrameMap& operator=(const FrameMap&) = delete;

  // Where a frame is on the bus.
  FrameNumber BusOf(FrameNumber frame) const;
  // The frame there; kNoFrame: none of this guest's.
  FrameNumber FrameAt(FrameNumber bus) const;

  // Makes [first, first + 2^order) neighbours on the bus, below 4 GiB; or
  // changes nothing where the hypervisor has no such block left (false).
  // REQUIRES: order <= kMaxOrder; none of them is exchanged, or used by a
  // device. The bytes are as they were.
  bool Exchange(FrameNumber first, int order);
  // Takes back what was exchanged at `first`.
  void Return(FrameNumber first);

  // The highest frame on the bus that an exchange can give.
  FrameNumber highest_exchanged() const {
    return pool_.first_frame() + static_cast<FrameNumber>(pool_.frames() - 1);
  }
  uint64_t exchanged_frames() const {
    return exchanged_.load(std::memory_order_relaxed);
  }

 private:
  static constexpr uint64_t kLeafEntries = uint64_t{1} << 16;
  struct Leaf {
    Atomic<FrameNumber> bus[kLeafEntries];  // + 1; 0: scattered
  };
  struct Exchanged {
    int order;
    SpaceBlock block;
  };

  Atomic<FrameNumber>& Slot(FrameNumber frame);

  ExchangePool& pool_;
  std::vector<Atomic<Leaf*>> leaves_;
  // By frame on the bus, of the pool: the guest's frame + 1.
  std::vector<Atomic<FrameNumber>> back_;
  Atomic<uint64_t> exchanged_{0};
  mutable SpinLock lock_;
  // By their first frames.
  std::unordered_map<FrameNumber, Exchanged> blocks_ ABSL_GUARDED_BY(lock_);
};

}  // namespace twostep

#endif  // MACHINE_FRAME_MAP_H_
