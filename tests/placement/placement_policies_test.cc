// What each built-in placement policy does, by the lists that it returns.

#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "twostep/placement/costed_placement.h"
#include "twostep/placement/listed_placement.h"
#include "twostep/placement/placement_registry.h"
#include "twostep/placement/throttled_placement.h"

namespace twostep {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Use = Placement::Use;

PlacementSite Site() {
  PlacementSite site;
  site.vram_bytes = 4 * kMiB;
  site.aperture_bytes = 64 * kMiB;
  site.coherent_bytes = 4 * kMiB;
  return site;
}

// In words: "vram", "dynamic+tt?" (fallback), "vram-" (desired), "tt!" (last
// resort).
std::vector<std::string> Words(PlacementList list) {
  std::vector<std::string> words;
  for (const Placement& placement : list) {
    static constexpr const char* kDma[] = {"none", "dynamic", "coherent",
                                           "cma"};
    static constexpr const char* kUse[] = {"", "-", "?", "!"};
    std::string word;
    if (placement.memory == MemoryType::kVram) word = "vram";
    if (placement.memory == MemoryType::kSystem) word = "system";
    if (placement.memory == MemoryType::kTt) {
      word = std::string(kDma[static_cast<int>(placement.dma)]) + "+tt";
    }
    words.push_back(word + kUse[static_cast<int>(placement.use)]);
  }
  return words;
}

TEST(FixedPlacement, DoesWhatItIsTold) {
  ListedPlacement both = FixedPlacement(Site(), AllowedMemory{});
  EXPECT_THAT(Words(both.Choose({}, {})), ElementsAre("vram", "dynamic+tt?"));
  EXPECT_THAT(Words(both.EvictTo({})), ElementsAre("dynamic+tt", "system"));
  ListedPlacement vram = FixedPlacement(Site(), AllowedMemory{.tt = false});
  EXPECT_THAT(Words(vram.Choose({}, {})), ElementsAre("vram"));
  EXPECT_THAT(Words(vram.EvictTo({})), ElementsAre("system"));
  ListedPlacement tt = FixedPlacement(Site(), AllowedMemory{.vram = false});
  EXPECT_THAT(Words(tt.Choose({}, {})), ElementsAre("dynamic+tt"));
}

// S9
TEST(MachinePlacement, NoneOnBareMetalCoherentWhereAllIsBounced) {
  MachineConfig machine;
  GpuConfig gpu;
  ListedPlacement bare_metal =
      MachinePlacement(PlacementSite::Of(machine, gpu));
  EXPECT_THAT(Words(bare_metal.Choose({}, {})),
              ElementsAre("vram", "none+tt?"));
  machine.swiotlb.forced = true;
  ListedPlacement xen = MachinePlacement(PlacementSite::Of(machine, gpu));
  EXPECT_THAT(Words(xen.Choose({}, {})),
              ElementsAre("vram", "coherent+tt?", "dynamic+tt?"));
  EXPECT_THAT(Words(xen.EvictTo({})),
              ElementsAre("coherent+tt", "dynamic+tt", "system"));
  machine.coherent_bytes = 0;
  ListedPlacement no_pool = MachinePlacement(PlacementSite::Of(machine, gpu));
  EXPECT_THAT(Words(no_pool.Choose({}, {})),
              ElementsAre("vram", "dynamic+tt?"));
  machine.iommu.mode = IommuMode::kTranslated;
  ListedPlacement iommu = MachinePlacement(PlacementSite::Of(machine, gpu));
  EXPECT_THAT(Words(iommu.Choose({}, {})), ElementsAre("vram", "none+tt?"))
      << "an IOMMU that translates never bounces";
}

TEST(TtmLikePlacement, BringsEveryUseToVram) {
  ListedPlacement policy = TtmLikePlacement(Site());
  EXPECT_THAT(Words(policy.Choose({}, {})), ElementsAre("vram", "dynamic+tt!"));
  EXPECT_THAT(Words(policy.EvictTo({})), ElementsAre("dynamic+tt", "system"));
}

TEST(ThrottledPlacement, MovesWhileTheBudgetLastsAndPaysItsDebtWithTime) {
  // 1 MiB accrues in 10 ms, and no more than that.
  ThrottledPlacement policy(Site(), {.mib_per_s = 100, .burst_ms = 10});
  PlacementMoment moment;
  policy.Begin(moment);
  EXPECT_THAT(Words(policy.Choose({}, moment)),
              ElementsAre("vram", "dynamic+tt!"));
  moment.moved_bytes = kMiB - 1;
  EXPECT_THAT(Words(policy.Choose({}, moment)),
              ElementsAre("vram", "dynamic+tt!"));
  moment.moved_bytes = 3 * kMiB;
  EXPECT_THAT(Words(policy.Choose({}, moment)),
              ElementsAre("vram-", "dynamic+tt?", "vram!"));
  policy.End(moment);
  // Two MiB in debt: 20 ms and a bit.
  moment = PlacementMoment{.now_ns = 19'000'000};
  policy.Begin(moment);
  EXPECT_THAT(Words(policy.Choose({}, moment)),
              ElementsAre("vram-", "dynamic+tt?", "vram!"));
  moment.now_ns = 21'000'000;
  policy.Begin(moment);
  EXPECT_THAT(Words(policy.Choose({}, moment)),
              ElementsAre("vram", "dynamic+tt!"));
}

TEST(ThrottledPlacement, FillsARoomyVramInAnyCase) {
  ThrottledPlacement policy(Site(), {.mib_per_s = 0, .burst_ms = 0});
  PlacementMoment moment{.free_vram_bytes = kMiB};
  policy.Begin(moment);
  moment.moved_bytes = kMiB / 4 - 1;
  EXPECT_THAT(Words(policy.Choose({}, moment)),
              ElementsAre("vram", "dynamic+tt!"));
  moment.moved_bytes = kMiB / 4;
  EXPECT_THAT(Words(policy.Choose({}, moment)),
              ElementsAre("vram-", "dynamic+tt?", "vram!"));
}

// A machine of bos under a costed policy that moves what it is told to, and
// evicts the bo of its VRAM that was used longest ago.
class CostedMachine {
 public:
  static constexpr uint64_t kBoBytes = kMiB;

