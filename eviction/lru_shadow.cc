#include "twostep/eviction/lru_shadow.h"

#include <algorithm>

namespace twostep {
namespace {

// What the policy may risk to find out whether it does better: that part of the
// room.
constexpr int64_t kTrust = 8;
// What it is ahead counts up to so many fillings of the room: more would let it
// be worse for long.
constexpr int64_t kMostAhead = 8;
// What it was behind it makes up for by doing as LRU does while so many times
// as much is moved: in the long run it may be worse by that part.
constexpr int64_t kPenance = 100;
// Where not all bos of a submission find room, what LRU would move depends on
// where the holes are. So it is tried out: while so many fillings are moved,
// once in so many.
constexpr int64_t kProbe = 4;
constexpr int64_t kProbeEvery = 256;
// What is there counts as the room's size as an average over so many questions.
constexpr int64_t kFillMemory = 16;

}  // namespace

void LruShadow::Set(BoRecord& bo, bool here, bool lru_has) {
  if (bo.here) here_bytes_ -= bo.bytes;
  if (bo.lru_has) bytes_ -= bo.bytes;
  if (bo.lru_has && !bo.here) lacking_bytes_ -= bo.bytes;
  bo.here = here;
  bo.lru_has = lru_has;
  if (here) here_bytes_ += bo.bytes;
  if (lru_has) bytes_ += bo.bytes;
  if (lru_has && !here) lacking_bytes_ += bo.bytes;
}

void LruShadow::NoteFull() {
  const auto here = static_cast<int64_t>(here_bytes_);
  const auto known = static_cast<int64_t>(capacity_);
  capacity_ = known == 0
                  ? here_bytes_
                  : static_cast<uint64_t>(known + (here - known) / kFillMemory);
}

void LruShadow::Insert(BoRecord& bo, uint64_t bytes) {
  // While it is stopped LRU moves the same, but for what it has.
  if (!bo.here && (running_ || bo.lru_has)) {
    moved_ += bytes;
  }
  const bool lru_has = bo.lru_has;
  Set(bo, false, false);
  bo.bytes = bytes;
  bo.gone = false;
  Set(bo, true, lru_has);
}

void LruShadow::Remove(BoRecord& bo, Departure why) {
  if (why == Departure::kAside) return;
  if (why == Departure::kEvicted) {
    moved_ += bo.bytes;
    Set(bo, false, bo.lru_has);
  } else {
    Set(bo, false, false);
    bo.gone = true;
  }
}

void LruShadow::Forget(BoRecord& bo) {
  Set(bo, bo.here && bo.in != nullptr, false);
}

void LruShadow::MakeRoom(uint64_t bytes) {
  for (; bytes_ + bytes > capacity_ && floor_ < counted_; ++floor_) {
    BoRecord& bo = bos_[log_.bo(floor_)];
    const bool pinned = bo.here && bo.in == nullptr;
    if (!log_.IsLast(floor_) || !bo.lru_has || pinned) continue;
    Set(bo, bo.here, false);
    lru_moved_ += bo.bytes;
  }
}

void LruShadow::Submit() {
  Count();
  counted_ = log_.linked();
  Judge();
  moved_ = 0;
  lru_moved_ = 0;
}

// What LRU does with the submission.
void LruShadow::Count() {
  floor_ = std::max(floor_, log_.oldest());
  uint64_t kept = 0;  // bytes that cannot go: the submission uses them
  for (Position use = counted_; use < log_.linked(); ++use) {
    const BoRecord& bo = bos_[log_.bo(use)];
    if (bo.lru_has && log_.IsLast(use)) kept += bo.bytes;
    overfull_ |= !bo.here && !bo.gone;
  }
  for (Position use = counted_; use < log_.linked(); ++use) {
    BoRecord& bo = bos_[log_.bo(use)];
    if (bo.lru_has || !bo.here || kept + bo.bytes > capacity_) continue;
    MakeRoom(bo.bytes);
    Set(bo, bo.here, true);
    kept += bo.bytes;
    lru_moved_ += bo.bytes;
  }
}

void LruShadow::Judge() {
  const auto capacity = static_cast<int64_t>(capacity_);
  const auto moved = static_cast<int64_t>(moved_);
  if (!trusts_) {
    real_ += moved_;
    told_ += lru_moved_;
    if ((left_ -= moved) > 0) return;
    truth_ = std::clamp<uint64_t>(
        kOne * (real_ + capacity_) / (told_ + capacity_ + 1), kOne / 4,
        4 * kOne);
    trusts_ = true;
    overfull_ = false;
    until_probe_ = kProbeEvery * capacity;
    Align();
    return;
  }
  debt_ += moved - static_cast<int64_t>(lru_moved_ * truth_ / kOne);
  debt_ = std::max(debt_, -kMostAhead * capacity);
  until_probe_ -= moved;
  if (debt_ > capacity / kTrust) {
    Distrust((debt_ + static_cast<int64_t>(lacking_bytes_)) * kPenance);
    debt_ = 0;
  } else if (overfull_ && until_probe_ <= 0) {
    Distrust(kProbe * capacity);
  }
}

void LruShadow::Distrust(int64_t bytes) {
  trusts_ = false;
  left_ = bytes;
  real_ = told_ = 0;
  Align();
}

void LruShadow::Align() {
  floor_ = log_.oldest();
  for (Position use = floor_; use < log_.linked(); ++use) {
    BoRecord& bo = bos_[log_.bo(use)];
    if (log_.IsLast(use)) Set(bo, bo.here, bo.here);
  }
}

void LruShadow::Start() {
  counted_ = log_.linked();
  running_ = true;
  Align();
}

}  // namespace twostep
