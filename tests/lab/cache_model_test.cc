#include "twostep/lab/cache_model.h"

#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "gtest/gtest.h"
#include "tests/lab/cache_reference.h"
#include "tests/lab/request_generator.h"
#include "twostep/eviction/entry_queue.h"
#include "twostep/eviction/policy_registry.h"

namespace twostep {
namespace {

CacheCounts CountsOf(CacheReference& cache, const CacheRequests& requests) {
  CacheCounts counts;
  for (const uint32_t object : requests.objects) {
    const uint64_t bytes = requests.bytes[object];
    ++counts.requests;
    if (cache.Request(object, bytes)) continue;
    ++counts.misses;
    counts.miss_bytes += bytes;
  }
  return counts;
}

std::string Describe(const CacheCounts& counts) {
  return absl::StrCat(counts.misses, " misses, ", counts.miss_bytes, " bytes");
}

CacheCounts RunNamed(const std::string& policy, const CacheRequests& requests,
                     uint64_t capacity) {
  return RunCache(*MakeEvictionPolicy(policy), requests, capacity);
}

// What a policy must do exactly as its reference does.
class Exact : public testing::TestWithParam<std::tuple<std::string, uint64_t>> {
 protected:
  static constexpr size_t kRequests = 100000;

  const std::string& policy() const { return std::get<0>(GetParam()); }
  uint64_t seed() const { return std::get<1>(GetParam()); }

  void ExpectEqual(const GeneratedRequests& requests) {
    for (const double part : {.003, .03, .2, .6}) {
      const auto capacity =
          static_cast<uint64_t>(part * requests.total_bytes());
      const bool belady = policy() == "belady";
      const std::unique_ptr<CacheReference> reference =
          belady ? MakeBeladyReference(requests.objects, capacity)
                 : MakeCacheReference(policy(), capacity);
      const CacheCounts expected = CountsOf(*reference, requests);
      const CacheCounts counts = belady
                                     ? RunBelady(requests, capacity)
                                     : RunNamed(policy(), requests, capacity);
      EXPECT_EQ(Describe(counts), Describe(expected)) << "capacity " << part;
      EXPECT_EQ(counts.requests, requests.objects.size());
    }
  }
};

TEST_P(Exact, MissesOfSkewedRequestsForObjectsOfOneSize) {
  for (const double skew : {.7, 1.1}) {
    ExpectEqual(
        RequestGenerator{.requests = kRequests, .skew = skew, .seed = seed()}
            .Generate());
  }
}

TEST_P(Exact, MissesOfSkewedRequestsForObjectsOfAllSizes) {
  ExpectEqual(RequestGenerator{
      .requests = kRequests, .largest = 64 << 10, .seed = seed()}
                  .Generate());
}

TEST_P(Exact, MissesOfScansLoopsAndDrift) {
  ExpectEqual(
      RequestGenerator::LikeCloudPhysics(10000, kRequests, seed()).Generate());
  RequestGenerator alike =
      RequestGenerator::LikeCloudPhysics(10000, kRequests, seed());
  alike.largest = 0;
  ExpectEqual(alike.Generate());
}

INSTANTIATE_TEST_SUITE_P(
    All, Exact,
    testing::Combine(testing::Values("fifo", "lru", "clock", "sieve", "s3fifo",
                                     "2q", "arc", "lirs", "gdsf", "gdsf:cost=1",
                                     "belady"),
                     testing::Values(1, 2)),
    [](const auto& info) {
      return absl::StrCat(
          "_",
          absl::StrReplaceAll(std::get<0>(info.param), {{":", "_"}, {"=", ""}}),
          "_", std::get<1>(info.param));
    });

// A policy from outside is called through its interface.
class OutsidersLru final : public EvictionPolicy {
 public:
  void Insert(EvictionHook& entry) override { queue_.PushBack(entry); }
  void Touch(EvictionHook& entry) override { queue_.MoveToBack(entry); }
  void Remove(EvictionHook& entry, Departure) override { queue_.Remove(entry); }
  EvictionHook* First() override { return queue_.front(); }
  EvictionHook* After(EvictionHook& entry) override {
    return queue_.Behind(entry);
  }