  explicit CostedMachine(uint64_t vram_bos) : vram_bos_(vram_bos) {
    PlacementSite site = Site();
    site.vram_bytes = vram_bos * kBoBytes;
    policy_ =
        std::make_unique<CostedPlacement>(site, CostedPlacement::Options{});
  }

  // Whether the bo was brought to VRAM for this.
  bool Use(uint64_t key) {
    PlacementMoment moment;
    moment.free_vram_bytes = (vram_bos_ - in_vram_.size()) * kBoBytes;
    PlacementFacts facts{.key = key, .bytes = kBoBytes};
    auto at = std::find(in_vram_.begin(), in_vram_.end(), key);
    const bool was_in = at != in_vram_.end();
    facts.memory = was_in ? MemoryType::kVram : MemoryType::kTt;
    facts.has_contents = true;
    policy_->Begin(moment);
    const auto words = Words(policy_->Choose(facts, moment));
    policy_->End(moment);
    if (was_in) {
      in_vram_.erase(at);
      in_vram_.push_back(key);
      return false;
    }
    if (words[0] == "vram" && in_vram_.size() == vram_bos_) {
      policy_->EvictTo(PlacementFacts{.key = in_vram_[0],
                                      .bytes = kBoBytes,
                                      .memory = MemoryType::kVram,
                                      .has_contents = true});
      in_vram_.erase(in_vram_.begin());
    }
    if (words[0] == "dynamic+tt" || in_vram_.size() == vram_bos_) return false;
    in_vram_.push_back(key);
    return true;
  }
  void Forget(uint64_t key) {
    policy_->Forget(key);
    in_vram_.erase(std::remove(in_vram_.begin(), in_vram_.end(), key),
                   in_vram_.end());
  }
  CostedPlacement& policy() { return *policy_; }

