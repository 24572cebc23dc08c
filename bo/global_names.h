#ifndef BO_GLOBAL_NAMES_H_
#define BO_GLOBAL_NAMES_H_

// Names under which the clients of one host may open each other's bos: 64 bits
// that only who was told them knows, and that are never used again. Guessing
// fails like asking for a name that was withdrawn. Knows no clients: a
// HandleTable publishes for its client, within the client's limit.
// Thread-safe.

#include <cstddef>
#include <cstdint>
#include <optional>

#include "absl/container/flat_hash_map.h"
#include "twostep/bo/buffer_object.h"
#include "twostep/bo/name_sequence.h"
#include "twostep/machine/sync.h"

namespace twostep {

enum class BoName : uint64_t { kNone = 0 };

class GlobalNames {
 public:
  // Without a seed the names come from the system's entropy; with one they are
  // the same on every run, and known to who knows the seed.
  explicit GlobalNames(std::optional<uint64_t> seed);
  // REQUIRES: all names are withdrawn.
  ~GlobalNames();
  GlobalNames(const GlobalNames&) = delete;
  GlobalNames& operator=(const GlobalNames&) = delete;

  // A fresh name for `bo`, which it keeps alive until it is withdrawn.
  BoName Publish(BoRef bo);
  // REQUIRES: published.
  void Withdraw(BoName name);
  // Null for a name that is not published.
  BoRef Find(BoName name) const;
  size_t size() const;

 private:
  mutable SpinLock lock_;
  NameSequence sequence_ ABSL_GUARDED_BY(lock_);
  absl::flat_hash_map<BoName, BoRef> bos_ ABSL_GUARDED_BY(lock_);
};

}  // namespace twostep

#endif  // BO_GLOBAL_NAMES_H_
