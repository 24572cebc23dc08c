#ifndef BO_VICTIM_SEARCH_H_
#define BO_VICTIM_SEARCH_H_

// Chooses whom to evict. Victims come back reserved, so that nobody else can
// take them; bos that are reserved by anyone, this thread included, are passed
// over, but for those that the caller has waited for. Works under leaf locks
// only: what is done to the victims is done by the caller, outside them.
// Private to the library.

#include <optional>
#include <utility>

#include "absl/container/inlined_vector.h"
#include "absl/functional/function_ref.h"
#include "absl/types/span.h"
#include "twostep/bo/buffer_object.h"
#include "twostep/dma_types/bind_outcome.h"
#include "twostep/eviction/eviction_order.h"
#include "twostep/machine/range_allocator.h"

namespace twostep {

class VictimSearch {
 public:
  using Victims = absl::InlinedVector<BufferObject*, 8>;
  using Nodes = absl::InlinedVector<uint32_t, 2>;
  // Which of a bo's two orders is searched.
  enum class Order : uint8_t { kMemory, kDma };
  // Searched one after the other; their bos come in that order.
  using Orders = absl::InlinedVector<EvictionOrder*, 4>;
  static bool IsAmong(absl::Span<const BoRef> bos, const BufferObject& bo);
  // Of bos that may have ordinary frames: those that no GPU sees come first.
  static Orders OrdersWithFrames(Host& host);

  // What a binding holds in `space`, which is one of those that `scarce` speaks
  // of.
  static Nodes NodesIn(const RangeAllocator& space, BindOutcome::Scarce scarce,
                       const DmaBinding& binding, const DmaPort& port);

  // `awaited` are bos that this thread has reserved as possible victims. What a
  // victim gives up, `given`, is not taken from clients that would be left with
  // less than their min, but for the asker; null: it gives up nothing that
  // clients are charged for.
  VictimSearch(Orders orders, Order which, const EvictionOrder::Asker& asker,
               std::optional<Resource> given, absl::Span<const BoRef> awaited)
      : orders_(std::move(orders)),
        which_(which),
        asker_(asker),
        given_(given),
        awaited_(awaited) {}

  // The first in the orders that can be had and that `accept` likes, if any.
  // `accept` sees the bo reserved.
  Victims First(
      absl::FunctionRef<bool(const BufferObject&)> accept =
          [](const BufferObject&) { return true; },
      EvictionOrder::Asides asides = EvictionOrder::Asides::kShow);
  // Those, taken in turn, whose leaving makes a hole for `request`, and no
  // other. Where clients would have too little left, holes without some of
  // their bos are looked for, a bounded number of times. `found`: whether there
  // is such a hole; it may need no victim, if another thread has made room
  // meanwhile. `nodes_of` names a bo's blocks there.
  // REQUIRES: the lock of `space` is held.
  Victims ForHole(RangeAllocator& space, const SpaceRequest& request,
                  absl::FunctionRef<Nodes(const BufferObject&)> nodes_of,
                  bool* found);
  // From which evicting `bo` takes what is protected; null: from none.
  const EvictionAccount* TakesFrom(const BufferObject& bo) const;
  // The first that was passed over because another thread has it; null when
  // there was none. It might be a victim once that thread is done with it.
  const BoRef& passed_over() const { return passed_over_; }
  // How many it passed over, and why.
  struct Skipped {
    uint32_t reserved = 0;  // by other threads
    uint32_t mine = 0;      // by this one
    uint32_t unhelpful = 0;
  };
  const Skipped& skipped() const { return skipped_; }
  // See EvictionOrder.
  Atomic<uint8_t>& vain_looks() const { return orders_[0]->vain_looks(); }
  // How many a search would not be shown now, as they are protected.
  size_t ProtectedNow() const;
  // How many bos had left the orders when they were searched; nothing when one
  // was on its way out.
  std::optional<uint64_t> left() const {
    return leaving_ ? std::nullopt : std::optional<uint64_t>(left_);
  }

 private:
  // What victims take from protected clients.
  class Takings;
  static constexpr size_t kMostRescans = 16;

  BufferObject& BoOf(EvictionHook& hook) const;
  bool TryTake(BufferObject& bo);
  void GiveBack(BufferObject& bo);
  // One look for a hole, without bos of `spared`; `sparing`: counting all that
  // were looked at as taken.
  Victims ScanForHole(RangeAllocator& space, const SpaceRequest& request,
                      absl::FunctionRef<Nodes(const BufferObject&)> nodes_of,
                      absl::Span<BufferObject* const> spared, bool sparing,
                      bool* found);

  const Orders orders_;
  const Order which_;
  const EvictionOrder::Asker asker_;
  const std::optional<Resource> given_;
  const absl::Span<const BoRef> awaited_;
  BoRef passed_over_;
  Skipped skipped_;
  uint64_t left_ = 0;
  bool leaving_ = false;
};

}  // namespace twostep

#endif  // BO_VICTIM_SEARCH_H_
