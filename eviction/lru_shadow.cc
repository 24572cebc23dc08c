#include "twostep/eviction/lru_shadow.h"

#include <algorithm>

namespace twostep {
namespace {

// What the policy moves counts so much a byte, what LRU moves a little more: in
// the long run the policy may be worse by that.
constexpr int64_t kPerByte = 100;
constexpr int64_t kPerLruByte = 101;
// More credit than for filling the room anew, one lot out and one in, would let
// the policy be worse for long.
constexpr int64_t kMostFillings = 2;
// What the policy may risk to find out whether it does better: that part of the
// room.
constexpr uint64_t kTrust = 4;
// An entry's bytes count as room for this many questions, about, after it left.
constexpr uint64_t kCapacityMemory = 16;

}  // namespace

bool LruShadow::in_debt() const {
  return debt_ + kPerByte * static_cast<int64_t>(lacking_bytes_) >
         kPerByte * static_cast<int64_t>(capacity_ / kTrust);
}

void LruShadow::Set(KnownBo& bo, bool here, bool lru_has) {
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
  capacity_ = std::max(here_bytes_, capacity_ - capacity_ / kCapacityMemory);
}

void LruShadow::Insert(KnownBo& bo, uint64_t bytes) {
  // While it is stopped LRU moves the same, but for what it has.
  if (!bo.here && (running_ || bo.lru_has)) {
    moved_ += static_cast<int64_t>(bytes);
  }
  const bool lru_has = bo.lru_has;
  Set(bo, false, false);
  bo.bytes = bytes;
  bo.gone = false;
  Set(bo, true, lru_has);
}

void LruShadow::Remove(KnownBo& bo, Departure why) {
  if (why == Departure::kAside) return;
  if (why == Departure::kEvicted) {
    moved_ += static_cast<int64_t>(bo.bytes);
    Set(bo, false, bo.lru_has);
  } else {
    Set(bo, false, false);
    bo.gone = true;
    bo.lru_evicted = false;
  }
}

void LruShadow::Forget(KnownBo& bo) {
  Set(bo, bo.here && bo.in != nullptr, false);
}

void LruShadow::Moved(int64_t a_byte, uint64_t bytes) {
  debt_ -= a_byte * static_cast<int64_t>(bytes);
  debt_ = std::max(debt_,
                   -kMostFillings * kPerByte * static_cast<int64_t>(capacity_));
}

void LruShadow::MakeRoom(uint64_t bytes) {
  for (; bytes_ + bytes > capacity_ && floor_ < counted_; ++floor_) {
    KnownBo& bo = bos_[log_.bo(floor_)];
    const bool pinned = bo.here && bo.in == nullptr;
    if (!log_.IsLast(floor_) || !bo.lru_has || pinned) continue;
    Set(bo, bo.here, false);
    bo.lru_evicted = true;
    Moved(kPerLruByte, bo.bytes);
  }
}

void LruShadow::Submit() {
  debt_ += kPerByte * moved_;
  moved_ = 0;
  floor_ = std::max(floor_, log_.oldest());
  // Bytes that cannot go: the submission uses them. Where not all found room,
  // LRU would not have found more.
  uint64_t kept = 0;
  uint64_t found = 0;
  bool all_found = true;
  for (Position use = counted_; use < log_.linked(); ++use) {
    const KnownBo& bo = bos_[log_.bo(use)];
    if (!log_.IsLast(use)) continue;
    if (bo.lru_has) kept += bo.bytes;
    if (bo.here) found += bo.bytes;
    all_found &= bo.here || bo.gone;
  }
  const uint64_t most = all_found ? capacity_ : std::min(found, capacity_);
  for (Position use = counted_; use < log_.linked(); ++use) {
    KnownBo& bo = bos_[log_.bo(use)];
    if (bo.lru_has || bo.gone || kept + bo.bytes > most) continue;
    MakeRoom(bo.bytes);
    Set(bo, bo.here, true);
    kept += bo.bytes;
    // For its first time here nobody is given credit.
    Moved(bo.lru_evicted ? kPerLruByte : kPerByte, bo.bytes);
    bo.lru_evicted = false;
  }
  counted_ = log_.linked();
}

void LruShadow::Start() {
  counted_ = floor_ = log_.linked();
  running_ = true;
  uint64_t bytes = 0;
  for (Position use = log_.linked(); use-- > log_.oldest();) {
    if (!log_.IsLast(use)) continue;
    KnownBo& bo = bos_[log_.bo(use)];
    Set(bo, bo.here, false);
    if (bo.gone) continue;
    bytes += bo.bytes;
    if (bytes > capacity_) continue;
    Set(bo, bo.here, true);
    floor_ = use;
  }
}

}  // namespace twostep
