#ifndef BO_BUFFER_OBJECT_H_
#define BO_BUFFER_OBJECT_H_

// A buffer object: contents of a fixed size that live in exactly one place at a
// time, and the two bindings through which a device reaches them.
//
//   contents: none | pages (ordinary, a binder's own, swapped) | fixed memory
//   step 1:   not bound (anonymous) | DMA-bound by a binder
//   step 2:   SYSTEM (nowhere) | an aperture (needs step 1) | fixed memory
//
// Made by a Host, counted by BoRef, freed with the last one. What changes a bo
// happens under its reservation; see Device::Validate. The layout is a budget:
// a validation that changes nothing touches the first two cache lines.

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "boost/smart_ptr/intrusive_ptr.hpp"
#include "twostep/bo/client.h"
#include "twostep/dma_types/dma_binding.h"
#include "twostep/eviction/eviction_policy.h"
#include "twostep/machine/fence_set.h"
#include "twostep/machine/pages.h"
#include "twostep/machine/reservation_lock.h"
#include "twostep/mem_types/memory_manager.h"

namespace twostep {

struct BoViews;
class BulkMove;
class Device;
class DmaBinder;
class Evacuation;
class Host;

class alignas(64) BufferObject {
 public:
  BufferObject(const BufferObject&) = delete;
  BufferObject& operator=(const BufferObject&) = delete;

  uint64_t id() const { return id_; }
  std::string DebugName() const;
  PageCount page_count() const { return pages_.count(); }
  uint64_t size_bytes() const { return PagesToBytes(page_count()); }
  Host& host() const { return host_; }
  // Whom it is charged to; null: nobody.
  const ClientRef& client() const { return client_; }

  // --- The reservation ---
  // Taken by Exec or by hand. Unreserve makes the bo the one used last in both
  // its eviction orders. Waiting for a bo that this thread holds is a bug, and
  // so is waiting for one, without a ticket, while holding another.
  void Reserve() { lock_.Lock(); }
  bool TryReserve() { return lock_.TryLock(); }
  // Reserves one of several, in any order, with the age of this thread's
  // Ticket; or waits as `limit` says, with none.
  //   kAborted            an older one has it: unreserve all, ReserveAgain this
  //                       one, start over
  //   kAlreadyExists      this thread has it
  //   kUnavailable, kDeadlineExceeded, kCancelled  as `limit` says
  //   kFailedPrecondition no waiting, with a ticket: that is TryReserve's
  absl::Status Reserve(const WaitLimit& limit);
  // The same for the one that was lost: waits for it whoever has it. REQUIRES:
  // this thread has nothing reserved.
  absl::Status ReserveAgain(const WaitLimit& limit);
  void Unreserve();
  // The same for who made no use of it: the orders stay as they are.
  void UnreserveUnused() { lock_.Unlock(); }
  void AssertHeld() const { TWOSTEP_CHECK(lock_.HeldByMe()); }

  // --- REQUIRES: reserved, or nobody else uses the bo ---
  // The memory type it is in, by its manager.
  const MemoryManager& manager() const { return *manager_; }
  // Whom it was last validated for; null before that.
  const Device* device() const { return device_; }
  // First page in an aperture or fixed memory.
  PageCount start_page() const { return start_; }
  SpaceBlock block() const { return SpaceBlock{start_, node_}; }
  const DmaBinder* binder() const { return binder_; }  // null: not DMA-bound
  const DmaBinding& binding() const { return *binding_; }
  const Pages& pages() const { return pages_; }
  bool Holds(Resource resource) const;  // any of it
  bool pinned() const { return pins_ != 0; }
  FenceSet& fences() { return fences_; }  // of device work that uses it
  const FenceSet& fences() const { return fences_; }
  // Whether an evictor may drop the contents instead of moving them, and
  // whether one has since they were last declared worth keeping.
  void SetWorthless(bool worthless);
  bool worthless() const { return (flags_ & kWorthless) != 0; }
  bool purged() const { return (flags_ & kPurged) != 0; }
  // For policies that go by it: higher ones are given up later. 0 at first.
  void SetPriority(uint8_t priority);
  uint8_t priority() const { return priority_; }
  // Forbids eviction and moves; counted. Pins end with the bo.
  void Pin();
  void Unpin();

