// Every eviction policy in the orders of a host, where bos are also pinned,
// moved by choice, swapped and destroyed; and what policies hear of bos there.

#include <algorithm>
#include <random>

#include "gmock/gmock.h"
#include "tests/bo/rig.h"
#include "twostep/bo/bo_hooks.h"
#include "twostep/bo/exec.h"
#include "twostep/eviction/entry_queue.h"
#include "twostep/eviction/policy_registry.h"

namespace twostep {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class EveryPolicy : public testing::TestWithParam<std::string> {};

TEST_P(EveryPolicy, FindsRoomAndKeepsBytesWhateverHappensToBos) {
  RigOptions options = RigOptions::Small();
  options.gpu.vram_bytes = PagesToBytes(64);
  options.gpu.vram_visible_bytes = PagesToBytes(64);
  options.gpu.aperture_bytes = PagesToBytes(64);
  options.host.eviction_policy = GetParam();
  Rig rig(options);
  std::mt19937_64 random(1);
  std::vector<BoRef> bos(24);
  std::vector<BoRef> pinned;
  for (uint64_t step = 0; step < 1500; ++step) {
    const size_t at = random() % bos.size();
    BoRef& bo = bos[at];
    const uint64_t kind = random() % 20;
    if (bo == nullptr || (kind == 0 && !bo->pinned())) {
      bo = rig.Make(PagesToBytes(1 + random() % 12));
      rig.CpuFill(bo, at);
    } else if (kind == 1 && !bo->pinned() && pinned.size() < 2) {
      rig.Pin(bo);
      pinned.push_back(bo);
    } else if (kind == 2 && !pinned.empty()) {
      rig.Unpin(pinned.back());
      pinned.pop_back();
    } else if (kind == 3) {
      rig.device().Note(EvictionBoundary::kFrame);
    } else if (!bo->pinned()) {
      const absl::Status status =
          rig.Validate(bo, kind < 6    ? Tt(DmaType::kDynamic)
                           : kind == 6 ? kSystem
                                       : kVram);
      ASSERT_TRUE(status.ok()) << status;
    }
    if (step % 100 == 0) {
      ASSERT_EQ(rig.Broken(), "");
    }
  }
  EXPECT_GT(rig.device().manager(MemoryType::kVram)->evictions(), 20);
  EXPECT_GT(rig.device().manager(MemoryType::kTt)->evictions(), 0);
  for (size_t i = 0; i < bos.size(); ++i) {
    if (bos[i] != nullptr && bos[i]->pinned()) continue;
    if (bos[i] == nullptr) continue;
    ASSERT_TRUE(rig.Validate(bos[i], kSystem).ok());
    EXPECT_EQ(rig.CpuWrongBytes(bos[i], i), 0) << i;
  }
  EXPECT_EQ(rig.Broken(), "");
}

std::vector<std::string> PolicyNames() {
  std::vector<std::string> names;
  for (const EvictionPolicyInfo& policy : EvictionPolicies()) {
    names.push_back(policy.name);
  }
  return names;
}

INSTANTIATE_TEST_SUITE_P(All, EveryPolicy, testing::ValuesIn(PolicyNames()),
                         [](const auto& info) { return "_" + info.param; });

// FIFO that writes down what it hears. One log for all orders of a host.
struct Heard {
  std::vector<uint64_t> capacities;
  std::vector<EvictionFacts> inserted;
  std::vector<uint64_t> expected_keys;
  std::vector<std::pair<uint64_t, Departure>> left;
  int frames = 0;
  int submissions = 0;
};

class Listener final : public EvictionPolicy {
 public:
  explicit Listener(Heard* heard) : heard_(*heard) {}

  void Insert(EvictionHook& entry) override {
    heard_.inserted.push_back(FactsOf(entry));
    queue_.PushBack(entry);
  }
  void Touch(EvictionHook&) override {}
  void Remove(EvictionHook& entry, Departure why) override {
    heard_.left.emplace_back(FactsOf(entry).key, why);
    queue_.Remove(entry);
  }
  EvictionHook* First() override { return queue_.front(); }
  EvictionHook* After(EvictionHook& entry) override {
    return queue_.Behind(entry);
  }
  void Expect(const EvictionFacts& entry) override {
    heard_.expected_keys.push_back(entry.key);
  }
  void Note(EvictionBoundary boundary) override {
    ++(boundary == EvictionBoundary::kFrame ? heard_.frames
                                            : heard_.submissions);
  }

 private:
  void Prepare() override {
    heard_.capacities.push_back(owner().capacity_bytes);
  }

  Heard& heard_;
  EntryQueue queue_;
};

class WhatPoliciesHear : public testing::Test {
 protected:
  static constexpr uint64_t kBytes = 8 * kPageSize;