 private:
  EntryQueue queue_;
};

TEST(CacheModel, APolicyFromOutsideRunsAsOursDo) {
  const GeneratedRequests requests =
      RequestGenerator::LikeCloudPhysics(1000, 20000, 7).Generate();
  const uint64_t capacity = requests.total_bytes() / 10;
  EXPECT_EQ(RunCache(std::make_unique<OutsidersLru>(), requests, capacity),
            RunNamed("lru", requests, capacity));
}

TEST(CacheModel, ByHand) {
  // With room for two, lru finds only the second request for object 0.
  const GeneratedRequests requests{{0, 1, 0, 2, 1, 0}, {10, 10, 10}};
  EXPECT_EQ(RunNamed("lru", requests, 20),
            (CacheCounts{.requests = 6, .misses = 5, .miss_bytes = 50}));
  EXPECT_EQ(RunBelady(requests, 20),
            (CacheCounts{.requests = 6, .misses = 4, .miss_bytes = 40}));
}

struct Published {
  std::vector<uint32_t> objects;
  uint64_t frames;
  uint64_t fifo, lru, optimal;  // faults
};

TEST(CacheModel, FaultsOfPublishedReferenceStrings) {
  // Belady, Nelson, Shedler, "An anomaly in space-time characteristics of
  // certain programs running in a paging machine", 1969: FIFO is worse with one
  // frame more. And the string of Silberschatz, Galvin, Gagne, "Operating
  // System Concepts", chapter on page replacement.
  const std::vector<uint32_t> anomaly = {1, 2, 3, 4, 1, 2, 5, 1, 2, 3, 4, 5};
  const std::vector<uint32_t> concepts = {7, 0, 1, 2, 0, 3, 0, 4, 2, 3,
                                          0, 3, 2, 1, 2, 0, 1, 7, 0, 1};
  for (const Published& published :
       {Published{anomaly, 3, 9, 10, 7}, Published{anomaly, 4, 10, 8, 6},
        Published{concepts, 3, 15, 12, 9}}) {
    const GeneratedRequests requests{published.objects,
                                     std::vector<uint64_t>(8, 1)};
    const uint64_t frames = published.frames;
    EXPECT_EQ(RunNamed("fifo", requests, frames).misses, published.fifo);
    EXPECT_EQ(RunNamed("lru", requests, frames).misses, published.lru);
    EXPECT_EQ(RunBelady(requests, frames).misses, published.optimal);
  }
}

TEST(CacheModel, WhatIsLargerThanTheCacheNeverComesIn) {
  const GeneratedRequests requests{{0, 1, 1, 0}, {10, 21}};
  EXPECT_EQ(RunNamed("lru", requests, 20),
            (CacheCounts{.requests = 4, .misses = 3, .miss_bytes = 52}));
}

TEST(CacheModel, WhatIsAsLargeAsTheCacheComesIn) {
  const GeneratedRequests requests{{0, 0}, {20}};
  EXPECT_EQ(RunNamed("lru", requests, 20),
            (CacheCounts{.requests = 2, .misses = 1, .miss_bytes = 20}));
}

TEST(CacheModel, NoRequestsNoMisses) {
  EXPECT_EQ(RunNamed("lru", GeneratedRequests{}, 20), CacheCounts{});
  EXPECT_EQ(RunBelady(GeneratedRequests{}, 20), CacheCounts{});
}

class EveryPolicy : public testing::TestWithParam<std::string> {};

TEST_P(EveryPolicy, MissesWhatItHasNotSeenAndNothingWhenAllFits) {
  const GeneratedRequests requests =
      RequestGenerator{.objects = 300, .requests = 5000, .largest = 4096}
          .Generate();
  uint64_t seen = 0;
  uint64_t seen_bytes = 0;
  std::vector<bool> known(requests.bytes.size());
  for (const uint32_t object : requests.objects) {
    if (known[object]) continue;
    known[object] = true;
    ++seen;
    seen_bytes += requests.bytes[object];
  }
  // 200 times: no policy finds an object too large.
  const uint64_t capacity = 200 * requests.total_bytes();
  EXPECT_EQ(RunNamed(GetParam(), requests, capacity),
            (CacheCounts{5000, seen, seen_bytes}));
}

TEST_P(EveryPolicy, IsNoBetterThanBeladyWithObjectsOfOneSize) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    RequestGenerator generator =
        RequestGenerator::LikeCloudPhysics(2000, 20000, seed);
    generator.largest = 0;
    const GeneratedRequests requests = generator.Generate();
    for (const uint64_t capacity : {100, 300, 1000}) {
      const CacheCounts counts = RunNamed(GetParam(), requests, capacity);
      EXPECT_GE(counts.misses, RunBelady(requests, capacity).misses);
      EXPECT_LT(counts.misses, counts.requests);
    }
  }
}

std::vector<std::string> PolicyNames() {
  std::vector<std::string> names;
  for (const EvictionPolicyInfo& policy : EvictionPolicies()) {
    names.push_back(policy.name);
  }
  return names;
}

INSTANTIATE_TEST_SUITE_P(All, EveryPolicy, testing::ValuesIn(PolicyNames()),
                         [](const auto& info) {
                           return absl::StrCat("_", info.param);
                         });

}  // namespace
}  // namespace twostep
