#ifndef MACHINE_DMA_DOMAIN_H_
#define MACHINE_DMA_DOMAIN_H_

// The DMA addresses that the devices of one IOMMU domain may use, and the frame
// behind each. Every device access is translated here; what is not mapped
// faults, also on a machine without an IOMMU, where addresses are physical and
// only the permission is checked. Knows frames, not bos.
//
// IOVAs come from a space that fills and fragments. Direct addresses (DMA
// address = physical address) are an identity mapping beside it and never run
// out. Thread-safe; translation takes no lock.
//
// With a flush queue an unmapped address faults at once, and is given to nobody
// until the IOTLB is flushed: when the queue is full, or the space would be.
//
//   free --Map--> mapped --Unmap--> queued --flush--> free

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "twostep/machine/clock.h"
#include "twostep/machine/faults.h"
#include "twostep/machine/frame_map.h"
#include "twostep/machine/machine_config.h"
#include "twostep/machine/range_allocator.h"
#include "twostep/machine/reservation_lock.h"
#include "twostep/machine/space.h"
#include "twostep/machine/sync.h"
#include "twostep/machine/types.h"

namespace twostep {

// Where in an IOVA space a mapping may lie.
struct IovaLimits {
  DmaAddress highest = ~DmaAddress{0};  // an address
  uint64_t alignment_pages = 1;         // a power of two
};

class DmaDebug;
struct DmaMapping;

class DmaDomain {
 public:
  // The clock is charged for flushes. `frame_map` may be null: frames are on
  // the bus where they are; `faults` and `debug`, too. All must outlive the
  // domain.
  DmaDomain(std::string name, const IommuConfig& config, Clock& clock,
            const CostModel& cost, const FrameMap* frame_map,
            Faults* faults = nullptr, DmaDebug* debug = nullptr);
  ~DmaDomain();
  DmaDomain(const DmaDomain&) = delete;
  DmaDomain& operator=(const DmaDomain&) = delete;

  const std::string& name() const { return name_; }
  DmaDebug* debug() const { return debug_; }  // null: nothing is checked
  // Whether there are IOVAs; and whether every mapping is of them.
  bool translated() const {
    return mode_ == IommuMode::kTranslated || mode_ == IommuMode::kGart;
  }
  bool always_translates() const { return mode_ == IommuMode::kTranslated; }

  // Maps `frames` at contiguous IOVAs within the limits. REQUIRES:
  // translated(). On shortage, or when another has the gate (kFull), nothing is
  // mapped. kNoTables: page frames are what is short.
  Shortage::Kind Map(std::span<const FrameNumber> frames,
                     const IovaLimits& limits, SpaceBlock* iova);
  // `iova.start` is an IOVA page number. `frames`, where they are at hand, are
  // compared with what was mapped when that is checked.
  void Unmap(const SpaceBlock& iova, PageCount pages,
             std::span<const FrameNumber> frames = {});
  // Lets the devices use the physical addresses of the frames.
  void MapDirect(std::span<const FrameNumber> frames);
  void UnmapDirect(std::span<const FrameNumber> frames);

  // What MapDirect lets them put on the bus for a frame.
  DmaAddress DirectAddress(FrameNumber frame) const {
    return DmaAddress{frame_map_ == nullptr ? frame : frame_map_->BusOf(frame)}
           << kPageShift;
  }
  const FrameMap* frame_map() const { return frame_map_; }

  // The frame that a device reaches at `address`; kNoFrame: it faults.
  FrameNumber Translate(DmaAddress address) const;

  // Full or fragmented, and by how much, for a mapping of `pages`.
  Shortage Describe(PageCount pages, const IovaLimits& limits) const;
  uint64_t iova_pages() const { return iova_pages_; }
  // Mapped now.
  uint64_t used_iova_pages() const;
  // Unmapped, and not flushed yet.
  uint64_t queued_iova_pages() const;
  uint64_t flushes() const { return flushes_.load(std::memory_order_relaxed); }
  // Direct mappings alive, for audits.
  uint64_t direct_pages() const {
    return direct_pages_.load(std::memory_order_relaxed);
  }
  // Held by who makes room: nobody else is given IOVAs meanwhile.
  ReservationLock& gate() { return gate_; }
  // For choosing victims by position: call with space_lock() held. Nothing in
  // the space waits for a flush.
  SpinLock& space_lock() ABSL_LOCK_RETURNED(lock_) { return lock_; }
  RangeAllocator& space() ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_) {
    Flush();
    return space_;
  }
  static SpaceRequest RequestFor(PageCount pages, const IovaLimits& limits);

 private:
  // Page tables have two levels; leaves appear when first used and stay.
  static constexpr uint64_t kLeafEntries = 1024;
  struct Leaf {
    Atomic<FrameNumber> frames[kLeafEntries];
  };
  // One bit a frame.
  struct DirectLeaf {
    static constexpr uint64_t kFrames = 64 * kLeafEntries;
    Atomic<uint64_t> bits[kLeafEntries];
  };

  Atomic<FrameNumber>& EntryFor(uint64_t iova_page);
  void SetDirect(std::span<const FrameNumber> frames, bool mapped);
  Shortage::Kind TakeIovas(PageCount pages, const IovaLimits& limits,
                           SpaceBlock* iova);
  void RemoveIovas(const SpaceBlock& iova, PageCount pages);
  void RemoveDirect(std::span<const FrameNumber> frames);
  void Remove(const DmaMapping& mapping);
  // Charges, and frees what was queued.
  void Flush() ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);

  const std::string name_;
  const IommuMode mode_;
  const uint64_t iova_base_page_;
  const uint64_t iova_pages_;
  const uint32_t flush_queue_;
  const FrameMap* const frame_map_;
  Faults* const faults_;
  DmaDebug* const debug_;
  Clock& clock_;
  const CostModel& cost_;
  ReservationLock gate_;
  mutable SpinLock lock_;
  RangeAllocator space_ ABSL_GUARDED_BY(lock_);
  std::vector<uint32_t> queue_ ABSL_GUARDED_BY(lock_);  // nodes of space_
  uint64_t queued_pages_ ABSL_GUARDED_BY(lock_) = 0;
  Atomic<uint64_t> flushes_{0};
  std::vector<Atomic<Leaf*>> leaves_;
  std::vector<Atomic<DirectLeaf*>> direct_leaves_;
  Atomic<uint64_t> direct_pages_{0};
};

}  // namespace twostep

#endif  // MACHINE_DMA_DOMAIN_H_
