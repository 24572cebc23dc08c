#include "twostep/bo/exec.h"

#include <algorithm>

namespace twostep {

Exec::~Exec() { UnreserveAll(); }

void Exec::Add(BufferObject& bo, PlacementList placements, FenceUse use) {
  TWOSTEP_CHECK(!reserved_);
  entries_.push_back(Entry{&bo, placements, use});
}

absl::Status Exec::Run(ValidateContext* context) {
  absl::InlinedVector<Entry*, 16> by_bo;
  for (Entry& entry : entries_) by_bo.push_back(&entry);
  std::sort(by_bo.begin(), by_bo.end(), [](const Entry* a, const Entry* b) {
    return a->bo != b->bo ? a->bo < b->bo : a < b;
  });
  dependencies_.clear();
  hits_ = 0;
  Entry* last = nullptr;
  for (Entry* entry : by_bo) {
    if (last != nullptr && last->bo == entry->bo) {
      last->use = std::min(last->use, entry->use);
      entry->bo = nullptr;
      continue;
    }
    entry->bo->Reserve();
    last = entry;
  }
  entries_.erase(std::remove_if(entries_.begin(), entries_.end(),
                                [](const Entry& e) { return e.bo == nullptr; }),
                 entries_.end());
  reserved_ = true;
  for (const Entry& entry : entries_) {
    absl::Status status =
        device_.Validate(*entry.bo, entry.placements, context);
    if (!status.ok()) {
      UnreserveAll();
      return status;
    }
    hits_ += context->hit;
    entry.bo->fences().AppendDependencies(entry.use, &dependencies_);
  }
  context->hit = hits_ == entries_.size();
  return absl::OkStatus();
}

void Exec::Finish(const Fence& fence) {
  TWOSTEP_CHECK(reserved_);
  for (const Entry& entry : entries_) entry.bo->fences().Add(fence, entry.use);
  UnreserveAll();
}

void Exec::UnreserveAll() {
  if (reserved_) {
    for (const Entry& entry : entries_) entry.bo->Unreserve();
  }
  entries_.clear();
  reserved_ = false;
}

}  // namespace twostep
