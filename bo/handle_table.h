#ifndef BO_HANDLE_TABLE_H_
#define BO_HANDLE_TABLE_H_

// A client's names for bos: 32-bit handles, each good for one opening and
// counted against the client's limit; and the global names that it has told to
// others, which live as long as the handle that they were made from. A client
// may have several tables, as a process opens a device file more than once: its
// limits (ClientOptions::handles) are for all of them together, so whatever it
// does with handles and names ends there. Thread-safe; every call but Publish,
// Open and the destructor takes constant time.

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "twostep/bo/buffer_object.h"
#include "twostep/bo/client.h"
#include "twostep/bo/global_names.h"
#include "twostep/machine/sync.h"

namespace twostep {

// Never 0. Good in the table that gave it out, until closed.
enum class BoHandle : uint32_t { kNone = 0 };

class HandleTable {
 public:
  // REQUIRES: not null; the client's host outlives the table.
  explicit HandleTable(ClientRef client);
  // Closes all handles.
  ~HandleTable();
  HandleTable(const HandleTable&) = delete;
  HandleTable& operator=(const HandleTable&) = delete;

  // A new handle, also for a bo that has one. kResourceExhausted (kOverLimit)
  // naming the limit.
  absl::StatusOr<BoHandle> Add(BoRef bo);
  // kNotFound (kAbsent) for what is no handle of this table, or no longer. A
  // closed one stays wrong until its place has been used 4095 times more, the
  // place closed longest ago being used first.
  absl::StatusOr<BoRef> Find(BoHandle handle) const;
  // The same. Withdraws the handle's name.
  absl::Status Close(BoHandle handle);

  // The global name of the handle's bo: the same one when called again. Tell it
  // to who may open it. kNotFound as Find says; kResourceExhausted (kOverLimit)
  // naming the limit.
  absl::StatusOr<BoName> Publish(BoHandle handle);
  // A handle for the bo of that name. kResourceExhausted (kOverLimit) when the
  // client is at its limit, whether or not the name exists; kNotFound (kAbsent)
  // for a name that is wrong or withdrawn.
  absl::StatusOr<BoHandle> Open(BoName name);

  // In this table.
  uint32_t handles() const;
  uint32_t names() const;

 private:
  // handle = generation << kIndexBits | index
  static constexpr int kIndexBits = 20;
  static constexpr uint32_t kLastGeneration = (1u << (32 - kIndexBits)) - 1;
  static constexpr uint32_t kNoSlot = ~uint32_t{0};
  struct Slot {
    BoRef bo;
    BoName name = BoName::kNone;
    uint32_t generation = 1;
    uint32_t next_free = kNoSlot;
  };

  // Counts one more of the client's; false: it has as many as it may.
  static bool CountOne(Atomic<uint32_t>* counted, uint32_t most);
  absl::Status CountHandle();
  absl::Status OverLimit() const;
  // REQUIRES: it is counted.
  BoHandle AddLocked(BoRef bo) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // kNoSlot when the handle is none of this table.
  uint32_t SlotOfLocked(BoHandle handle) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status Absent(BoHandle handle) const;

  const ClientRef client_;
  GlobalNames& global_names_;
  mutable Mutex mutex_;
  std::vector<Slot> slots_ ABSL_GUARDED_BY(mutex_);
  // Free slots, in the order in which they became free.
  uint32_t first_free_ ABSL_GUARDED_BY(mutex_) = kNoSlot;
  uint32_t last_free_ ABSL_GUARDED_BY(mutex_) = kNoSlot;
  uint32_t handles_ ABSL_GUARDED_BY(mutex_) = 0;
  uint32_t names_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace twostep

#endif  // BO_HANDLE_TABLE_H_