 private:
  friend class Audit;
  friend class BoHooks;
  friend class BoSlab;
  friend struct BoViews;
  friend class BulkMove;
  friend struct Contention;
  friend class CpuMapping;
  friend class Device;
  friend class Evacuation;
  friend class Exec;
  friend struct Ghost;
  friend class Host;
  friend class KernelMapping;
  friend class Mover;
  friend class Sharing;
  friend class VictimSearch;
  friend absl::Status WaitForCpu(BufferObject& bo, Access access,
                                 const WaitLimit& limit);
  friend void intrusive_ptr_add_ref(BufferObject* bo);
  friend void intrusive_ptr_release(BufferObject* bo);

  static constexpr uint8_t kWorthless = 1;
  static constexpr uint8_t kPurged = 2;
  // Pages are in the hands of the CPU that the device must take back first.
  static constexpr uint8_t kCpuOwnsPages = 4;
  // Whether it stands in the order of its manager, of its binder.
  static constexpr uint8_t kInMemoryOrder = 8;
  static constexpr uint8_t kInDmaOrder = 16;
  // From this bit on: what its client is charged for, a bit for each Resource.
  static constexpr int kChargedShift = 5;

  BufferObject(Host& host, ClientRef client, uint64_t id, uint32_t slot,
               PageCount pages);
  ~BufferObject();

  bool TryAddReference();  // false: the last is gone, it leaves by itself
  absl::Status ReserveStatus(ReservationLock::Outcome outcome) const;
  void NotePlace() { placed_ = client_ != nullptr || bulk_ != nullptr; }
  // Where it stands, or would stand, in an order.
  EvictionOrder::Place PlaceIn(EvictionOrder& order, Resource resource) const;
  EvictionOrder::Place MemoryPlace() const {
    if (!placed_) return {};
    return PlaceIn(memory_order(),
                   manager_->fixed() ? Resource::kDevice : Resource::kHost);
  }
  EvictionOrder::Place DmaPlace(DmaBinder& binder) const;
  bool Charged(Resource resource) const {
    return (flags_ >> (kChargedShift + static_cast<int>(resource)) & 1) != 0;
  }
  void SetCharged(Resource resource, bool charged);
  void Uncharge();  // of what it holds no more

  // REQUIRES: it stands in no order of a manager.
  void SetManager(MemoryManager& manager, uint8_t order = 0) {
    manager_ = &manager;
    TWOSTEP_DCHECK(order < 128);
    order_ = order & 127;
  }
  EvictionOrder& memory_order() const { return manager_->order(order_); }
  // Into the eviction orders of where it is now, if it is not pinned or in them
  // already. And out of them.
  void JoinOrders();
  void LeaveMemoryOrder(Departure why);
  // `binder` is the one it is, or was a moment ago, bound by.
  void LeaveDmaOrder(DmaBinder& binder, Departure why);
  void LeaveOrders(Departure why);
  void ForgetPins();  // it stands in no order afterwards
  void CountUnpinned();

  // --- the first cache line ---
  ReservationLock lock_;
  uint16_t pins_ = 0;
  uint8_t flags_ = 0;
  uint8_t order_ : 7 = 0;    // of its manager's
  bool placed_ : 1 = false;  // false: where all others are in each order
  PageCount start_ = 0;      // the first page, in the manager's space
  uint32_t node_ = 0;        // the manager's name for the block
  const uint32_t slot_;      // in the slab
  MemoryManager* manager_;
  DmaBinder* binder_ = nullptr;
  EvictionHook memory_hook_;

  // --- the second; a validate hit reads and writes these two and no more ---
  alignas(64) EvictionHook dma_hook_;
  std::unique_ptr<DmaBinding> binding_;
  Pages pages_;
  FenceSet fences_;
  Host& host_;
  // Whom it was last validated for: where CPU access looks for its window.
  Device* device_ = nullptr;
  std::unique_ptr<BoViews> views_;  // null as long as nobody else looks at it
  const uint64_t id_;
  const ClientRef client_;
  BulkMove* bulk_ = nullptr;
  Atomic<uint32_t> references_{0};
  uint8_t priority_ = 0;
};
static_assert(sizeof(BufferObject) <= 192,
              "a bo is budgeted at three cache lines, its range node aside");

void intrusive_ptr_add_ref(BufferObject* bo);
void intrusive_ptr_release(BufferObject* bo);
using BoRef = boost::intrusive_ptr<BufferObject>;

}  // namespace twostep

#endif  // BO_BUFFER_OBJECT_H_
