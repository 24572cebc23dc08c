#ifndef BO_BULK_MOVE_H_
#define BO_BULK_MOVE_H_

// Bos that are used as one: those of an address space, whose submissions use
// them all. In every eviction order they stand together, and moving all of them
// to its end takes the same time for any number. Touching one makes it the last
// among them. Must outlive its bos' membership. Thread-safe.

#include <memory>
#include <vector>

#include "twostep/bo/buffer_object.h"
#include "twostep/eviction/eviction_order.h"
#include "twostep/machine/sync.h"

namespace twostep {

class BulkMove {
 public:
  // Of bos of this client, or without one.
  explicit BulkMove(ClientRef client = nullptr) : client_(std::move(client)) {}
  BulkMove(const BulkMove&) = delete;
  BulkMove& operator=(const BulkMove&) = delete;

  // A bo is a member of one at most; it joins at the end, and stays a member
  // wherever it moves. REQUIRES: reserved, of the same client.
  void Add(BufferObject& bo);
  void Remove(BufferObject& bo);
  // To the ends of all orders that members stand in.
  void MoveToEnd();

 private:
  friend class BufferObject;

  struct Part {
    EvictionOrder* order;
    const EvictionAccountPtr* account;
    std::unique_ptr<EvictionGroup> group;
  };
  EvictionGroup& GroupIn(EvictionOrder& order,
                         const EvictionAccountPtr* account);

  const ClientRef client_;
  Mutex mutex_;
  std::vector<Part> parts_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace twostep

#endif  // BO_BULK_MOVE_H_
