#ifndef MEM_TYPES_MEMORY_MANAGER_H_
#define MEM_TYPES_MEMORY_MANAGER_H_

// Step 2. A manager hands out the space of one memory type of one device and
// keeps the order in which the bos in it are evicted. Knows pages of its space
// and DMA addresses, not bos, and nothing of how the addresses came about.
//
// To add a memory type, derive and override the private virtuals; the public
// calls keep the accounts around them. Thread-safe.

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/types/span.h"
#include "twostep/eviction/eviction_order.h"
#include "twostep/machine/device_memory.h"
#include "twostep/machine/fence_set.h"
#include "twostep/machine/range_allocator.h"
#include "twostep/machine/reservation_lock.h"
#include "twostep/machine/space.h"
#include "twostep/machine/sync.h"
#include "twostep/machine/types.h"

namespace twostep {

class MemoryManager {
 public:
  // kFixed: storage of its own. kAperture: a view of pages that are DMA-bound.
  // kNowhere: the GPU does not see the bo.
  enum class Kind : uint8_t { kNowhere, kAperture, kFixed };

  MemoryManager(std::string name, Kind kind, uint64_t pages,
                std::unique_ptr<EvictionPolicy> policy);
  virtual ~MemoryManager() = default;
  MemoryManager(const MemoryManager&) = delete;
  MemoryManager& operator=(const MemoryManager&) = delete;

  const std::string& name() const { return name_; }
  Kind kind() const { return kind_; }
  bool fixed() const { return kind_ == Kind::kFixed; }
  // Capacity; 2^32 - 1 pages at most.
  uint64_t pages() const { return pages_; }
  uint64_t used_pages() const {
    return used_pages_.load(std::memory_order_relaxed);
  }
  // Most have one. More are for who knows which bo stands in which; they are
  // added before the first bo comes.
  EvictionOrder& order(uint8_t i = 0) {
    return i == 0 ? order_ : *more_orders_[i - 1];
  }
  const EvictionOrder& order(uint8_t i = 0) const {
    return i == 0 ? order_ : *more_orders_[i - 1];
  }
  uint8_t orders() const {
    return static_cast<uint8_t>(1 + more_orders_.size());
  }
  void AddOrder(std::unique_ptr<EvictionPolicy> policy) {
    more_orders_.push_back(std::make_unique<EvictionOrder>(std::move(policy)));
  }
  size_t order_size() const;  // of all together
  // Bos evicted from here, and the pages that cannot be.
  Atomic<uint64_t>& evictions() { return evictions_; }
  Atomic<uint64_t>& pinned_pages() { return pinned_pages_; }
  uint64_t pinned_pages_now() const {
    return pinned_pages_.load(std::memory_order_relaxed);
  }

  // Held by who makes room here. Others are granted space all the same, since
  // whoever makes use of managers looks at the gate: what they took they give
  // back.
  ReservationLock& gate() { return gate_; }

  // Out of use, it grants nothing; what was granted stays.
  void SetInUse(bool in_use) { in_use_.store(in_use); }
  bool in_use() const { return in_use_.load(std::memory_order_relaxed); }

  // On shortage nothing is taken. Sizes in pages.
  Shortage::Kind Allocate(const SpaceRequest& request, SpaceBlock* block);
  // `pages` as asked for.
  void Free(const SpaceBlock& block, PageCount pages);
  // The same for space that device work may still use: it can be granted at
  // once, but whoever gets it has to wait for `fences`. Fixed types only.
  // Forgets those of `fences` that have signalled.
  void FreeAfter(const SpaceBlock& block, PageCount pages, FenceSet* fences);
  // Adds to `fences`, as moves, what the next user of freed space waits for.
  // False when there is nothing pending.
  bool AppendFreedFences(FenceSet* fences);
  // What Allocate would say, in exact figures.
  Shortage Describe(const SpaceRequest& request) const;
  // The runs of pages of a block, in the order of the bo's pages.
  void ForEachSegment(
      const SpaceBlock& block, PageCount pages,
      absl::FunctionRef<void(uint64_t start, uint64_t pages)> visit) const {
    DoForEachSegment(block, pages, visit);
  }

  // Lets the block show these addresses, one a page; and nothing any more.
  void Bind(const SpaceBlock& block, absl::Span<const DmaAddress> addresses) {
    DoBind(block, addresses);
  }
  void Unbind(const SpaceBlock& block, PageCount pages) {
    DoUnbind(block, pages);
  }

  // For choosing victims by position: shows `use` the space, with its lock
  // held, and returns true; false when positions do not matter.
  bool WithSpace(absl::FunctionRef<void(RangeAllocator&)> use) {
    return DoWithSpace(use);
  }
  // Where the bytes of a fixed memory type are, and the page table of an
  // aperture; null where there is none.
  virtual Vram* vram() { return nullptr; }
  virtual ApertureTable* aperture() { return nullptr; }

 protected:
  virtual void DoBind(const SpaceBlock&, absl::Span<const DmaAddress>) {}
  virtual void DoUnbind(const SpaceBlock&, PageCount) {}
  virtual bool DoWithSpace(absl::FunctionRef<void(RangeAllocator&)>) {
    return false;
  }

 private:
  virtual Shortage::Kind DoAllocate(const SpaceRequest& request,
                                    SpaceBlock* block) = 0;
  virtual void DoFree(const SpaceBlock& block) = 0;
  virtual Shortage DoDescribe(const SpaceRequest& request) const = 0;
  virtual void DoForEachSegment(
      const SpaceBlock& block, PageCount pages,
      absl::FunctionRef<void(uint64_t, uint64_t)> visit) const {
    visit(block.start, pages);
  }

  const std::string name_;
  const Kind kind_;
  const uint64_t pages_;
  Atomic<bool> in_use_{true};
  Atomic<uint64_t> used_pages_{0};
  Atomic<uint64_t> evictions_{0};
  Atomic<uint64_t> pinned_pages_{0};
  EvictionOrder order_;
  std::vector<std::unique_ptr<EvictionOrder>> more_orders_;
  ReservationLock gate_;
  // Whether freed_fences_ may hold anything: spares the lock when not.
  Atomic<bool> freed_pending_{false};
  Mutex freed_mutex_;
  FenceSet freed_fences_ ABSL_GUARDED_BY(freed_mutex_);
};

}  // namespace twostep

#endif  // MEM_TYPES_MEMORY_MANAGER_H_
