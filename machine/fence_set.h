#ifndef MACHINE_FENCE_SET_H_
#define MACHINE_FENCE_SET_H_

// The fences a bo, or freed space, still has to wait for: the latest point of
// each timeline and use. One fits without an allocation. Thread-compatible.

#include "absl/container/inlined_vector.h"
#include "absl/status/status.h"
#include "twostep/machine/timeline.h"

namespace twostep {

// What the work behind a fence does to the bo, strongest first.
enum class FenceUse : uint8_t {
  kMove,   // brings the contents to where they are: everybody waits
  kWrite,  // writes the contents: readers wait
  kRead,   // reads them: only writers wait
};

class FenceSet {
 public:
  // Replaces an earlier point of the same timeline and use, or one that has
  // signalled, unless it is a move that failed. A null fence adds nothing.
  void Add(const Fence& fence, FenceUse use);
  void AddAll(const FenceSet& other, FenceUse use);
  // Room for `slots` fences more.
  void ReserveSlots(int slots) { entries_.reserve(entries_.size() + slots); }
  // Fences that can be added without an allocation, at least.
  int free_slots() const {
    return static_cast<int>(entries_.capacity() - entries_.size());
  }
  void Clear() { entries_.clear(); }

  bool empty() const { return entries_.empty(); }
  // Whether everything of `weakest` use or stronger has signalled; forgets what
  // has.
  bool Signalled(FenceUse weakest = FenceUse::kRead);
  // Waits for the same; kUnavailable or kDeadlineExceeded as WaitFor says. What
  // signals with an error has signalled: ask Error().
  absl::Status Wait(FenceUse weakest, const WaitLimit& limit);
  // Why the first of them that failed did, as long as it is remembered: a move,
  // which means that the contents are lost, until Clear() or
  // Supersede(); others until
  // Signalled(), Wait(), or another fence in their place.
  absl::Status Error(FenceUse weakest) const;
  // Replaces all by `move`, which waits for all of them; but for pending moves
  // on other timelines, which may still fail. One without a timeline took no
  // time and waits for nothing: all that is pending stays. False when a move
  // has failed: contents that are moved now are lost.
  bool Supersede(const Fence& move);
  // Has all that is pending signal soon, where that needs to be asked for.
  void AskFor() const;
  // Appends what whoever does `use` next must wait for.
  void AppendDependencies(FenceUse use,
                          absl::InlinedVector<Fence, 4>* dependencies) const;

 private:
  struct Entry {
    Timeline* timeline;
    uint64_t point : 62;
    uint64_t use : 2;

    Fence fence() const { return Fence{timeline, point}; }
    // Signalled, and nothing to be remembered about.
    bool done() const;
  };
  static_assert(sizeof(Entry) == 16);

  absl::InlinedVector<Entry, 1> entries_;
};

}  // namespace twostep

#endif  // MACHINE_FENCE_SET_H_
