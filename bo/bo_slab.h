#ifndef BO_BO_SLAB_H_
#define BO_BO_SLAB_H_

// Where bos live: in blocks of many, so that making one is cheap, all can be
// walked for an audit, and none needs a hook for that. Thread-safe. Private to
// the library.

#include <cstddef>
#include <memory>
#include <vector>

#include "absl/functional/function_ref.h"
#include "twostep/bo/buffer_object.h"
#include "twostep/machine/sync.h"

namespace twostep {

class BoSlab {
 public:
  BoSlab() = default;
  // REQUIRES: empty.
  ~BoSlab();

  BufferObject& Make(Host& host, ClientRef client, PageCount pages);
  void Destroy(BufferObject& bo);
  size_t size() const;
  // Every live bo, oldest block first. Bos must not come or go meanwhile.
  void ForEach(absl::FunctionRef<void(BufferObject&)> visit);
  // Every bo that has references, and had one when this began, with one more;
  // others may come and go.
  void ForEachReferenced(absl::FunctionRef<void(const BoRef&)> visit);

 private:
  static constexpr size_t kBlockBos = 64;
  struct Block {
    BufferObject* at(size_t slot) {
      return reinterpret_cast<BufferObject*>(storage[slot]);
    }

    alignas(BufferObject) std::byte storage[kBlockBos][sizeof(BufferObject)];
    uint64_t live = 0;  // one bit a slot
  };

  mutable SpinLock lock_;
  std::vector<std::unique_ptr<Block>> blocks_ ABSL_GUARDED_BY(lock_);
  // Slots to use next: block * kBlockBos + place in it.
  std::vector<uint32_t> free_ ABSL_GUARDED_BY(lock_);
  size_t size_ ABSL_GUARDED_BY(lock_) = 0;
  uint64_t next_id_ ABSL_GUARDED_BY(lock_) = 1;
};

}  // namespace twostep

#endif  // BO_BO_SLAB_H_
