#ifndef MACHINE_NODE_SLABS_H_
#define MACHINE_NODE_SLABS_H_

// Nodes named by 32-bit indices. Nodes live in slabs that never move, so growth
// costs one slab and never a copy of the others; a returned node is the next
// one taken, while it is still in the cache. Thread-compatible.

#include <cstdint>
#include <memory>
#include <type_traits>
#include <vector>

#include "twostep/machine/check.h"

namespace twostep::internal {

// `Node` needs a member `uint32_t next`, which belongs to the pool while the
// node is not taken; all its other members keep their values meanwhile. A node
// taken for the first time is uninitialized.
template <typename Node>
class NodeSlabs {
 public:
  static_assert(std::is_trivially_copyable_v<Node>);

  Node& operator[](uint32_t index) {
    return slabs_[index >> kShift][index & kMask];
  }
  const Node& operator[](uint32_t index) const {
    return slabs_[index >> kShift][index & kMask];
  }

  uint32_t Take() {
    if (unused_ != kNone) {
      const uint32_t index = unused_;
      unused_ = (*this)[index].next;
      return index;
    }
    return TakeFresh();
  }
  void Return(uint32_t index) {
    (*this)[index].next = unused_;
    unused_ = index;
  }

  // Every index taken so far is below this.
  uint32_t limit() const { return limit_; }

 private:
  static constexpr int kShift = 12;
  static constexpr uint32_t kMask = (uint32_t{1} << kShift) - 1;
  static constexpr uint32_t kNone = ~uint32_t{0};

  uint32_t TakeFresh() {
    TWOSTEP_CHECK(limit_ != kNone);
    if ((limit_ & kMask) == 0) {
      slabs_.push_back(
          std::make_unique_for_overwrite<Node[]>(size_t{1} << kShift));
    }
    return limit_++;
  }

  std::vector<std::unique_ptr<Node[]>> slabs_;
  uint32_t unused_ = kNone;
  uint32_t limit_ = 0;
};

}  // namespace twostep::internal

#endif  // MACHINE_NODE_SLABS_H_
