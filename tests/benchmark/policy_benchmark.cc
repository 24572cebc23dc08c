// What eviction policies cost: a touch under the order's lock, an eviction with
// the insertion that it made room for, and whole runs of the cache model.

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/benchmark/rows.h"
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

void AddOrders(const std::string& policy, std::vector<Row>* rows) {
  for (const int64_t entries : {1024, 16384}) {
    rows->push_back({.name = absl::StrCat("touch/", policy, "/", entries),
                     .run =
                         [policy](auto& state) {
                           Order order(policy, Size(state));
                           MeasureRow(state, [&] { order.TouchNext(); });
                         },
                     .size = entries});
    rows->push_back(
        {.name = absl::StrCat("evict_and_insert/", policy, "/", entries),
         .run =
             [policy](auto& state) {
               Order order(policy, Size(state));
               MeasureRow(state, [&] { order.EvictFirst(); });
             },
         .size = entries});
  }
}

// Millions of requests a second: 2 million of them for 50,000 objects, a tenth
// of whose bytes fit.
void RunOnce(benchmark::State& state, const std::string& policy) {
  const auto of_size = [](size_t count) {
    return RequestGenerator::LikeCloudPhysics(static_cast<uint32_t>(count / 40),
                                              count, 1)
        .Generate();
  };
  static const GeneratedRequests all = of_size(2'000'000);
  static const GeneratedRequests few = of_size(4'000);
  const GeneratedRequests& requests = Quick(state) ? few : all;
  const uint64_t capacity = requests.total_bytes() / 10;
  for (auto _ : state) {
    const double start_ns = CpuNs();
    const CacheCounts counts =
        policy == "belady"
            ? RunBelady(requests, capacity)
            : RunCache(*MakeEvictionPolicy(policy), requests, capacity);
    SetValue(state,
             static_cast<double>(counts.requests) * 1e3 / (CpuNs() - start_ns));
    state.counters["misses"] = static_cast<double>(counts.misses) /
                               static_cast<double>(counts.requests);
  }
}

void AddCache(const std::string& policy, std::vector<Row>* rows) {
  rows->push_back({.name = absl::StrCat("cache/", policy),
                   .run = [policy](auto& state) { RunOnce(state, policy); },
                   .iterations = 1});
}

}  // namespace

std::vector<Row> PolicyRows() {
  std::vector<Row> rows;
  for (const EvictionPolicyInfo& policy : EvictionPolicies()) {
    AddOrders(policy.name, &rows);
    AddCache(policy.name, &rows);
  }
  AddCache("belady", &rows);
  return rows;
}

}  // namespace twostep
