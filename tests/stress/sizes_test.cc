// Without bytes to check, our own rows have the sizes that they are named for.

#include <algorithm>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "twostep/lab/run_observer.h"
#include "twostep/stress/families.h"

namespace twostep {
namespace {

// What a play is made of.
class Sizes : public RunObserver {
 public:
  // One of its worlds: machine and bos.
  struct World {
    MachineConfig machine;
    std::map<uint16_t, uint64_t> made_bytes;         // by client; 0: nobody's
    std::map<std::string, uint64_t> dma_type_bytes;  // of all ever bound to it
    uint64_t largest_bytes = 0;
    uint64_t cma_bytes_before_largest = 0;  // in use
  };

  void Began(Host& host, Device&) override {
    host_ = &host;
    bound_.clear();
    worlds.push_back({.machine = host.machine().config(),
                      .made_bytes = {},
                      .dma_type_bytes = {}});
  }
  void Happened(const Event& event) override {
    MutexLock lock(mutex_);
    World& world = worlds.back();
    if (event.kind == EventKind::kCreate) {
      world.made_bytes[event.client] += event.bytes();
      if (event.bytes() > world.largest_bytes) {
        world.largest_bytes = event.bytes();
        world.cma_bytes_before_largest =
            PagesToBytes(host_->machine().cma().used_frames());
      }
    }
    if (event.kind == EventKind::kDmaBind && bound_.insert(event.bo).second) {
      const Events::Place to = host_->events()->PlaceOf(event.to);
      world.dma_type_bytes[to.name] += event.bytes();
    }
  }
  void Submitted(const Job&) override {}
  void Named(uint64_t, uint64_t) override {}
  void FrameEnded() override {}
  void Ending() override {}

  std::vector<World> worlds;

 private:
  Mutex mutex_;
  Host* host_ = nullptr;
  std::set<uint64_t> bound_;
};

// Of a clean play without bytes.
std::vector<Sizes::World> WorldsOf(const std::string& name) {
  Sizes sizes;
  StressOptions options = StressOptions::Default(Backing::kUnbacked);
  options.observer = &sizes;
  for (const Scenario& scenario : OurScenarios()) {
    if (scenario.name != name) continue;
    const Verdict verdict = PlayScenario(scenario, options);
    EXPECT_TRUE(verdict.clean()) << verdict.first_failure;
  }
  return sizes.worlds;
}

// As many clients, who have made as much each.
std::map<uint16_t, uint64_t> Each(uint16_t clients, uint64_t bytes) {
  std::map<uint16_t, uint64_t> each;
  while (clients > 0) each[clients--] = bytes;
  return each;
}

TEST(Sizes, BounceBuffersAre64MiBFor256MiBOfBos) {
  const auto worlds = WorldsOf("dma-swiotlb-exhaust");
  ASSERT_EQ(worlds.size(), 1u);
  EXPECT_TRUE(worlds[0].machine.xen.pv);
  EXPECT_EQ(worlds[0].machine.swiotlb.bytes, 64 * kMiB);
  EXPECT_EQ(worlds[0].dma_type_bytes.at("dynamic"), 256 * kMiB);
}

TEST(Sizes, OtherUnitsHaveRoomForAQuarterOfTheBosAsWell) {
  const auto iova = WorldsOf("dma-iova-exhaust");
  ASSERT_EQ(iova.size(), 1u);
  EXPECT_EQ(iova[0].machine.iommu.iova_bytes, 64 * kMiB);
  EXPECT_EQ(iova[0].dma_type_bytes.at("dynamic"), 256 * kMiB);
  const auto coherent = WorldsOf("dma-coherent-exhaust");
  ASSERT_EQ(coherent.size(), 1u);
  EXPECT_EQ(coherent[0].machine.coherent_bytes, 64 * kMiB);
  EXPECT_EQ(coherent[0].dma_type_bytes.at("coherent"), 256 * kMiB);
  const auto cma = WorldsOf("dma-cma-exhaust");
  ASSERT_EQ(cma.size(), 1u);
  EXPECT_EQ(cma[0].machine.cma_bytes, 64 * kMiB);
  EXPECT_EQ(cma[0].dma_type_bytes.at("cma"), 256 * kMiB);
}

TEST(Sizes, TwoMiBAreTooLongForASegment) {
  const auto worlds = WorldsOf("dma-swiotlb-segment");
  ASSERT_EQ(worlds.size(), 2u);  // for a device of few segments, and of many
  for (const Sizes::World& world : worlds) {
    EXPECT_EQ(world.largest_bytes, 2 * kMiB);
  }
}

TEST(Sizes, ThirtyOf256MiBOfCmaAreUsedWhen16AreAskedFor) {
  const auto worlds = WorldsOf("dma-cma-scatter");
  ASSERT_EQ(worlds.size(), 2u);  // the second one is of mixed sizes
  EXPECT_EQ(worlds[0].machine.cma_bytes, 256 * kMiB);
  EXPECT_EQ(worlds[0].largest_bytes, 16 * kMiB);
  EXPECT_EQ(worlds[0].cma_bytes_before_largest, 30 * kMiB);
}

TEST(Sizes, TwoDriversWant24Of32MiBOfAddressesEach) {
  const auto worlds = WorldsOf("two-drivers-one-iommu");
  ASSERT_EQ(worlds.size(), 4u);  // each alone, both, and within its share
  for (const Sizes::World& world : worlds) {
    EXPECT_EQ(world.machine.iommu.iova_bytes, 32 * kMiB);
  }
  EXPECT_EQ(worlds[2].made_bytes, Each(2, 24 * kMiB));
}

TEST(Sizes, FourGuestsWant2GiBOfCoherentMemoryEachOf4GiB) {
  const auto worlds = WorldsOf("four-guests");
  ASSERT_EQ(worlds.size(), 1u);
  EXPECT_EQ(worlds[0].machine.dma32_bytes + worlds[0].machine.normal_bytes,
            4 * kGiB);
  EXPECT_EQ(worlds[0].made_bytes, Each(4, 2 * kGiB));
}

}  // namespace
}  // namespace twostep
