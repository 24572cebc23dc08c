#include "twostep/bo/placer.h"

#include "twostep/bo/device.h"
#include "twostep/bo/host.h"

namespace twostep {
namespace {

PlacementMoment MomentOf(Device& device, uint64_t moved_bytes) {
  PlacementMoment moment;
  moment.now_ns = device.host().machine().clock().now_ns();
  if (const MemoryManager* vram = device.manager(MemoryType::kVram)) {
    moment.free_vram_bytes = (vram->pages() - vram->used_pages()) * kPageSize;
  }
  moment.moved_bytes = moved_bytes;
  return moment;
}

MemoryType MemoryTypeOf(const BufferObject& bo) {
  for (int type = 0; bo.device() != nullptr && type < kMaxMemoryTypes; ++type) {
    const auto memory = static_cast<MemoryType>(type);
    if (bo.device()->manager(memory) == &bo.manager()) return memory;
  }
  return MemoryType::kSystem;
}

PlacementFacts FactsOf(const BufferObject& bo) {
  PlacementFacts facts;
  facts.key = bo.id();
  facts.bytes = bo.size_bytes();
  facts.memory = MemoryTypeOf(bo);
  facts.has_contents =
      bo.manager().fixed() || bo.pages().home() != Pages::Home::kNone;
  if (bo.binder() != nullptr) {
    facts.cpu_bytes = PagesToBytes(bo.binding().cpu_owned_pages);
  }
  return facts;
}

}  // namespace

void Placer::Begin(Device& device) {
  const PlacementMoment moment = MomentOf(device, 0);
  MutexLock lock(mutex_);
  policy_->Begin(moment);
}

PlacementList Placer::Choose(Device& device, const BufferObject& bo,
                             uint64_t moved_bytes) {
  const PlacementMoment moment = MomentOf(device, moved_bytes);
  const PlacementFacts facts = FactsOf(bo);
  MutexLock lock(mutex_);
  return policy_->Choose(facts, moment);
}

void Placer::End(Device& device, uint64_t moved_bytes) {
  const PlacementMoment moment = MomentOf(device, moved_bytes);
  MutexLock lock(mutex_);
  policy_->End(moment);
}

void Placer::Forget(const BufferObject& bo) {
  MutexLock lock(mutex_);
  policy_->Forget(bo.id());
}

PlacementList Placer::EvictTo(const BufferObject& bo) {
  const PlacementFacts facts = FactsOf(bo);
  MutexLock lock(mutex_);
  return policy_->EvictTo(facts);
}

}  // namespace twostep
