#include "twostep/eviction/known_bos.h"

#include <algorithm>

#include "twostep/machine/check.h"

namespace twostep {
namespace {

constexpr size_t kLeast = 256;

}  // namespace

uint32_t KnownBos::Find(uint64_t key) const {
  if (buckets_.empty()) return 0;
  uint32_t number = buckets_[BucketOf(key)];
  while (number != 0 && bos_[number].key != key) number = bos_[number].chain;
  return number;
}

uint32_t KnownBos::Add(uint64_t key) {
  if (unused_ == 0) Grow();
  const uint32_t number = unused_;
  BoRecord& bo = bos_[number];
  unused_ = bo.chain;
  bo = BoRecord{.key = key};
  uint32_t& bucket = buckets_[BucketOf(key)];
  bo.chain = bucket;
  bucket = number;
  return number;
}

void KnownBos::Forget(uint32_t number) {
  BoRecord& bo = bos_[number];
  uint32_t* link = &buckets_[BucketOf(bo.key)];
  while (*link != number) link = &bos_[*link].chain;
  *link = bo.chain;
  bo.chain = unused_;
  unused_ = number;
}

// REQUIRES: all are in use.
void KnownBos::Grow() {
  const size_t begin = std::max<size_t>(bos_.size(), 1);
  const size_t end = std::max(2 * begin, kLeast);
  TWOSTEP_CHECK(end <= kEnd);
  bos_.resize(end);
  buckets_.assign(end, 0);
  for (size_t number = 1; number < begin; ++number) {
    uint32_t& bucket = buckets_[BucketOf(bos_[number].key)];
    bos_[number].chain = bucket;
    bucket = static_cast<uint32_t>(number);
  }
  for (size_t number = end; number-- > begin;) {
    bos_[number].chain = unused_;
    unused_ = static_cast<uint32_t>(number);
  }
}

}  // namespace twostep
