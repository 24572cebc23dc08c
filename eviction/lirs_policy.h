#ifndef EVICTION_LIRS_POLICY_H_
#define EVICTION_LIRS_POLICY_H_

// Ranks by how long ago the use before the last was (Jiang, Zhang, "LIRS: an
// Efficient Low Inter-reference Recency Set Replacement Policy to Improve
// Buffer Cache Performance", SIGMETRICS 2002). Most of the capacity goes to
// entries that come back soon (LIR); the others (HIR) share a small queue, and
// become LIR when they come back while a LIR entry has not. Good on loops and
// scans, where LRU fails.
//
// A stack holds LIR entries, and others that were used since its lowest LIR
// entry was, evicted ones too. In bytes, as in libCacheSim, also in that an
// entry of the queue alone makes room among the LIR when it is used.
//
// Parameter `hir`: the queue, of the capacity. Where the capacity is not known,
// what is there counts. Owns 40 bytes an entry, in slabs that are kept, and
// remembers as many keys as its owner allows, 80 bytes each. Thread-compatible.

#include <optional>

#include "twostep/eviction/entry_queue.h"
#include "twostep/eviction/ghost_keys.h"
#include "twostep/machine/node_slabs.h"

namespace twostep {

class LirsPolicy final : public EvictionPolicy {
 public:
  explicit LirsPolicy(double hir);

  void Insert(EvictionHook& entry) override;
  void TouchArrival(EvictionHook&) override {}
  void Touch(EvictionHook& entry) override;
  void Remove(EvictionHook& entry, Departure why) override;
  bool TouchesBlindly() const override { return true; }
  EvictionHook* First() override;
  EvictionHook* After(EvictionHook& entry) override;
  void Expect(const EvictionFacts& entry) override;
  bool Admits(uint64_t bytes) const override {
    return bytes <= HirBytes() && bytes <= LirBytes();
  }
  // The queue has a limit of its own.
  bool Overfull() const override;

 private:
  // In the stack, or only a place to keep what is known of an entry.
  struct Node {
    EvictionHook* entry;  // null: evicted
    uint64_t key;
    uint64_t bytes;
    uint32_t below;
    // Also a link of the slabs.
    uint32_t next;  // above
    bool in_stack;
  };
  // What an entry's state says beside the index of its node.
  static constexpr uint64_t kLir = 1;
  static constexpr uint64_t kHir = 2;
  static constexpr uint64_t kKind = 3;
  static constexpr int kKindBits = 2;
  // The stack is a ring through this node.
  static constexpr uint32_t kEnds = 0;

  static bool IsLir(const EvictionHook& entry) {
    return (entry.state() & kKind) == kLir;
  }
  static uint32_t IndexOf(const EvictionHook& entry) {
    return static_cast<uint32_t>(entry.state() >> kKindBits);
  }
  static void Mark(EvictionHook& entry, uint32_t index, uint64_t kind) {
    entry.set_state(uint64_t{index} << kKindBits | kind);
  }

  void Prepare() override { ghosts_.Reset(owner().most_ghosts); }
  uint64_t Capacity() const {
    return owner().capacity_bytes != 0 ? owner().capacity_bytes
                                       : lir_bytes_ + hir_bytes_;
  }
  uint64_t HirBytes() const;
  uint64_t LirBytes() const { return Capacity() - HirBytes(); }
  bool BecomesLir(uint64_t bytes) const {
    return lir_bytes_ + bytes <= LirBytes();
  }

  void PutOnTop(uint32_t index);
  void TakeOut(uint32_t index);
  // Makes room among the LIR: the lowest become HIR.
  void DemoteFor(uint64_t bytes);
  // Nothing below the lowest LIR entry is of use.
  void Prune();
  // The stack remembers no more than twice the capacity.
  void LimitStack();
  EvictionHook* LirFrom(uint32_t index);
  void Forget(const GhostKeys::Ghost& ghost);

  const double hir_;
  internal::NodeSlabs<Node> nodes_;
  EntryQueue queue_;  // the HIR that are there; the front goes first
  uint64_t lir_bytes_ = 0;
  uint64_t hir_bytes_ = 0;
  uint64_t stack_bytes_ = 0;
  // Of entries in the stack; the tag is the index of the node.
  GhostKeys ghosts_;
  // What Expect heard of, until it is inserted, and whether it was a ghost.
  std::optional<uint64_t> expected_key_;
  uint64_t expected_bytes_ = 0;
  bool expected_was_ghost_ = false;
};

}  // namespace twostep

#endif  // EVICTION_LIRS_POLICY_H_
