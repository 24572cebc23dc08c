#include "tests/contract/placement_policy_contract.h"

#include <algorithm>
#include <map>
#include <tuple>
#include <vector>

#include "twostep/bo/audit.h"
#include "twostep/bo/exec.h"
#include "twostep/bo/host.h"
#include "twostep/bo/placer.h"
#include "twostep/machine/machine.h"

namespace twostep {

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(PlacementPolicyContract);

namespace {

constexpr uint64_t kKeys = 40;

using Values = std::vector<std::tuple<DmaType, MemoryType, Placement::Use>>;

Values ValuesOf(PlacementList list) {
  Values values;
  for (const Placement& placement : list) {
    values.emplace_back(placement.dma, placement.memory, placement.use);
  }
  return values;
}

}  // namespace

PlacementSite PlacementPolicyContract::Site() {
  PlacementSite site;
  site.vram_bytes = 4 * kMiB;
  site.aperture_bytes = 16 * kMiB;
  site.coherent_bytes = 4 * kMiB;
  return site;
}

std::unique_ptr<PlacementPolicy> PlacementPolicyContract::Make(
    const PlacementSite& site) {
  return (*ParsePlacementPolicy(GetParam().spec))(site);
}

PlacementPolicyContract::Asked PlacementPolicyContract::AskSomething(
    PlacementPolicy& policy, std::mt19937_64& random, uint64_t step) {
  constexpr MemoryType kMemory[] = {MemoryType::kSystem, MemoryType::kTt,
                                    MemoryType::kVram};
  PlacementFacts facts;
  facts.key = random() % kKeys;
  facts.bytes = (facts.key + 1) * 64 * kKiB;
  facts.memory = kMemory[random() % 3];
  facts.has_contents = random() % 4 != 0;
  facts.cpu_bytes = random() % 2 * kPageSize;
  PlacementMoment moment;
  moment.now_ns = step * 10'000;
  moment.free_vram_bytes = random() % 4 * kMiB;
  policy.Begin(moment);
  if (random() % 8 == 0) policy.Forget(random() % kKeys);
  const bool evicts = random() % 4 == 0;
  const Asked asked{
      evicts ? policy.EvictTo(facts) : policy.Choose(facts, moment), evicts};
  moment.moved_bytes = random() % 2 * facts.bytes;
  policy.End(moment);
  return asked;
}

TEST_P(PlacementPolicyContract, AnEvictionCanAlwaysEndInSystem) {
  auto policy = Make();
  std::mt19937_64 random(1);
  for (uint64_t step = 0; step < 2000; ++step) {
    const Asked asked = AskSomething(*policy, random, step);
    ASSERT_FALSE(asked.list.empty());
    if (!asked.evict_to) continue;
    EXPECT_EQ(asked.list.back().memory, MemoryType::kSystem);
    EXPECT_EQ(asked.list.back().dma, DmaType::kNone);
    for (const Placement& placement : asked.list) {
      EXPECT_NE(placement.memory, MemoryType::kVram);
    }
  }
}

TEST_P(PlacementPolicyContract, ListsLiveAndStayAsTheyAre) {
  auto policy = Make();
  std::mt19937_64 random(2);
  std::map<const Placement*, Values> seen;
  for (uint64_t step = 0; step < 2000; ++step) {
    const PlacementList list = AskSomething(*policy, random, step).list;
    const auto [it, fresh] = seen.emplace(list.data(), ValuesOf(list));
    EXPECT_EQ(it->second.size(), list.size());
    for (const auto& [data, values] : seen) {
      ASSERT_EQ(ValuesOf(PlacementList(data, values.size())), values);
    }
  }
}

TEST_P(PlacementPolicyContract, TheSameQuestionsGetTheSameAnswers) {
  auto one = Make();
  auto other = Make();
  std::mt19937_64 random_one(3);
  std::mt19937_64 random_other(3);
  for (uint64_t step = 0; step < 5000; ++step) {
    ASSERT_EQ(ValuesOf(AskSomething(*one, random_one, step).list),
              ValuesOf(AskSomething(*other, random_other, step).list))
        << step;
  }
}

TEST_P(PlacementPolicyContract, DoesWithoutWhatTheSiteLacks) {
  if (!GetParam().keeps_to_site) GTEST_SKIP();
  for (const bool vram : {false, true}) {
    for (const bool tt : {false, true}) {
      PlacementSite site = Site();
      if (!vram) site.vram_bytes = 0;
      if (!tt) site.aperture_bytes = 0;
      auto policy = Make(site);
      std::mt19937_64 random(4);
      for (uint64_t step = 0; step < 500; ++step) {
        for (const Placement& placement :
             AskSomething(*policy, random, step).list) {
          EXPECT_TRUE(vram || placement.memory != MemoryType::kVram);
          EXPECT_TRUE(tt || placement.memory != MemoryType::kTt);
        }
      }
    }
  }
}

// Submissions of a tenth of VRAM over bos of three times VRAM, some fresh, some
// written by the CPU.
TEST_P(PlacementPolicyContract, WhatFitsIsPlacedAndNoRuleIsBroken) {
  MachineConfig config;
  config.dma32_bytes = 24 * kMiB;
  config.normal_bytes = 16 * kMiB;
  config.coherent_bytes = config.cma_bytes = config.swiotlb.bytes = 4 * kMiB;
  GpuConfig gpu;
  gpu.vram_bytes = gpu.vram_visible_bytes = 4 * kMiB;
  gpu.aperture_bytes = 8 * kMiB;
  auto machine = *Machine::Create(
      config, MachineOptions{Backing::kUnbacked, Clock::Kind::kVirtual});
  auto host = *Host::Create(*machine, HostOptions{});
  Placer placer(Make(PlacementSite::Of(config, gpu)));
  auto device = *Device::Create(*host, gpu, &placer);
  std::vector<BoRef> bos(120);
  std::mt19937_64 random(5);
  for (int step = 0; step < 1500; ++step) {
    Exec exec(*device, &placer);
    const size_t first = random() % bos.size();
    for (size_t i = 0; i < 4; ++i) {
      BoRef& bo = bos[(first + i * 7) % bos.size()];
      if (bo == nullptr) bo = *host->CreateBo(100 * kKiB);
      exec.Add(*bo, random() % 2 == 0 ? FenceUse::kRead : FenceUse::kWrite);
    }
    ValidateContext context;
    ASSERT_TRUE(exec.Run(&context).ok()) << step;
    exec.Finish(Fence());
    if (random() % 4 == 0) {
      BoRef& gone = bos[random() % bos.size()];
      if (gone != nullptr) placer.Forget(*gone);
      gone = nullptr;
    }
  }
  for (const Violation& violation : Audit::Run(*host)) {
    ADD_FAILURE() << violation.rule << ": " << violation.what;
  }
  bos.clear();
}

// Nine bos, of which five fit into VRAM and five into the IOVA space.
TEST_P(PlacementPolicyContract, WhatFitsOnlyIntoBothIsPlacedInBoth) {
  if (!GetParam().keeps_to_site) GTEST_SKIP();
  MachineConfig config;
  config.dma32_bytes = 24 * kMiB;
  config.normal_bytes = 16 * kMiB;
  config.coherent_bytes = config.cma_bytes = config.swiotlb.bytes = kMiB;
  config.iommu.mode = IommuMode::kTranslated;
  config.iommu.iova_bytes = kMiB;
  GpuConfig gpu;
  gpu.vram_bytes = gpu.vram_visible_bytes = kMiB;
  gpu.aperture_bytes = 8 * kMiB;
  auto machine = *Machine::Create(
      config, MachineOptions{Backing::kUnbacked, Clock::Kind::kVirtual});
  auto host = *Host::Create(*machine, HostOptions{});
  Placer placer(Make(PlacementSite::Of(config, gpu)));
  auto device = *Device::Create(*host, gpu, &placer);
  std::vector<BoRef> bos;
  for (int i = 0; i < 20; ++i) bos.push_back(*host->CreateBo(200 * kKiB));
  std::mt19937_64 random(6);
  for (int step = 0; step < 300; ++step) {
    std::shuffle(bos.begin(), bos.end(), random);
    Exec exec(*device, &placer);
    for (size_t i = 0; i < 9; ++i) exec.Add(*bos[i], FenceUse::kWrite);
    ValidateContext context;
    const absl::Status placed = exec.Run(&context);
    ASSERT_TRUE(placed.ok()) << step << ": " << placed;
    exec.Finish(Fence());
  }
}

}  // namespace twostep
