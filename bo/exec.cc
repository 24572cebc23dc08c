#include "twostep/bo/exec.h"

#include <algorithm>

namespace twostep {

Exec::~Exec() { UnreserveAll(); }

void Exec::Add(BufferObject& bo, PlacementList placements, FenceUse use) {
  TWOSTEP_CHECK(!reserved_);
  entries_.push_back(Entry{&bo, placements, use});
}

void Exec::Add(BufferObject& bo, FenceUse use) {
  TWOSTEP_CHECK(!reserved_);
  TWOSTEP_CHECK(placer_ != nullptr);
  entries_.push_back(Entry{&bo, {}, use, /*placed_by_policy=*/true});
}

absl::Status Exec::Run(ValidateContext* context) {
  absl::InlinedVector<Entry*, 16> by_bo;
  for (Entry& entry : entries_) by_bo.push_back(&entry);
  std::sort(by_bo.begin(), by_bo.end(), [](const Entry* a, const Entry* b) {
    return a->bo != b->bo ? a->bo < b->bo : a < b;
  });
  dependencies_.clear();
  hits_ = 0;
  missed_bytes_ = 0;
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
  const uint64_t moved_before = context->bytes_moved;
  if (placer_ != nullptr) placer_->Begin(device_);
  absl::Status status = ValidateAll(context);
  if (placer_ != nullptr) {
    placer_->End(device_, context->bytes_moved - moved_before);
  }
  if (!status.ok()) {
    UnreserveAll();
    return status;
  }
  context->hit = hits_ == entries_.size();
  return absl::OkStatus();
}

absl::Status Exec::ValidateAll(ValidateContext* context) {
  const uint64_t moved_before = context->bytes_moved;
  for (const Entry& entry : entries_) {
    const PlacementList placements =
        entry.placed_by_policy
            ? placer_->Choose(device_, *entry.bo,
                              context->bytes_moved - moved_before)
            : entry.placements;
    absl::Status status = device_.Validate(*entry.bo, placements, context);
    if (!status.ok()) return status;
    if (context->hit) {
      ++hits_;
    } else {
      missed_bytes_ += entry.bo->size_bytes();
    }
    entry.bo->fences().AppendDependencies(entry.use, &dependencies_);
  }
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
