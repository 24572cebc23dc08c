#ifndef BO_VICTIM_SEARCH_H_
#define BO_VICTIM_SEARCH_H_

// Chooses whom to evict. Victims come back reserved, so that nobody else can
// take them; bos that are reserved by anyone, this thread included, are never
// chosen. Works under leaf locks only: what is done to the victims is done by
// the caller, outside them.

#include <utility>

#include "absl/container/inlined_vector.h"
#include "absl/functional/function_ref.h"
#include "twostep/bo/buffer_object.h"
#include "twostep/eviction/eviction_order.h"
#include "twostep/machine/range_allocator.h"

namespace twostep {

class VictimSearch {
 public:
  using Victims = absl::InlinedVector<BufferObject*, 8>;
  // Which of a bo's two orders is searched.
  enum class Order : uint8_t { kMemory, kDma };
  // Searched one after the other; their bos come in that order.
  using Orders = absl::InlinedVector<EvictionOrder*, 4>;

  VictimSearch(Orders orders, Order which)
      : orders_(std::move(orders)), which_(which) {}

  // The first in the orders that can be had and that `accept` likes, if any.
  // `accept` sees the bo reserved.
  Victims First(absl::FunctionRef<bool(const BufferObject&)> accept =
                    [](const BufferObject&) { return true; });
  // Those, taken in turn, whose leaving makes a hole for `request`, and no
  // other; none when there is no such hole. `node_of` names a bo's block, 0 for
  // a bo that has none there. REQUIRES: the lock of `space` is held.
  Victims ForHole(const RangeAllocator& space, const SpaceRequest& request,
                  absl::FunctionRef<uint32_t(const BufferObject&)> node_of);

 private:
  BufferObject& BoOf(EvictionHook& hook) const;

  const Orders orders_;
  const Order which_;
};

}  // namespace twostep

#endif  // BO_VICTIM_SEARCH_H_
