#include "twostep/lab/cache_model.h"

#include <algorithm>
#include <vector>

#include "twostep/eviction/adaptive_policy.h"
#include "twostep/eviction/arc_policy.h"
#include "twostep/eviction/belady_policy.h"
#include "twostep/eviction/clock_policy.h"
#include "twostep/eviction/fifo_policy.h"
#include "twostep/eviction/gdsf_policy.h"
#include "twostep/eviction/generations_policy.h"
#include "twostep/eviction/lirs_policy.h"
#include "twostep/eviction/lru_policy.h"
#include "twostep/eviction/priority_lru_policy.h"
#include "twostep/eviction/random_policy.h"
#include "twostep/eviction/s3fifo_policy.h"
#include "twostep/eviction/sieve_policy.h"
#include "twostep/eviction/two_queue_policy.h"
#include "twostep/machine/check.h"
#include "twostep/machine/clock.h"
#include "twostep/machine/machine_config.h"

namespace twostep {
namespace {

// What a miss costs to those who ask: as in VRAM by default.
constexpr CostModel kCost;

struct Entry : EvictionHook {
  uint64_t bytes : 63;
  uint64_t resident : 1;
};
static_assert(sizeof(Entry) == 32, "two in a cache line");

// A Policy whose verbs are called directly when it is a final class.
template <typename Policy>
class Cache {
 public:
  Cache(Policy& policy, std::span<const uint64_t> bytes, uint64_t capacity)
      : policy_(policy), capacity_(capacity), entries_(bytes.size()) {
    for (size_t i = 0; i < bytes.size(); ++i) {
      entries_[i].bytes = bytes[i];
      entries_[i].resident = false;
    }
    policy_.Serve({.facts_of =
                       [](const void* context, const EvictionHook& hook) {
                         const Entry& entry = static_cast<const Entry&>(hook);
                         return FactsOf(static_cast<const Entry*>(context),
                                        entry);
                       },
                   .context = entries_.data(),
                   .capacity_bytes = capacity,
                   .most_ghosts = static_cast<uint32_t>(bytes.size())});
  }
  ~Cache() {
    for (Entry& entry : entries_) {
      if (entry.resident) policy_.Remove(entry, Departure::kGone);
    }
  }

  // Which entry a request will look for in a moment.
  void Prefetch(uint32_t object) const {
    __builtin_prefetch(&entries_[object], 1);
  }
  void Request(uint32_t object) {
    Entry& entry = entries_[object];
    if (entry.resident) {
      policy_.Touch(entry);
      while (policy_.Overfull()) EvictFirst();
    } else {
      Miss(entry);
    }
  }
  uint64_t misses() const { return misses_; }
  uint64_t miss_bytes() const { return miss_bytes_; }

 private:
  static EvictionFacts FactsOf(const Entry* entries, const Entry& entry) {
    return {.key = static_cast<uint64_t>(&entry - entries),
            .bytes = entry.bytes,
            .cost_ns = kCost.engine_latency_ns +
                       TransferNs(entry.bytes, kCost.engine_mib_per_s)};
  }
  void Miss(Entry& entry) {
    const uint64_t bytes = entry.bytes;
    ++misses_;
    miss_bytes_ += bytes;
    if (bytes > capacity_ || !policy_.Admits(bytes)) return;
    policy_.Expect(FactsOf(entries_.data(), entry));
    while (used_ + bytes > capacity_ || policy_.Overfull()) EvictFirst();
    policy_.Insert(entry);
    entry.resident = true;
    used_ += bytes;
  }
  void EvictFirst() {
    EvictionHook* const first = policy_.First();
    TWOSTEP_CHECK(first != nullptr);
    Entry& victim = static_cast<Entry&>(*first);
    policy_.Remove(victim, Departure::kEvicted);
    victim.set_state(0);
    victim.resident = false;
    used_ -= victim.bytes;
  }

  Policy& policy_;
  const uint64_t capacity_;
  std::vector<Entry> entries_;
  uint64_t used_ = 0;
  uint64_t misses_ = 0;
  uint64_t miss_bytes_ = 0;
};

// Tells `position` which request is going on.
template <typename Policy>
CacheCounts Run(Policy& policy, const CacheRequests& requests,
                uint64_t capacity_bytes, size_t* position) {
  // As far ahead as a miss in the cache of the CPU takes.
  constexpr size_t kAhead = 16;
  const std::span<const uint32_t> objects = requests.objects;
  Cache<Policy> cache(policy, requests.bytes, capacity_bytes);
  for (size_t i = 0; i < objects.size(); ++i) {
    cache.Prefetch(objects[std::min(i + kAhead, objects.size() - 1)]);
    *position = i;
    cache.Request(objects[i]);
  }
  return {.requests = objects.size(),
          .misses = cache.misses(),
          .miss_bytes = cache.miss_bytes()};
}

// Runs it as the first of Policies that it is.
template <typename... Policies>
CacheCounts RunAsOneOf(EvictionPolicy& policy, const CacheRequests& requests,
                       uint64_t capacity_bytes) {
  CacheCounts counts;
  size_t position;
  const auto run_as = [&]<typename Policy>(Policy* is) {
    if (is == nullptr) return false;
    counts = Run(*is, requests, capacity_bytes, &position);
    return true;
  };
  const bool known = (run_as(dynamic_cast<Policies*>(&policy)) || ...);
  if (!known) run_as(&policy);
  return counts;
}

}  // namespace

CacheCounts RunCache(std::unique_ptr<EvictionPolicy> policy,
                     const CacheRequests& requests, uint64_t capacity_bytes) {
  return RunAsOneOf<LruPolicy, AdaptivePolicy, FifoPolicy, MruPolicy,
                    PriorityLruPolicy, ClockPolicy, SievePolicy, S3FifoPolicy,
                    TwoQueuePolicy, ArcPolicy, LirsPolicy, GdsfPolicy,
                    GenerationsPolicy, RandomPolicy>(*policy, requests,
                                                     capacity_bytes);
}

CacheCounts RunBelady(const CacheRequests& requests, uint64_t capacity_bytes) {
  const std::span<const uint32_t> objects = requests.objects;
  const uint64_t never = objects.size();
  std::vector<uint64_t> next_use(objects.size());
  std::vector<uint64_t> seen(requests.bytes.size(), never);
  for (size_t i = objects.size(); i-- > 0;) {
    next_use[i] = seen[objects[i]];
    seen[objects[i]] = i;
  }
  size_t position = 0;
  BeladyPolicy policy([&](uint64_t) { return next_use[position]; });
  return Run(policy, requests, capacity_bytes, &position);
}

}  // namespace twostep