 private:
  const uint64_t vram_bos_;
  std::unique_ptr<CostedPlacement> policy_;
  std::vector<uint64_t> in_vram_;  // used longest ago first
};

TEST(CostedPlacement, WhatIsUsedOnceComesInOnlyWhileThereIsRoom) {
  CostedMachine machine(4);
  int moves = 0;
  for (uint64_t key = 1; key < 100; ++key) moves += machine.Use(key);
  EXPECT_EQ(moves, 4);
}

TEST(CostedPlacement, WhatIsUsedAgainMovesOnceTheBusHasCostAsMuch) {
  CostedMachine machine(1);
  EXPECT_TRUE(machine.Use(1)) << "there is room";
  EXPECT_FALSE(machine.Use(2));
  EXPECT_FALSE(machine.Use(2));
  EXPECT_TRUE(machine.Use(2)) << "three uses cost a move in and one out";
  EXPECT_FALSE(machine.Use(2)) << "it is there";
}

TEST(CostedPlacement, EqualBosInACycleDoNotDriveEachOtherOut) {
  CostedMachine machine(4);
  int moves = 0;
  for (int cycle = 0; cycle < 100; ++cycle) {
    for (uint64_t key = 1; key <= 8; ++key) moves += machine.Use(key);
  }
  EXPECT_EQ(moves, 4) << "as many as there is room for";
}

TEST(CostedPlacement, WhatIsUsedOftenDisplacesWhatIsNot) {
  CostedMachine machine(2);
  for (int round = 0; round < 40; ++round) {
    for (uint64_t key = 1; key <= 20; ++key) machine.Use(key);
  }
  // Two of the twenty are there; now two others come twenty times as often.
  int moves = 0;
  for (int round = 0; round < 20; ++round) {
    for (uint64_t key = 101; key <= 102; ++key) moves += machine.Use(key);
  }
  EXPECT_EQ(moves, 2);
}

TEST(CostedPlacement, WhatIsNotUsedAnyMoreLosesItsWorth) {
  CostedMachine machine(2);
  for (int round = 0; round < 50; ++round) {
    for (uint64_t key = 1; key <= 2; ++key) machine.Use(key);
  }
  // Used half as often as the two were, for as long as it takes to notice.
  int moves = 0;
  for (int round = 0; round < 20; ++round) {
    for (uint64_t key = 11; key <= 14; ++key) moves += machine.Use(key);
  }
  EXPECT_EQ(moves, 0);
  for (int round = 0; round < 130; ++round) {
    for (uint64_t key = 11; key <= 14; ++key) moves += machine.Use(key);
  }
  EXPECT_GE(moves, 2);
}

TEST(CostedPlacement, AForgottenBoTakesItsWorthAlong) {
  CostedMachine machine(1);
  for (int i = 0; i < 10; ++i) machine.Use(1);
  machine.Forget(1);
  EXPECT_TRUE(machine.Use(2)) << "into the room that it leaves";
  EXPECT_FALSE(machine.Use(3));
  EXPECT_FALSE(machine.Use(3));
  EXPECT_TRUE(machine.Use(3)) << "for 2, of which nothing is known";
}

TEST(CostedPlacement, PagesThatTheCpuTakesCountAsCostsOfTt) {
  CostedPlacement policy(Site(), {});
  // 4 KiB over the bus: 310 ns a use more than in VRAM, and 5.3 us to move.
  // 16 us a use with the page taken away and faulted back.
  const PlacementFacts gpu_only{.key = 1,
                                .bytes = kPageSize,
                                .memory = MemoryType::kTt,
                                .has_contents = true};
  PlacementFacts with_cpu = gpu_only;
  with_cpu.key = 2;
  with_cpu.cpu_bytes = kPageSize;
  for (int use = 0; use < 2; ++use) {
    policy.Begin({});
    policy.Choose(gpu_only, {});
    policy.Choose(with_cpu, {});
  }
  policy.Begin({});
  EXPECT_THAT(Words(policy.Choose(gpu_only, {})),
              ElementsAre("dynamic+tt", "vram!"));
  EXPECT_THAT(Words(policy.Choose(with_cpu, {})),
              ElementsAre("vram", "dynamic+tt!"));
}

// What VRAM evicts before it has paid off makes the policy wait longer.
TEST(CostedPlacement, MovesThatDidNotPayOffMakeItCautious) {
  CostedPlacement policy(Site(), {});
  PlacementFacts bo{
      .key = 1, .bytes = kMiB, .memory = MemoryType::kTt, .has_contents = true};
  const auto uses_until_moved = [&] {
    for (int uses = 1;; ++uses) {
      policy.Begin({});
      bo.memory = MemoryType::kTt;
      if (Words(policy.Choose(bo, {}))[0] == "vram") return uses;
    }
  };
  const int at_first = uses_until_moved();
  for (int i = 0; i < 5; ++i) {
    bo.memory = MemoryType::kVram;
    policy.Begin({});
    policy.Choose(bo, {});
    policy.EvictTo(bo);
  }
  EXPECT_GT(uses_until_moved(), 3 * at_first);
}

TEST(PlacementRegistry, KnowsNamesShortNamesAndParameters) {
  for (const char* spec :
       {"fixed", "fixed:vram=0", "fixed:vram=1,tt=0", "vram-tt", "vram", "tt",
        "machine", "ttm-like", "throttled:mib_per_s=100,burst_ms=5",
        "costed:patience=0.5"}) {
    EXPECT_TRUE(ParsePlacementPolicy(spec).ok()) << spec;
  }
  auto tt = (*ParsePlacementPolicy("tt"))(Site());
  EXPECT_THAT(Words(tt->Choose({}, {})), ElementsAre("dynamic+tt"));
}

TEST(PlacementRegistry, SaysWhatThereIs) {
  const auto message = [](const char* spec) {
    return std::string(ParsePlacementPolicy(spec).status().message());
  };
  EXPECT_THAT(message("best"), HasSubstr("costed"));
  EXPECT_THAT(message("throttled:rate=1"), HasSubstr("burst_ms"));
  EXPECT_THAT(message("costed:patience=much"), HasSubstr("not a number"));
  EXPECT_THAT(message("costed:patience=-1"), HasSubstr("below 0"));
  EXPECT_THAT(message("fixed:vram=0.5"), HasSubstr("whole"));
  EXPECT_THAT(message("machine:x=1"), HasSubstr("it has none"));
}

TEST(PlacementRegistry, TakesPoliciesFromOutside) {
  const PlacementPolicyInfo outside{
      "outside", "as told",
      [](const PlacementSite& site, const PolicyParameters&) {
        return std::make_unique<ListedPlacement>(
            FixedPlacement(site, AllowedMemory{.vram = false}));
      }};
  EXPECT_TRUE(RegisterPlacementPolicy(outside).ok());
  EXPECT_EQ(RegisterPlacementPolicy(outside).code(),
            absl::StatusCode::kAlreadyExists);
  EXPECT_TRUE(ParsePlacementPolicy("outside").ok());
  EXPECT_EQ(PlacementPolicies().back().name, "outside");
  PlacementPolicyInfo bad = outside;
  bad.name = "a,b";
  EXPECT_EQ(RegisterPlacementPolicy(bad).code(),
            absl::StatusCode::kInvalidArgument);
  bad.name = "vram";
  EXPECT_EQ(RegisterPlacementPolicy(bad).code(),
            absl::StatusCode::kAlreadyExists);
}

TEST(SplitPolicies, ParametersStayWithTheirPolicy) {
  EXPECT_THAT(SplitPolicies("lru,a:x=1,y=2,fifo"),
              ElementsAre("lru", "a:x=1,y=2", "fifo"));
  EXPECT_THAT(SplitPolicies("a:x=1,b:y=2"), ElementsAre("a:x=1", "b:y=2"));
  EXPECT_THAT(SplitPolicies("lru"), ElementsAre("lru"));
}

}  // namespace
}  // namespace twostep