  static RigOptions Options(Heard* heard) {
    RigOptions options = RigOptions::Small(IommuMode::kAbsent);
    options.gpu.vram_bytes = 4 * kBytes;
    options.gpu.vram_visible_bytes = 4 * kBytes;
    options.host.make_eviction_policy = [heard] {
      return std::make_unique<Listener>(heard);
    };
    return options;
  }
  BoRef MakeInVram() {
    BoRef bo = rig_.Make(kBytes);
    EXPECT_TRUE(rig_.Validate(bo, kVram).ok());
    return bo;
  }

  Heard heard_;
  Rig rig_{Options(&heard_)};
};

TEST_F(WhatPoliciesHear, TheFactoryServesEveryOrderAndTellsWhatFits) {
  // Four DMA types, TT, VRAM, and SYSTEM.
  EXPECT_EQ(heard_.capacities.size(),
            6 + rig_.host().system_manager().orders());
  EXPECT_THAT(heard_.capacities, testing::Contains(4 * kBytes));
  EXPECT_THAT(heard_.capacities, testing::Contains(8 * kMiB));
  // Coherent memory and CMA.
  EXPECT_THAT(heard_.capacities, testing::Contains(kMiB).Times(2));
}

TEST_F(WhatPoliciesHear, FactsAreTheBos) {
  BoRef bo = rig_.Make(kBytes);
  bo->Reserve();
  bo->SetPriority(3);
  bo->Unreserve();
  ASSERT_TRUE(rig_.Validate(bo, kVram).ok());
  ASSERT_EQ(heard_.inserted.size(), 1);
  const EvictionFacts facts = heard_.inserted[0];
  EXPECT_EQ(facts.key, bo->id());
  EXPECT_EQ(facts.bytes, kBytes);
  EXPECT_EQ(facts.priority, 3);
  EXPECT_TRUE(facts.dirty);
  const CostModel& cost = rig_.machine().cost();
  EXPECT_EQ(facts.cost_ns,
            cost.engine_latency_ns + TransferNs(kBytes, cost.engine_mib_per_s));
}

TEST_F(WhatPoliciesHear, ClientsAreToldApartByTheirNumbers) {
  const ClientRef one = *rig_.host().CreateClient({.name = "one"});
  const ClientRef two = *rig_.host().CreateClient({.name = "two"});
  for (const ClientRef& client : {ClientRef(), two, one}) {
    const BoRef bo = *rig_.host().CreateBo(kBytes, client);
    ASSERT_TRUE(rig_.Validate(bo, kVram).ok());
    EXPECT_EQ(heard_.inserted.back().client,
              client == nullptr ? 0 : client->number());
  }
  EXPECT_NE(one->number(), two->number());
  EXPECT_NE(one->number(), 0);
}

// What it costs to bring a bo back, and whether giving it up means copying it.
TEST_F(WhatPoliciesHear, CostsAreThoseOfTheOrder) {
  const CostModel& cost = rig_.machine().cost();
  const BoRef bo = rig_.Make(kBytes);
  const uint64_t map_ns =
      cost.map_ns + bo->page_count() * uint64_t{cost.map_page_ns};
  ASSERT_TRUE(rig_.Validate(bo, Tt(DmaType::kCoherent)).ok());
  ASSERT_EQ(heard_.inserted.size(), 2);
  const EvictionFacts& aperture = heard_.inserted[1];
  EXPECT_EQ(aperture.cost_ns, map_ns);
  EXPECT_FALSE(aperture.dirty);
  const EvictionFacts& coherent = heard_.inserted[0];  // step 1
  EXPECT_EQ(coherent.cost_ns,
            map_ns + TransferNs(kBytes, cost.cpu_copy_mib_per_s));
  EXPECT_TRUE(coherent.dirty);

  ASSERT_TRUE(rig_.Validate(bo, Tt(DmaType::kDynamic)).ok());
  EXPECT_EQ(heard_.inserted.back().cost_ns, map_ns);
  EXPECT_FALSE(heard_.inserted.back().dirty);  // its frames stay

  ASSERT_TRUE(rig_.Validate(bo, kSystem).ok());
  EXPECT_EQ(heard_.inserted.back().cost_ns,
            cost.swap_latency_ns + TransferNs(kBytes, cost.swap_mib_per_s));
  EXPECT_TRUE(heard_.inserted.back().dirty);
}

TEST_F(WhatPoliciesHear, WhatIsWorthlessIsNotDirty) {
  const BoRef bo = rig_.Make(kBytes);
  bo->Reserve();
  bo->SetWorthless(true);
  bo->Unreserve();
  ASSERT_TRUE(rig_.Validate(bo, kVram).ok());
  EXPECT_FALSE(heard_.inserted.back().dirty);
}

TEST_F(WhatPoliciesHear, WhoIsEvictedForWhom) {
  const BoRef oldest = MakeInVram();
  std::vector<BoRef> others;
  for (int i = 0; i < 3; ++i) others.push_back(MakeInVram());
  EXPECT_THAT(heard_.expected_keys, IsEmpty());
  EXPECT_THAT(heard_.left, IsEmpty());
  const BoRef last = MakeInVram();
  EXPECT_THAT(heard_.expected_keys, ElementsAre(last->id()));
  EXPECT_THAT(heard_.left,
              ElementsAre(std::pair(oldest->id(), Departure::kEvicted)));
}

TEST_F(WhatPoliciesHear, WhoLeavesByChoiceAndWhoOnlyForAWhile) {
  const BoRef moves = MakeInVram();
  const BoRef pinned = MakeInVram();
  BoRef dies = MakeInVram();
  const uint64_t dead = dies->id();
  ASSERT_TRUE(rig_.Validate(moves, kSystem).ok());
  rig_.Pin(pinned);
  dies.reset();
  EXPECT_THAT(heard_.left,
              ElementsAre(std::pair(moves->id(), Departure::kGone),
                          std::pair(pinned->id(), Departure::kAside),
                          std::pair(dead, Departure::kGone)));
}

TEST_F(WhatPoliciesHear, FramesEndInEveryOrder) {
  rig_.device().Note(EvictionBoundary::kSubmission);
  EXPECT_EQ(heard_.frames, 0);
  rig_.device().Note(EvictionBoundary::kFrame);
  EXPECT_EQ(heard_.frames, 7);
}

TEST_F(WhatPoliciesHear, AnExecIsASubmission) {
  const BoRef bo = rig_.Make(kBytes);
  Exec exec(rig_.device());
  exec.Add(*bo, {&kVram, 1}, FenceUse::kRead);
  ValidateContext context;
  ASSERT_TRUE(exec.Run(&context).ok());
  EXPECT_EQ(heard_.submissions, 0);
  exec.Finish(Fence());
  EXPECT_EQ(heard_.submissions, 7);
  EXPECT_EQ(heard_.frames, 0);
}

TEST(PriorityPolicy, BosOfALowerPriorityMakeRoomFirst) {
  RigOptions options = RigOptions::Small(IommuMode::kAbsent);
  options.gpu.vram_bytes = options.gpu.vram_visible_bytes = 2 * kPageSize;
  options.host.eviction_policy = "priority";
  Rig rig(options);
  const BoRef important = rig.Make(kPageSize);
  important->Reserve();
  important->SetPriority(1);
  important->Unreserve();
  const BoRef other = rig.Make(kPageSize);
  ASSERT_TRUE(rig.Validate(important, kVram).ok());
  ASSERT_TRUE(rig.Validate(other, kVram).ok());
  ASSERT_TRUE(rig.Validate(rig.Make(kPageSize), kVram).ok());
  EXPECT_TRUE(rig.In(important, MemoryType::kVram));
  EXPECT_FALSE(rig.In(other, MemoryType::kVram));
}

std::vector<size_t> OrderOf(EvictionOrder& order,
                            BufferObject& (*bo_of)(EvictionHook&),
                            const std::vector<BoRef>& bos) {
  std::vector<size_t> places;
  order.Visit({}, [&](EvictionHook& hook) {
    places.push_back(std::find(bos.begin(), bos.end(), &bo_of(hook)) -
                     bos.begin());
    return EvictionOrder::Verdict::kNext;
  });
  return places;
}

TEST(PriorityPolicy, B21_UnreservingMakesABoTheMostRecentOfItsPriority) {
  RigOptions options = RigOptions::Small();
  options.host.eviction_policy = "priority";
  Rig rig(options);
  std::vector<BoRef> bos;
  for (const uint8_t priority : {0, 0, 1, 1}) {
    bos.push_back(rig.Make(kPageSize));
    bos.back()->Reserve();
    bos.back()->SetPriority(priority);
    bos.back()->Unreserve();
    ASSERT_TRUE(rig.Validate(bos.back(), Tt(DmaType::kDynamic)).ok());
  }
  EvictionOrder& step1 = rig.device().binder(DmaType::kDynamic)->order();
  EvictionOrder& step2 = rig.device().manager(MemoryType::kTt)->order();
  EXPECT_THAT(OrderOf(step1, &BoHooks::BoOfDmaHook, bos),
              ElementsAre(0, 1, 2, 3));
  rig.Touch(bos[2]);
  rig.Touch(bos[0]);
  EXPECT_THAT(OrderOf(step1, &BoHooks::BoOfDmaHook, bos),
              ElementsAre(1, 0, 3, 2));
  EXPECT_THAT(OrderOf(step2, &BoHooks::BoOfMemoryHook, bos),
              ElementsAre(1, 0, 3, 2));
}

}  // namespace
}  // namespace twostep
