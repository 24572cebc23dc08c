#include "twostep/eviction/lirs_policy.h"

#include <algorithm>

#include "twostep/machine/check.h"

namespace twostep {

LirsPolicy::LirsPolicy(double hir) : hir_(hir) {
  TWOSTEP_CHECK(nodes_.Take() == kEnds);
  nodes_[kEnds] = Node{nullptr, 0, 0, kEnds, kEnds, false};
}

uint64_t LirsPolicy::HirBytes() const {
  return std::max(uint64_t{1}, static_cast<uint64_t>(Capacity() * hir_));
}

void LirsPolicy::PutOnTop(uint32_t index) {
  TakeOut(index);
  Node& node = nodes_[index];
  node.below = nodes_[kEnds].below;
  node.next = kEnds;
  node.in_stack = true;
  nodes_[node.below].next = index;
  nodes_[kEnds].below = index;
  stack_bytes_ += node.bytes;
}

void LirsPolicy::TakeOut(uint32_t index) {
  Node& node = nodes_[index];
  if (!node.in_stack) return;
  nodes_[node.below].next = node.next;
  nodes_[node.next].below = node.below;
  node.in_stack = false;
  stack_bytes_ -= node.bytes;
}

void LirsPolicy::DemoteFor(uint64_t bytes) {
  Prune();
  while (!BecomesLir(bytes) && lir_bytes_ != 0) {
    const uint32_t index = nodes_[kEnds].next;
    Node& node = nodes_[index];
    lir_bytes_ -= node.bytes;
    hir_bytes_ += node.bytes;
    Mark(*node.entry, index, kHir);
    queue_.PushBack(*node.entry);
    TakeOut(index);
    Prune();
  }
}

void LirsPolicy::Prune() {
  for (;;) {
    const uint32_t index = nodes_[kEnds].next;
    const Node& node = nodes_[index];
    // The top stays, whatever it is.
    if (index == nodes_[kEnds].below) return;
    if (node.entry != nullptr && IsLir(*node.entry)) return;
    TakeOut(index);
    if (node.entry == nullptr) {
      ghosts_.Take(node.key);
      nodes_.Return(index);
    }
  }
}

void LirsPolicy::Forget(const GhostKeys::Ghost& ghost) {
  const auto index = static_cast<uint32_t>(ghost.tag);
  TakeOut(index);
  nodes_.Return(index);
}

void LirsPolicy::LimitStack() {
  while (stack_bytes_ > 2 * Capacity() && !ghosts_.empty()) {
    Forget(ghosts_.TakeOldest());
  }
}

void LirsPolicy::Expect(const EvictionFacts& entry) {
  if (expected_key_ == entry.key) return;
  expected_key_ = entry.key;
  expected_bytes_ = entry.bytes;
  const auto ghost = ghosts_.Take(entry.key);
  expected_was_ghost_ = ghost.has_value();
  if (!expected_was_ghost_) return;
  Forget(*ghost);
  DemoteFor(entry.bytes);
}

bool LirsPolicy::Overfull() const {
  const bool queued = expected_key_.has_value() && !expected_was_ghost_ &&
                      !BecomesLir(expected_bytes_);
  return hir_bytes_ + (queued ? expected_bytes_ : 0) > HirBytes() &&
         !queue_.empty();
}

void LirsPolicy::Insert(EvictionHook& entry) {
  const EvictionFacts facts = FactsOf(entry);
  const uint64_t kind_before = entry.state() & kKind;  // 0: not from aside
  bool lir = kind_before == kLir;
  if (kind_before == 0) {
    Expect(facts);
    lir = expected_was_ghost_ || BecomesLir(facts.bytes);
    expected_key_.reset();
  }
  const uint32_t index = nodes_.Take();
  nodes_[index] = Node{&entry, facts.key, facts.bytes, kEnds, kEnds, false};
  Mark(entry, index, lir ? kLir : kHir);
  PutOnTop(index);
  if (lir) {
    lir_bytes_ += facts.bytes;
  } else {
    hir_bytes_ += facts.bytes;
    queue_.PushBack(entry);
  }
  LimitStack();
}

void LirsPolicy::Touch(EvictionHook& entry) {
  const uint32_t index = IndexOf(entry);
  const Node& node = nodes_[index];
  if (IsLir(entry)) {
    PutOnTop(index);
    Prune();
  } else if (node.in_stack) {
    PutOnTop(index);
    queue_.Remove(entry);
    hir_bytes_ -= node.bytes;
    DemoteFor(node.bytes);
    Mark(entry, index, kLir);
    lir_bytes_ += node.bytes;
  } else {
    queue_.MoveToBack(entry);
    DemoteFor(node.bytes);
    PutOnTop(index);
  }
  LimitStack();
}

void LirsPolicy::Remove(EvictionHook& entry, Departure why) {
  const uint32_t index = IndexOf(entry);
  Node& node = nodes_[index];
  const uint64_t kind = entry.state() & kKind;
  if (kind == kLir) {
    lir_bytes_ -= node.bytes;
  } else {
    hir_bytes_ -= node.bytes;
    queue_.Remove(entry);
  }
  // The node may have another entry when this one comes back.
  entry.set_state(kind);
  if (why == Departure::kEvicted && kind == kHir && node.in_stack) {
    node.entry = nullptr;
    const auto forgotten =
        ghosts_.Add({.key = node.key, .bytes = node.bytes, .tag = index});
    if (forgotten.has_value()) Forget(*forgotten);
    return;
  }
  TakeOut(index);
  nodes_.Return(index);
  Prune();
}

EvictionHook* LirsPolicy::LirFrom(uint32_t index) {
  while (index != kEnds &&
         (nodes_[index].entry == nullptr || !IsLir(*nodes_[index].entry))) {
    index = nodes_[index].next;
  }
  return index == kEnds ? nullptr : nodes_[index].entry;
}

EvictionHook* LirsPolicy::First() {
  return queue_.empty() ? LirFrom(nodes_[kEnds].next) : queue_.front();
}

EvictionHook* LirsPolicy::After(EvictionHook& entry) {
  if (IsLir(entry)) return LirFrom(nodes_[IndexOf(entry)].next);
  EvictionHook* const behind = queue_.Behind(entry);
  return behind != nullptr ? behind : LirFrom(nodes_[kEnds].next);
}

}  // namespace twostep
