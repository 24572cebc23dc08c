#ifndef BO_EXEC_H_
#define BO_EXEC_H_

// One submission's bos: reserved together, validated one after the other,
// fenced together. A bo of an exec is never evicted for another of the same.
//
//   Exec exec(device);
//   exec.Add(bo, placements, FenceUse::kWrite);  // and so on, in any order
//   absl::Status s = exec.Run(&context);  // all in place, or none reserved
//   Fence f = queue.Submit(exec.dependencies(), cost_ns, work);
//   exec.Finish(f);  // fenced and unreserved
//
// Execs on several threads that want the same bos, or the same room, are aged:
// the younger one gives back what it has, waits, and starts again, inside Run.
// Of execs that each fit alone all finish. Thread-compatible; used on the
// thread that called Run.

#include <optional>

#include "absl/container/inlined_vector.h"
#include "absl/status/status.h"
#include "twostep/bo/buffer_object.h"
#include "twostep/bo/device.h"
#include "twostep/bo/placer.h"
#include "twostep/machine/fence_set.h"
#include "twostep/placement/placement.h"

namespace twostep {

struct ExecOptions {
  // Of a bo that is added twice: it counts once, with the stronger use and the
  // first placements; or Run refuses.
  enum class Duplicates : uint8_t { kMerge, kRefuse };
  Duplicates duplicates = Duplicates::kMerge;
  // Run sets room aside for as many fences in each bo, so that adding them
  // allocates nothing.
  int fence_slots = 0;
};

class Exec {
 public:
  // `placer`, where there is one, must outlive the exec.
  explicit Exec(Device& device, Placer* placer = nullptr,
                const ExecOptions& options = {})
      : device_(device), placer_(placer), options_(options) {}
  // Unreserves what Finish has not.
  ~Exec();
  Exec(const Exec&) = delete;
  Exec& operator=(const Exec&) = delete;

  // `placements` must outlive Run.
  void Add(BufferObject& bo, PlacementList placements, FenceUse use);
  // The same, to where the placer says when the bo's turn comes. REQUIRES: a
  // placer.
  void Add(BufferObject& bo, FenceUse use);

  // After an error nothing is reserved and the exec is empty; bos may have
  // moved. Errors are Device::Validate's of the first bo that failed, and
  //   kAlreadyExists      a bo is there twice, and that is refused
  //   kFailedPrecondition this thread has reserved one by other means
  // kAborted only where this thread holds another exec's bos as well: then this
  // one cannot give back enough by itself.
  absl::Status Run(ValidateContext* context);
  // Bos that were already in place. REQUIRES: Run succeeded.
  size_t hits() const { return hits_; }
  // The sizes of those that were not.
  uint64_t missed_bytes() const { return missed_bytes_; }
  size_t size() const { return entries_.size(); }
  // Its number in events; 0: they are off.
  uint32_t submission() const { return submission_; }
  // How often it made way for an older one.
  uint32_t restarts() const { return restarts_; }
  // What the work must wait for. REQUIRES: Run succeeded.
  const absl::InlinedVector<Fence, 4>& dependencies() const {
    return dependencies_;
  }
  // Adds `fence` to every bo and unreserves them, the one added last becoming
  // the one used last; tells eviction policies that a submission is over.
  void Finish(const Fence& fence);

 private:
  struct Entry {
    BufferObject* bo;
    PlacementList placements;
    FenceUse use;
    bool placed_by_policy = false;
  };
  absl::Status Attempt(ValidateContext* context);
  absl::Status ReserveAll(ValidateContext* context);
  absl::Status ValidateAll(ValidateContext* context);
  absl::Status Merge(size_t entry);
  // The first `reserved_` of them.
  void UnreserveAll();
  void Clear();

  Device& device_;
  Placer* const placer_;
  const ExecOptions options_;
  absl::InlinedVector<Entry, 16> entries_;
  absl::InlinedVector<Fence, 4> dependencies_;
  std::optional<Ticket> ticket_;
  size_t hits_ = 0;
  uint64_t missed_bytes_ = 0;
  size_t reserved_ = 0;
  uint32_t restarts_ = 0;
  uint32_t submission_ = 0;
  bool nested_ = false;  // in another's ticket
};

}  // namespace twostep

#endif  // BO_EXEC_H_
