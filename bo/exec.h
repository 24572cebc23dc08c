#ifndef BO_EXEC_H_
#define BO_EXEC_H_

// One submission's bos: reserved together, validated one after the other,
// fenced together. A bo of an exec is never evicted for another of the same.
//
//   Exec exec(device);
//   exec.Add(bo, placements, FenceUse::kWrite);  // and so on
//   absl::Status s = exec.Run(&context);  // all in place, or none reserved
//   Fence f = queue.Submit(exec.dependencies(), cost_ns, work);
//   exec.Finish(f);  // fenced and unreserved
//
// Reservations are taken in one order everywhere, so execs on several threads
// cannot deadlock. Thread-compatible.

#include "absl/container/inlined_vector.h"
#include "absl/status/status.h"
#include "twostep/bo/buffer_object.h"
#include "twostep/bo/device.h"
#include "twostep/bo/placer.h"
#include "twostep/machine/fence_set.h"
#include "twostep/placement/placement.h"

namespace twostep {

class Exec {
 public:
  // `placer`, where there is one, must outlive the exec.
  explicit Exec(Device& device, Placer* placer = nullptr)
      : device_(device), placer_(placer) {}
  // Unreserves what Finish has not.
  ~Exec();
  Exec(const Exec&) = delete;
  Exec& operator=(const Exec&) = delete;

  // `placements` must outlive Run. A bo added twice counts once, with the
  // stronger use and the first placements.
  void Add(BufferObject& bo, PlacementList placements, FenceUse use);
  // The same, to where the placer says when the bo's turn comes. REQUIRES: a
  // placer.
  void Add(BufferObject& bo, FenceUse use);

  // After an error, which is Device::Validate's of the first bo that failed,
  // nothing is reserved; bos before it may have moved.
  absl::Status Run(ValidateContext* context);
  // Bos that were already in place. REQUIRES: Run succeeded.
  size_t hits() const { return hits_; }
  // The sizes of those that were not.
  uint64_t missed_bytes() const { return missed_bytes_; }
  size_t size() const { return entries_.size(); }
  // What the work must wait for. REQUIRES: Run succeeded.
  const absl::InlinedVector<Fence, 4>& dependencies() const {
    return dependencies_;
  }
  // Adds `fence` to every bo and unreserves them, the one added last becoming
  // the one used last.
  void Finish(const Fence& fence);

 private:
  struct Entry {
    BufferObject* bo;
    PlacementList placements;
    FenceUse use;
    bool placed_by_policy = false;
  };
  absl::Status ValidateAll(ValidateContext* context);
  void UnreserveAll();

  Device& device_;
  Placer* const placer_;
  absl::InlinedVector<Entry, 16> entries_;
  absl::InlinedVector<Fence, 4> dependencies_;
  size_t hits_ = 0;
  uint64_t missed_bytes_ = 0;
  bool reserved_ = false;
};

}  // namespace twostep

#endif  // BO_EXEC_H_
