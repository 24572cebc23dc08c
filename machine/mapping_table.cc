#include "twostep/machine/mapping_table.h"

#include <algorithm>

#include "twostep/machine/check.h"
#include "twostep/machine/types.h"

namespace twostep {

void MappingTable::Insert(uint64_t first_page, uint64_t count,
                          UserMapping& owner) {
  Set(first_page, count, &owner);
}

void MappingTable::Erase(uint64_t first_page, uint64_t count) {
  Set(first_page, count, nullptr);
}

UserMapping* MappingTable::Find(uint64_t page) const {
  const uint64_t root = page >> (kMiddleBits + kLeafBits);
  if (root >= root_.size()) return nullptr;
  const Middle* middle = root_[root].load(std::memory_order_acquire);
  if (middle == nullptr) return nullptr;
  const Granule& granule =
      middle->granules[(page >> kLeafBits) % middle->granules.size()];
  UserMapping* owner = granule.owner.load(std::memory_order_acquire);
  if (owner != nullptr) return owner;
  const Leaf* leaf = granule.leaf.load(std::memory_order_acquire);
  if (leaf == nullptr) return nullptr;
  return leaf->owners[page % kGranule].load(std::memory_order_acquire);
}

void MappingTable::Set(uint64_t first_page, uint64_t count,
                       UserMapping* owner) {
  const uint64_t end = first_page + count;
  for (uint64_t page = first_page; page < end;) {
    const uint64_t next = std::min(end, (page / kGranule + 1) * kGranule);
    Granule& granule = GranuleOf(page);
    if (next - page == kGranule) {
      granule.owner.store(owner, std::memory_order_release);
    } else {
      Leaf& leaf = LeafOf(granule);
      for (uint64_t p = page; p < next; ++p) {
        leaf.owners[p % kGranule].store(owner, std::memory_order_release);
      }
    }
    page = next;
  }
}

MappingTable::Granule& MappingTable::GranuleOf(uint64_t page) {
  const uint64_t root = page >> (kMiddleBits + kLeafBits);
  TWOSTEP_CHECK(root < root_.size());
  Middle* middle = root_[root].load(std::memory_order_acquire);
  if (middle == nullptr) {
    MutexLock lock(growing_);
    middle = root_[root].load(std::memory_order_acquire);
    if (middle == nullptr) {
      middle = new Middle;
      root_[root].store(middle, std::memory_order_release);
    }
  }
  return middle->granules[(page >> kLeafBits) % middle->granules.size()];
}

MappingTable::Leaf& MappingTable::LeafOf(Granule& granule) {
  Leaf* leaf = granule.leaf.load(std::memory_order_acquire);
  if (leaf == nullptr) {
    MutexLock lock(growing_);
    leaf = granule.leaf.load(std::memory_order_acquire);
    if (leaf == nullptr) {
      leaf = new Leaf;
      granule.leaf.store(leaf, std::memory_order_release);
    }
  }
  return *leaf;
}

}  // namespace twostep
