#include "twostep/mem_types/memory_manager.h"

#include <utility>

namespace twostep {

MemoryManager::MemoryManager(std::string name, Kind kind, uint64_t pages,
                             std::unique_ptr<EvictionPolicy> policy)
    : name_(std::move(name)),
      kind_(kind),
      pages_(pages),
      order_(std::move(policy)) {}

size_t MemoryManager::order_size() const {
  size_t size = order_.size();
  for (const auto& order : more_orders_) size += order->size();
  return size;
}

Shortage::Kind MemoryManager::Allocate(const SpaceRequest& request,
                                       SpaceBlock* block) {
  if (!in_use()) return Shortage::Kind::kNotInUse;
  const Shortage::Kind kind = DoAllocate(request, block);
  if (kind == Shortage::Kind::kNone) {
    used_pages_.fetch_add(request.size, std::memory_order_relaxed);
  }
  return kind;
}

void MemoryManager::Free(const SpaceBlock& block, PageCount pages) {
  DoFree(block);
  used_pages_.fetch_sub(pages, std::memory_order_relaxed);
}

void MemoryManager::FreeAfter(const SpaceBlock& block, PageCount pages,
                              FenceSet* fences) {
  // The fences first: whoever is granted the space must find them.
  if (!fences->Signalled()) {
    MutexLock lock(freed_mutex_);
    freed_fences_.AddAll(*fences, FenceUse::kMove);
    freed_pending_.store(true, std::memory_order_release);
  }
  Free(block, pages);
}

bool MemoryManager::AppendFreedFences(FenceSet* fences) {
  if (!freed_pending_.load(std::memory_order_acquire)) return false;
  MutexLock lock(freed_mutex_);
  if (freed_fences_.Signalled()) {
    freed_pending_.store(false, std::memory_order_release);
    return false;
  }
  fences->AddAll(freed_fences_, FenceUse::kMove);
  return true;
}

Shortage MemoryManager::Describe(const SpaceRequest& request) const {
  Shortage shortage = DoDescribe(request);
  if (!in_use()) shortage.kind = Shortage::Kind::kNotInUse;
  return shortage;
}

}  // namespace twostep
