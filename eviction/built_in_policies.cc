#include "twostep/eviction/built_in_policies.h"

#include "twostep/eviction/adaptive_policy.h"
#include "twostep/eviction/arc_policy.h"
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

namespace twostep {
namespace {

using Policy = std::unique_ptr<EvictionPolicy>;

template <typename Plain>
Policy Make(const PolicyParameters&) {
  return std::make_unique<Plain>();
}

EvictionPolicyInfo Clock() {
  return {
      .name = "clock",
      .summary = "fifo with a second chance for what was used",
      .make = [](const PolicyParameters& with) -> Policy {
        return std::make_unique<ClockPolicy>(static_cast<int>(with["bits"]));
      },
      .parameters = {
          {.name = "bits",
           .summary = "of the count of uses, each of which is a chance",
           .fallback = 1,
           .least = 1,
           .most = 32,
           .whole = true}}};
}

EvictionPolicyInfo S3Fifo() {
  constexpr S3FifoPolicy::Parameters kDefault;
  return {
      .name = "s3fifo",
      .summary = "a small fifo for what is new, a clock for the rest",
      .make = [](const PolicyParameters& with) -> Policy {
        return std::make_unique<S3FifoPolicy>(
            S3FifoPolicy::Parameters{with["small"], with["ghost"],
                                     static_cast<uint32_t>(with["threshold"])});
      },
      .parameters = {{.name = "small",
                      .summary = "the small queue, of the capacity",
                      .fallback = kDefault.small,
                      .most = 1},
                     {.name = "ghost",
                      .summary = "bytes remembered, of the capacity",
                      .fallback = kDefault.ghost},
                     {.name = "threshold",
                      .summary = "uses that it takes to leave the small queue",
                      .fallback = kDefault.threshold,
                      .least = 1,
                      .most = 100,
                      .whole = true}}};
}

EvictionPolicyInfo TwoQueue() {
  constexpr TwoQueuePolicy::Parameters kDefault;
  return {.name = "2q",
          .summary = "a fifo for what is new, an lru for what comes back",
          .make = [](const PolicyParameters& with) -> Policy {
            return std::make_unique<TwoQueuePolicy>(
                TwoQueuePolicy::Parameters{with["in"], with["out"]});
          },
          .parameters = {{.name = "in",
                          .summary = "the fifo, of the capacity",
                          .fallback = kDefault.in,
                          .most = 1},
                         {.name = "out",
                          .summary = "bytes remembered, of the capacity",
                          .fallback = kDefault.out}}};
}

EvictionPolicyInfo Lirs() {
  return {.name = "lirs",
          .summary = "by the time between the last two uses",
          .make = [](const PolicyParameters& with) -> Policy {
            return std::make_unique<LirsPolicy>(with["hir"]);
          },
          .parameters = {
              {.name = "hir",
               .summary = "for what does not come back soon, of the capacity",
               .fallback = .01,
               .most = 1}}};
}

EvictionPolicyInfo Gdsf() {
  return {
      .name = "gdsf",
      .summary = "least uses a byte first; what is not used ages",
      .make = [](const PolicyParameters& with) -> Policy {
        return std::make_unique<GdsfPolicy>(with["cost"] == 0
                                                ? GdsfPolicy::Cost::kAlike
                                                : GdsfPolicy::Cost::kOwners);
      },
      .parameters = {
          {.name = "cost",
           .summary = "0: misses cost the same; 1: what bringing back takes",
           .fallback = 0,
           .most = 1,
           .whole = true}}};
}

EvictionPolicyInfo Generations() {
  return {.name = "generations",
          .summary = "the generation last used in, oldest first: as Zircon",
          .make = [](const PolicyParameters& with) -> Policy {
            return std::make_unique<GenerationsPolicy>(
                static_cast<uint64_t>(with["generations"]),
                static_cast<uint64_t>(with["frames"]));
          },
          .parameters = {
              {.name = "generations",
               .summary = "how many are told apart",
               .fallback = 8,
               .least = 2,
               .most = GenerationsPolicy::kMostGenerations,
               .whole = true},
              {.name = "frames",
               .summary = "that one lasts; 0: until it has its share of bytes",
               .fallback = 0,
               .most = 1e9,
               .whole = true}}};
}

EvictionPolicyInfo Random() {
  return {.name = "random",
          .summary = "any, drawn with equal chances",
          .make = [](const PolicyParameters& with) -> Policy {
            return std::make_unique<RandomPolicy>(
                static_cast<uint64_t>(with["seed"]));
          },
          .parameters = {{.name = "seed",
                          .summary = "of the draws",
                          .fallback = 1,
                          .most = 9007199254740992,  // 2^53
                          .whole = true}}};
}

}  // namespace

std::vector<EvictionPolicyInfo> BuiltInPolicies() {
  return {
      {"lru", "least recently used first", &Make<LruPolicy>},
      {"fifo", "in order of arrival; uses do not count", &Make<FifoPolicy>},
      {"mru", "most recently used first: keeps the start of a cyclic scan",
       &Make<MruPolicy>},
      {"adaptive", "used again last first, as far as the past repeats itself",
       &Make<AdaptivePolicy>},
      {"priority", "lru within a priority, lower ones first: as Linux TTM",
       &Make<PriorityLruPolicy>},
      Clock(),
      {"sieve", "a clock whose survivors stay where they are",
       &Make<SievePolicy>},
      S3Fifo(),
      TwoQueue(),
      {"arc", "an lru each for used once and used again; shares adapt",
       &Make<ArcPolicy>},
      Lirs(),
      Gdsf(),
      Generations(),
      Random(),
  };
}

}  // namespace twostep
