#ifndef MACHINE_PAGE_TABLE_LEAF_H_
#define MACHINE_PAGE_TABLE_LEAF_H_

#include <memory>

#include "twostep/machine/sync.h"

namespace twostep {

// The leaf of a two-level table behind `slot`, made (all zero) when first
// needed. Leaves stay until the table goes. Thread-safe.
template <typename Leaf>
Leaf& LeafAt(Atomic<Leaf*>& slot) {
  Leaf* leaf = slot.load(std::memory_order_acquire);
  if (leaf != nullptr) return *leaf;
  auto made = std::make_unique<Leaf>();
  // Two threads may make the same leaf: one of them wins.
  if (slot.compare_exchange_strong(leaf, made.get(),
                                   std::memory_order_acq_rel)) {
    return *made.release();
  }
  return *leaf;
}

}  // namespace twostep

#endif  // MACHINE_PAGE_TABLE_LEAF_H_
