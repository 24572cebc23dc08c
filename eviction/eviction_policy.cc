#include "twostep/eviction/eviction_policy.h"

namespace twostep {

EvictionFacts EvictionOwner::Alike(const void*, const EvictionHook& entry) {
  return {.key = reinterpret_cast<uintptr_t>(&entry)};
}

bool EvictionPolicy::TouchesBlindly() const { return false; }

void EvictionPolicy::Note(EvictionBoundary) {}
bool EvictionPolicy::Admits(uint64_t) const { return true; }
bool EvictionPolicy::Overfull() const { return false; }
void EvictionPolicy::Prepare() {}

}  // namespace twostep
