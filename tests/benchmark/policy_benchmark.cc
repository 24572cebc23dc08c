// What eviction policies cost: a touch under the order's lock, an eviction with
// the insertion that it made room for, and whole runs of the cache model.

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "benchmark/benchmark.h"
#include "tests/lab/request_generator.h"
#include "twostep/eviction/eviction_order.h"
#include "twostep/eviction/policy_registry.h"
#include "twostep/lab/cache_model.h"

namespace twostep {
namespace {

// As far from one another as the hooks of bos.
struct alignas(64) Entry : EvictionHook {
  std::byte rest[192 - sizeof(EvictionHook)];
};

class Order {
 public:
  Order(const std::string& policy, size_t entries)
      : order_(*MakeEvictionPolicy(policy)), entries_(entries) {
    order_.Serve({.capacity_bytes = entries});
    for (Entry& entry : entries_) order_.Insert(entry);
  }
  ~Order() {
    for (Entry& entry : entries_) order_.Remove(entry, Departure::kGone);
  }

  void TouchNext() {
    order_.Touch(entries_[next_]);
    if (++next_ == entries_.size()) next_ = 0;
  }
  // Every fourth entry is used meanwhile.
  void EvictFirst() {
    EvictionHook* first = nullptr;
    order_.Visit({}, [&](EvictionHook& entry) {
      first = &entry;
      return EvictionOrder::Verdict::kStop;
    });
    order_.Remove(*first, Departure::kEvicted);
    order_.Insert(*first);
    if (++next_ % 4 == 0) order_.Touch(entries_[next_ % entries_.size()]);
  }

 private:
  EvictionOrder order_;
  std::vector<Entry> entries_;
  size_t next_ = 0;
};

void Register(const std::string& policy) {
  for (const size_t entries : {1024, 16384}) {
    benchmark::RegisterBenchmark(
        absl::StrCat("touch/", policy, "/", entries).c_str(),
        [policy, entries](benchmark::State& state) {
          Order order(policy, entries);
          for (auto _ : state) order.TouchNext();
        });
    benchmark::RegisterBenchmark(
        absl::StrCat("evict_and_insert/", policy, "/", entries).c_str(),
        [policy, entries](benchmark::State& state) {
          Order order(policy, entries);
          for (auto _ : state) order.EvictFirst();
        });
  }
}

// Items a second are requests a second: 2 million of them for 50,000 objects, a
// tenth of whose bytes fit.
void RegisterCache(const std::string& policy) {
  static const GeneratedRequests requests =
      RequestGenerator::LikeCloudPhysics(50000, 2000000, 1).Generate();
  benchmark::RegisterBenchmark(
      absl::StrCat("cache/", policy).c_str(),
      [policy](benchmark::State& state) {
        const uint64_t capacity = requests.total_bytes() / 10;
        CacheCounts counts;
        for (auto _ : state) {
          counts = policy == "belady" ? RunBelady(requests, capacity)
                                      : RunCache(*MakeEvictionPolicy(policy),
                                                 requests, capacity);
        }
        state.SetItemsProcessed(state.iterations() * counts.requests);
        state.counters["miss_ratio"] =
            static_cast<double>(counts.misses) / counts.requests;
      })
      ->Unit(benchmark::kMillisecond);
}

}  // namespace
}  // namespace twostep

int main(int argc, char** argv) {
  for (const twostep::EvictionPolicyInfo& policy :
       twostep::EvictionPolicies()) {
    twostep::Register(policy.name);
    twostep::RegisterCache(policy.name);
  }
  twostep::RegisterCache("belady");
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
}
