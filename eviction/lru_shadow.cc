#include "twostep/eviction/lru_shadow.h"

#include <algorithm>

namespace twostep {
namespace {

// What the policy moves counts so much a byte, what LRU moves a little more: in
// the long run the policy may be worse by that.
constexpr int64_t kPerByte = 100;
constexpr int64_t kPerLruByte = 102;
// More credit than for filling the room anew, one lot out and one in, would let
// the policy be worse for long.
constexpr int64_t kMostFillings = 2;

}  // namespace

void LruShadow::Insert(KnownBo& bo, Position last, uint64_t bytes) {
  if (bo.evicted) moved_ += static_cast<int64_t>(bo.bytes);
  bo.evicted = false;
  if (Has(bo, last)) bytes_ -= bo.bytes;
  bo.bytes = bytes;
  bo.gone = false;
  if (Has(bo, last)) bytes_ += bytes;
}

void LruShadow::Remove(KnownBo& bo, Position last, Departure why) {
  if (why == Departure::kEvicted) {
    bo.evicted = true;
    moved_ += static_cast<int64_t>(bo.bytes);
  } else if (why == Departure::kGone) {
    if (Has(bo, last)) bytes_ -= bo.bytes;
    bo.gone = true;
    bo.lru_evicted = false;
  }
}

void LruShadow::Moved(uint64_t bytes) {
  debt_ -= kPerLruByte * static_cast<int64_t>(bytes);
  debt_ = std::max(debt_,
                   -kMostFillings * kPerByte * static_cast<int64_t>(capacity_));
}

void LruShadow::Use(Position use) {
  debt_ += kPerByte * moved_;
  moved_ = 0;
  floor_ = std::max(floor_, log_.oldest());
  if (log_.Previous(use) < floor_) {
    KnownBo& bo = bos_[log_.bo(use)];
    bytes_ += bo.bytes;
    if (bo.lru_evicted) Moved(bo.bytes);
    bo.lru_evicted = false;
  }
  for (; bytes_ > capacity_ && floor_ < use; ++floor_) {
    if (!log_.IsLast(floor_)) continue;
    KnownBo& bo = bos_[log_.bo(floor_)];
    if (bo.gone) continue;
    bytes_ -= bo.bytes;
    bo.lru_evicted = true;
    Moved(bo.bytes);
  }
}

void LruShadow::StartAt(Position head) {
  bytes_ = 0;
  for (floor_ = head; floor_ > log_.oldest(); --floor_) {
    const Position last = floor_ - 1;
    if (!log_.IsLast(last)) continue;
    const KnownBo& bo = bos_[log_.bo(last)];
    if (bo.gone) continue;
    if (bytes_ + bo.bytes > capacity_) break;
    bytes_ += bo.bytes;
  }
}

void LruShadow::Forget(Position last, const KnownBo& bo) {
  if (Has(bo, last)) bytes_ -= bo.bytes;
}

}  // namespace twostep
