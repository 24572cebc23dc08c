#include "twostep/machine/fence_set.h"

#include <algorithm>

namespace twostep {

bool FenceSet::Entry::done() const {
  return fence().Signalled() &&
         (use != static_cast<uint64_t>(FenceUse::kMove) ||
          fence().Error().ok());
}

void FenceSet::Add(const Fence& fence, FenceUse use) {
  if (fence.timeline == nullptr) return;
  const Entry entry{fence.timeline, fence.point, static_cast<uint64_t>(use)};
  for (Entry& old : entries_) {
    if (old.timeline == entry.timeline && old.use == entry.use) {
      old.point = std::max<uint64_t>(old.point, entry.point);
      return;
    }
  }
  for (Entry& old : entries_) {
    if (old.done()) {
      old = entry;
      return;
    }
  }
  entries_.push_back(entry);
}

void FenceSet::AddAll(const FenceSet& other, FenceUse use) {
  for (const Entry& entry : other.entries_) Add(entry.fence(), use);
}

bool FenceSet::Signalled(FenceUse weakest) {
  bool all = true;
  for (size_t i = 0; i < entries_.size();) {
    if (entries_[i].done()) {
      entries_[i] = entries_.back();
      entries_.pop_back();
      continue;
    }
    if (entries_[i].use <= static_cast<uint64_t>(weakest) &&
        !entries_[i].fence().Signalled()) {
      all = false;
    }
    ++i;
  }
  return all;
}

absl::Status FenceSet::Wait(FenceUse weakest, const WaitLimit& limit) {
  for (const Entry& entry : entries_) {
    if (entry.use > static_cast<uint64_t>(weakest)) continue;
    absl::Status status = WaitFor(entry.fence(), limit);
    if (!status.ok() && !entry.fence().Signalled()) return status;
  }
  Signalled(weakest);
  return absl::OkStatus();
}

absl::Status FenceSet::Error(FenceUse weakest) const {
  for (const Entry& entry : entries_) {
    if (entry.use > static_cast<uint64_t>(weakest)) continue;
    absl::Status error = entry.fence().Error();
    if (!error.ok()) return error;
  }
  return absl::OkStatus();
}

bool FenceSet::Supersede(const Fence& move) {
  const bool arrived = Error(FenceUse::kMove).ok();
  entries_.erase(std::remove_if(entries_.begin(), entries_.end(),
                                [&](const Entry& entry) {
                                  return !arrived || entry.done() ||
                                         (move.timeline != nullptr &&
                                          entry.use != static_cast<uint64_t>(
                                                           FenceUse::kMove));
                                }),
                 entries_.end());
  Add(move, FenceUse::kMove);
  return arrived;
}

void FenceSet::AskFor() const {
  for (const Entry& entry : entries_) entry.timeline->AskFor(entry.point);
}

void FenceSet::AppendDependencies(
    FenceUse use, absl::InlinedVector<Fence, 4>* dependencies) const {
  for (const Entry& entry : entries_) {
    // Readers do not wait for readers.
    if (use == FenceUse::kRead &&
        entry.use == static_cast<uint64_t>(FenceUse::kRead)) {
      continue;
    }
    if (!entry.fence().Signalled()) dependencies->push_back(entry.fence());
  }
}

}  // namespace twostep
